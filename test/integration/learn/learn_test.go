// SPDX-License-Identifier: Apache-2.0

package learn_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/test/suite"
	"github.com/skott-dev/skott/test/testenv"
)

// The stories are told in this order on one platform.
var _ = Describe("Learning", Ordered, func() {
	BeforeAll(func(ctx SpecContext) {
		// Staging already uses a bucket of production when Skott comes.
		create(ctx, sto2, bucket("common", "common"))
		create(ctx, staging, bucket("borrowed", "common"))
		Expect(ops.Declare(ctx, platform)).To(Succeed())
		connect(ctx, sto2, "production", sto2.Kubeconfig())
		connect(ctx, osl2, "production", osl2.Kubeconfig())
		connect(ctx, staging, "staging", staging.Kubeconfig())
		startOperator(ctx)
		for _, name := range []string{"sto2", "osl2", "staging"} {
			eventually(ctx, func(g Gomega) {
				mc := suite.ManagementCluster(name)
				g.Expect(suite.Asks(ctx, hub, mc, skottv1.ConditionGuarded)).To(HavePrefix("True/"))
				g.Expect(suite.Asks(ctx, hub, mc, skottv1.ConditionLearning)).To(HavePrefix("True/"))
			}, 3*time.Minute)
		}
	}, NodeTimeout(5*time.Minute))

	AfterEach(func() {
		if CurrentSpecReport().Failed() && operator != nil {
			content, _ := os.ReadFile(operator.LogFile())
			AddReportEntry("operator", string(content[max(0, len(content)-20_000):]), ReportEntryVisibilityFailureOrVerbose)
		}
	})

	It("refuses in staging what production uses, and lists it", refusesWhatProductionUses, SpecTimeout(4*time.Minute))
	It("refuses the names and the IPs that production answers on, and not those of staging", refusesHosts, SpecTimeout(4*time.Minute))
	It("keeps what is deleted, until its retention has passed", keepsTombstones, SpecTimeout(5*time.Minute))
	It("knows an address that two sites use from both", mergesSites, SpecTimeout(4*time.Minute))
	It("reports what staging shares with production", reportsContested, SpecTimeout(4*time.Minute))
	It("follows a kind that comes and goes", followsKinds, SpecTimeout(5*time.Minute))
	It("gives what is in a namespace of staging to staging", knowsNamespaces, SpecTimeout(4*time.Minute))
	It("writes a location again that was deleted while its address is in use", comesBack, SpecTimeout(4*time.Minute))
	It("stops learning where it is told to", stopsLearning, SpecTimeout(4*time.Minute))
	It("learns fingerprints of credentials, and keeps no value", fingerprintsCredentials, SpecTimeout(4*time.Minute))
	It("says what it may not read, and learns the rest", saysWhatIsForbidden, SpecTimeout(5*time.Minute))
	It("learns thousands of addresses of one cluster", learnsMany, SpecTimeout(18*time.Minute))
	It("forgets nothing while it sees nothing", survivesBlindness, SpecTimeout(5*time.Minute))
})

func refusesWhatProductionUses(ctx SpecContext) {
	var took []time.Duration
	for n := range 10 {
		name := fmt.Sprintf("velero-%d", n)
		Expect(try(ctx, staging, bucket("x", name))).To(Succeed())
		create(ctx, sto2, bucket(name, name))
		took = append(took, becomesRefused(ctx, staging, bucket("x", name)))
		Expect(try(ctx, osl2, bucket("x", name))).To(Succeed(), "production may")
	}
	slices.Sort(took)
	AddReportEntry("from learning to refusal", fmt.Sprintf("10 tries: median %s, worst %s", took[5].Round(time.Millisecond), took[9].Round(time.Millisecond)))
	Expect(took[9]).To(BeNumerically("<", promised))

	locations := learned(ctx, "s3.sto2.example/velero-0")
	Expect(locations).To(HaveLen(1))
	d := locations[0]
	Expect(d.Spec.EnvironmentRef.Name).To(Equal("production"))
	var table string
	eventually(ctx, func(g Gomega) {
		var err error
		table, err = env.Kubectl(ctx, ops, "get", "datalocations", d.Name)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(table).To(MatchRegexp(`ENVIRONMENT +TYPE +ADDRESS +ORIGIN +SEEN +FIRST +LAST +CONTESTED`))
		g.Expect(table).To(MatchRegexp(`production +Bucket +s3.sto2.example/velero-0 +learned +BackupStorageLocation default/velero-0 in sto2 +\d+s +\d+s +False`))
	}, 10*time.Second)
	AddReportEntry("kubectl get datalocations", table)
	text, err := env.Kubectl(ctx, ops, "describe", "datalocation", d.Name)
	Expect(err).NotTo(HaveOccurred())
	for _, word := range []string{"BackupStorageLocation.velero.io", "velero-0", "spec.objectStorage.bucket", "sto2", "First Seen", "Last Seen"} {
		Expect(text).To(ContainSubstring(word))
	}
}

func ingress(name, host string) string {
	return fmt.Sprintf(`
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: %s, namespace: default}
spec: {rules: [{host: %q, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]}
`, name, host)
}

func refusesHosts(ctx SpecContext) {
	create(ctx, staging, ingress("web", "shop.staging.example"))
	create(ctx, sto2, ingress("web", "shop.prod.example"))
	create(ctx, sto2, ingress("any", "*.everything.example"))
	becomesRefused(ctx, staging, ingress("x", "shop.prod.example"))
	service := create(ctx, sto2, "{apiVersion: v1, kind: Service, metadata: {name: edge, namespace: default}, spec: {type: LoadBalancer, ports: [{port: 443}]}}")
	Expect(unstructured.SetNestedSlice(service.Object, []any{map[string]any{"ip": "192.0.2.77"}}, "status", "loadBalancer", "ingress")).To(Succeed())
	Expect(sto2.Client().Status().Update(ctx, service)).To(Succeed())
	becomesRefused(ctx, staging, "{apiVersion: v1, kind: Service, metadata: {name: x, namespace: default}, spec: {ports: [{port: 443}], externalIPs: [192.0.2.77]}}")

	Expect(try(ctx, staging, ingress("x", "a.everything.example"))).To(Succeed(), "a wildcard covers names of others")
	Expect(try(ctx, sto2, ingress("x", "shop.staging.example"))).To(Succeed(), "staging cannot take a name from production")
	Expect(learned(ctx, "shop.staging.example")).To(BeEmpty())
}

// survives says that an address is still refused, and stays so for a moment.
func survives(ctx context.Context, name string) {
	GinkgoHelper()
	Consistently(func(g Gomega) { g.Expect(try(ctx, staging, bucket("x", name))).To(refused) }).
		WithContext(ctx).WithTimeout(3 * time.Second).WithPolling(100 * time.Millisecond).Should(Succeed())
	Expect(learned(ctx, "s3.sto2.example/"+name)).To(HaveLen(1))
}

func keepsTombstones(ctx SpecContext) {
	By("deleting the object")
	Expect(sto2.Client().Delete(ctx, testenv.Parse(bucket("velero-1", "x")))).To(Succeed())
	survives(ctx, "velero-1")

	By("starting anew")
	Expect(operator.Stop()).To(Succeed())
	Expect(operator.Start(ctx)).To(Succeed())
	survives(ctx, "velero-1")

	By("letting the retention pass")
	d := learned(ctx, "s3.sto2.example/velero-1")[0]
	Expect(hub.Patch(ctx, &d, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"retention":"1s"}}`)))).To(Succeed())
	eventually(ctx, func(g Gomega) { g.Expect(try(ctx, staging, bucket("x", "velero-1"))).To(Succeed()) }, 30*time.Second)
	Expect(learned(ctx, "s3.sto2.example/velero-1")).To(BeEmpty())
}

func mergesSites(ctx SpecContext) {
	create(ctx, sto2, bucket("both", "both"))
	becomesRefused(ctx, staging, bucket("x", "both"))
	create(ctx, osl2, bucket("both", "both"))
	eventually(ctx, func(g Gomega) {
		locations := learned(ctx, "s3.sto2.example/both")
		g.Expect(locations).To(HaveLen(1))
		g.Expect(locations[0].Status.OriginCount).To(BeEquivalentTo(2))
		g.Expect(locations[0].Status.Origins[0].ManagementCluster).To(Equal("sto2"))
		g.Expect(locations[0].Status.Origins[1].ManagementCluster).To(Equal("osl2"))
		g.Expect(locations[0].Status.Seen).To(Equal("BackupStorageLocation default/both in sto2, 1 more"))
	}, 10*time.Second)
}

func reportsContested(ctx SpecContext) {
	Expect(try(ctx, staging, bucket("another", "common"))).To(refused)
	Expect(try(ctx, sto2, bucket("another", "common"))).To(Succeed())
	locations := learned(ctx, "s3.sto2.example/common")
	Expect(locations).To(HaveLen(2))
	both := map[string]string{"production": "BackupStorageLocation default/common in sto2", "staging": "BackupStorageLocation default/borrowed in staging"}
	for i := range locations {
		d := &locations[i]
		other := map[string]string{"production": "staging", "staging": "production"}[d.Spec.EnvironmentRef.Name]
		eventually(ctx, func(g Gomega) {
			g.Expect(suite.Asks(ctx, hub, d, skottv1.ConditionContested)).To(And(HavePrefix("True/"), ContainSubstring(other+": "+both[other])))
			g.Expect(d.Status.Seen).To(Equal(both[d.Spec.EnvironmentRef.Name]))
		}, 10*time.Second)
	}
	for _, name := range []string{"production", "staging"} {
		eventually(ctx, func(g Gomega) {
			g.Expect(suite.Asks(ctx, hub, suite.Environment(name), skottv1.ConditionSeparated)).
				To(And(HavePrefix("False/"), ContainSubstring(both["production"]), ContainSubstring(both["staging"])))
		}, 10*time.Second)
	}

	By("declaring it shared")
	Expect(ops.Declare(ctx, `DataLocation common {environmentRef: {name: production}, shared: true, addresses: [{type: Bucket, value: "https://s3.sto2.example/common"}]}`)).To(Succeed())
	eventually(ctx, func(g Gomega) {
		g.Expect(try(ctx, staging, bucket("another", "common"))).To(Succeed())
		g.Expect(suite.Asks(ctx, hub, &locations[0], skottv1.ConditionContested)).To(HavePrefix("False/"))
		g.Expect(suite.Asks(ctx, hub, suite.Environment("staging"), skottv1.ConditionSeparated)).NotTo(ContainSubstring("common"))
	}, 20*time.Second)
}

func store(name string) string {
	return fmt.Sprintf(`
apiVersion: barmancloud.cnpg.io/v1
kind: ObjectStore
metadata: {name: store, namespace: default}
spec: {configuration: {destinationPath: "s3://%s/", endpointURL: "https://s3.sto2.example", s3Credentials: {inheritFromIAMRole: true}}}
`, name)
}

func followsKinds(ctx SpecContext) {
	for _, name := range []string{"first", "second"} {
		var crds []*unstructured.Unstructured
		for _, crd := range barman {
			crds = append(crds, crd.DeepCopy())
		}
		Expect(sto2.Install(ctx, crds...)).To(Succeed())
		create(ctx, sto2, store(name))
		took := becomesRefused(ctx, staging, bucket("x", name))
		AddReportEntry("an address in a kind that was just installed is refused after", took.String())
		for _, crd := range crds {
			Expect(sto2.Client().Delete(ctx, crd)).To(Succeed())
		}
		eventually(ctx, func(g Gomega) {
			g.Expect(sto2.Client().Get(ctx, client.ObjectKeyFromObject(crds[0]), crds[0].DeepCopy())).To(MatchError(ContainSubstring("not found")))
		}, 30*time.Second)
		survives(ctx, name)
	}
	eventually(ctx, func(g Gomega) {
		g.Expect(suite.Asks(ctx, hub, suite.ManagementCluster("sto2"), skottv1.ConditionLearning)).To(HavePrefix("True/"))
	}, 20*time.Second)
}

func knowsNamespaces(ctx SpecContext) {
	create(ctx, sto2, "{apiVersion: v1, kind: Namespace, metadata: {name: rehearsal, labels: {skott.dev/environment: staging}}}")
	create(ctx, sto2, strings.Replace(bucket("rehearsal", "rehearsal"), "namespace: default", "namespace: rehearsal", 1))
	eventually(ctx, func(g Gomega) {
		locations := learned(ctx, "s3.sto2.example/rehearsal")
		g.Expect(locations).To(HaveLen(1))
		g.Expect(locations[0].Spec.EnvironmentRef.Name).To(Equal("staging"))
	}, 10*time.Second)
	Expect(try(ctx, staging, bucket("x", "rehearsal"))).To(Succeed())
}

func comesBack(ctx SpecContext) {
	d := learned(ctx, "s3.sto2.example/velero-2")[0]
	Expect(hub.Delete(ctx, &d)).To(Succeed())
	eventually(ctx, func(g Gomega) {
		again := learned(ctx, "s3.sto2.example/velero-2")
		g.Expect(again).To(HaveLen(1))
		g.Expect(again[0].UID).NotTo(Equal(d.UID))
	}, 10*time.Second)
}

func stopsLearning(ctx SpecContext) {
	osl2MC := suite.ManagementCluster("osl2")
	Expect(hub.Patch(ctx, osl2MC, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"learn":{"disabled":true}}}`)))).To(Succeed())
	eventually(ctx, func(g Gomega) {
		g.Expect(suite.Asks(ctx, hub, osl2MC, skottv1.ConditionLearning)).To(HavePrefix("False/LearningDisabled: "))
	}, 10*time.Second)
	create(ctx, osl2, bucket("quiet", "quiet"))
	Consistently(func() error { return try(ctx, staging, bucket("x", "quiet")) }).WithContext(ctx).WithTimeout(3 * time.Second).Should(Succeed())
	Expect(hub.Patch(ctx, osl2MC, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"learn":null}}`)))).To(Succeed())
	becomesRefused(ctx, staging, bucket("x", "quiet"))
}

// walled grants what is needed to guard a cluster, and to read its PersistentVolumes, but not to grant oneself more.
const walled = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: bootstrap}
rules:
- {apiGroups: [""], resources: [namespaces], verbs: [get, create, update, patch]}
- {apiGroups: [""], resources: [serviceaccounts], verbs: [create, patch]}
- {apiGroups: [""], resources: [serviceaccounts/token], verbs: [create]}
- {apiGroups: [rbac.authorization.k8s.io], resources: [clusterroles, clusterrolebindings, roles, rolebindings], verbs: [create, patch]}
- {apiGroups: [rbac.authorization.k8s.io], resources: [clusterroles, roles], resourceNames: [skott-operator, skott-canary], verbs: [bind, escalate]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: bootstrap}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: bootstrap}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: bootstrap}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: volumes}
rules: [{apiGroups: [""], resources: [persistentvolumes], verbs: [get, list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: volumes}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: volumes}
subjects: [{kind: ServiceAccount, namespace: skott-system, name: skott-operator}]
`

func saysWhatIsForbidden(ctx SpecContext) {
	guest, err := env.NewServer(ctx, testenv.Options{Name: "guest"})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() error { return guest.Stop() })
	var crds []*unstructured.Unstructured
	for _, crd := range barman {
		crds = append(crds, crd.DeepCopy())
	}
	Expect(guest.Install(ctx, crds...)).To(Succeed())
	Expect(guest.ApplyYAML(ctx, []byte(walled))).To(Succeed())
	config, err := guest.ConfigFor("bootstrap")
	Expect(err).NotTo(HaveOccurred())
	connect(ctx, guest, "production", testenv.KubeconfigFor("guest", config))
	mc := suite.ManagementCluster("guest")
	eventually(ctx, func(g Gomega) {
		g.Expect(suite.Asks(ctx, hub, mc, skottv1.ConditionLearning)).To(And(HavePrefix("False/LearningGaps: "),
			ContainSubstring(`guest: ObjectStore.barmancloud.cnpg.io: forbidden`), ContainSubstring(`"skott-learner" could not be granted`)))
		g.Expect(suite.Asks(ctx, hub, mc, skottv1.ConditionGuarded)).To(HavePrefix("True/"))
	}, time.Minute)
	create(ctx, guest, volume(many+1))
	becomesRefused(ctx, staging, volume(many+1))

	By("granting it")
	Expect(guest.ApplyYAML(ctx, []byte(strings.ReplaceAll(walled, "[skott-operator, skott-canary]", "[skott-operator, skott-canary, skott-learner]")))).To(Succeed())
	eventually(ctx, func(g Gomega) {
		g.Expect(suite.Asks(ctx, hub, mc, skottv1.ConditionLearning)).To(HavePrefix("True/"))
	}, 80*time.Second)
	saysThatSecretsAreForbidden(ctx, guest)
	Expect(hub.Delete(ctx, mc)).To(Succeed())
}

// promised is how long it takes at most from learning to refusal.
const promised = 5 * time.Second

// many is how many addresses one cluster has: 2,000, or what SKOTT_LEARN_ADDRESSES says. With 10,000 the story takes
// three minutes on two quiet cores, most of it to write down where each was seen.
var many = func() int {
	if n, err := strconv.Atoi(os.Getenv("SKOTT_LEARN_ADDRESSES")); err == nil && n > 1234 {
		return n
	}
	return 2_000
}()

// handles is how the handle of each volume begins, with its driver.
const handles = "cinder.csi.openstack.org/7c9e6679-7425-40de-944b-"

func volume(n int) string {
	driver, handle, _ := strings.Cut(handles, "/")
	return fmt.Sprintf(`
apiVersion: v1
kind: PersistentVolume
metadata: {name: pv-%[1]d}
spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], csi: {driver: %[2]s, volumeHandle: %[3]s%012[1]d}}
`, n, driver, handle)
}

func learnsMany(ctx SpecContext) {
	big, err := env.NewServer(ctx, testenv.Options{Name: "big"})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() error { return big.Stop() })
	config := big.Config()
	config.QPS = -1
	fast, err := client.New(config, client.Options{})
	Expect(err).NotTo(HaveOccurred())
	var group errgroup.Group
	group.SetLimit(16)
	for n := range many {
		group.Go(func() error { return fast.Create(ctx, testenv.Parse(volume(n))) })
	}
	Expect(group.Wait()).To(Succeed())

	By("connecting the cluster")
	began := time.Now()
	connect(ctx, big, "production", big.Kubeconfig())
	// Seldom, because asking is work for the machine that is being measured.
	Eventually(func() error { return try(ctx, staging, volume(many-1)) }).WithContext(ctx).WithTimeout(6 * time.Minute).WithPolling(time.Second).Should(refused)
	AddReportEntry("the last is refused, after the cluster was connected,", time.Since(began).String())
	count := func() (n, complete int) {
		list := &skottv1.DataLocationList{}
		Expect(hub.List(ctx, list)).To(Succeed())
		for _, d := range list.Items {
			number, of := strings.CutPrefix(d.Spec.Addresses[0].Value, handles)
			if i, err := strconv.Atoi(number); of && err == nil && i < many { // others are of other stories
				n++
				if d.Status.OriginCount == 1 && len(d.Status.Conditions) == 2 {
					complete++
				}
			}
		}
		return n, complete
	}
	Eventually(func(g Gomega) {
		n, complete := count()
		g.Expect([]int{n, complete}).To(Equal([]int{many, many}))
	}).WithContext(ctx).WithTimeout(6 * time.Minute).WithPolling(10 * time.Second).Should(Succeed())
	AddReportEntry("all are written down, after the cluster was connected,", time.Since(began).String())
	for _, n := range []int{0, 1234, many / 2, many - 1} {
		Expect(try(ctx, staging, volume(n))).To(refused)
	}

	By("learning one more")
	var took []time.Duration
	for n := range 5 {
		name := fmt.Sprintf("more-%d", n)
		create(ctx, sto2, bucket(name, name))
		took = append(took, becomesRefused(ctx, staging, bucket("x", name)))
	}
	slices.Sort(took)
	AddReportEntry(fmt.Sprintf("from learning to refusal, beside %d", many), fmt.Sprintf("5 tries: median %s, worst %s", took[2].Round(time.Millisecond), took[4].Round(time.Millisecond)))
	// Each of five API servers takes a Guard of a megabyte here, on the same few cores.
	Expect(took[4]).To(BeNumerically("<", promised))

	By("writing nothing at rest")
	versions := func() map[string]string {
		list := &skottv1.DataLocationList{}
		Expect(hub.List(ctx, list)).To(Succeed())
		out := map[string]string{}
		for _, d := range list.Items {
			out[d.Name] = d.ResourceVersion
		}
		return out
	}
	before := versions()
	Consistently(versions).WithContext(ctx).WithTimeout(8 * time.Second).WithPolling(4 * time.Second).Should(Equal(before))
}

func survivesBlindness(ctx SpecContext) {
	By("losing the connection to production")
	Expect(sto2.Stop()).To(Succeed())
	Expect(operator.Stop()).To(Succeed())
	Expect(operator.Start(ctx)).To(Succeed())
	Eventually(func() string {
		return suite.Asks(ctx, hub, suite.ManagementCluster("sto2"), skottv1.ConditionReachable)
	}).WithContext(ctx).WithTimeout(30 * time.Second).Should(HavePrefix("False/"))
	survives(ctx, "velero-3")

	By("losing what was deleted meanwhile, and only after its retention")
	Expect(sto2.Restart(ctx)).To(Succeed())
	Expect(sto2.Client().Delete(ctx, testenv.Parse(bucket("velero-3", "x")))).To(Succeed())
	survives(ctx, "velero-3")

	By("deleting the whole production cluster")
	Expect(hub.Delete(ctx, suite.ManagementCluster("sto2"))).To(Succeed())
	survives(ctx, "velero-4")
	Expect(sto2.Stop()).To(Succeed())
	survives(ctx, "velero-4")
	d := learned(ctx, "s3.sto2.example/velero-4")[0]
	Expect(hub.Patch(ctx, &d, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"retention":"1s"}}`)))).To(Succeed())
	eventually(ctx, func(g Gomega) { g.Expect(try(ctx, staging, bucket("x", "velero-4"))).To(Succeed()) }, 30*time.Second)
}
