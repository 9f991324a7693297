package testenv_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/skott-dev/skott/test/testenv"
)

func TestTestenv(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Testenv Suite")
}

var (
	env          *testenv.Env
	hub, cluster *testenv.Server
)

var _ = BeforeSuite(func(ctx SpecContext) {
	dir, err := os.MkdirTemp("", "testenv-")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(os.RemoveAll, dir)
	env, err = testenv.Start(ctx, dir)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() error { return env.Stop() })
	servers, err := env.NewServers(ctx,
		testenv.Options{Name: "hub"},
		testenv.Options{Name: "cluster", AuditPolicy: testenv.AuditMetadata},
	)
	Expect(err).NotTo(HaveOccurred())
	hub, cluster = servers[0], servers[1]
})

func clientset(config *rest.Config) *kubernetes.Clientset {
	c, err := kubernetes.NewForConfig(config)
	Expect(err).NotTo(HaveOccurred())
	return c
}

func createConfigMap(ctx context.Context, c kubernetes.Interface, name string, data map[string]string) error {
	_, err := c.CoreV1().ConfigMaps("default").Create(ctx,
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: data}, metav1.CreateOptions{})
	return err
}

var _ = Describe("A server", func() {
	It("does not see what another server on the same etcd stores", func(ctx SpecContext) {
		Expect(createConfigMap(ctx, clientset(cluster.Config()), "separate", nil)).To(Succeed())
		_, err := clientset(hub.Config()).CoreV1().ConfigMaps("default").Get(ctx, "separate", metav1.GetOptions{})
		Expect(apierrors.IsNotFound(err)).To(BeTrue(), "got %v", err)
	})

	It("refuses an administrator of another server", func(ctx SpecContext) {
		stranger := hub.Config()
		stranger.Host, stranger.CAData = cluster.URL(), cluster.CA()
		err := createConfigMap(ctx, clientset(stranger), "stranger", nil)
		Expect(apierrors.IsUnauthorized(err)).To(BeTrue(), "got %v", err)
	})

	It("keeps its port, identity and data over a restart", func(ctx SpecContext) {
		c := clientset(cluster.Config())
		Expect(createConfigMap(ctx, c, "kept", nil)).To(Succeed())
		port, pid := cluster.Port(), cluster.PID()
		Expect(cluster.Stop()).To(Succeed())
		Expect(cluster.PID()).To(BeZero())
		_, err := c.CoreV1().ConfigMaps("default").Get(ctx, "kept", metav1.GetOptions{})
		Expect(err).To(HaveOccurred())
		Expect(cluster.Restart(ctx)).To(Succeed())
		Expect(cluster.Port()).To(Equal(port))
		Expect(cluster.PID()).NotTo(Equal(pid))
		_, err = c.CoreV1().ConfigMaps("default").Get(ctx, "kept", metav1.GetOptions{})
		Expect(err).NotTo(HaveOccurred())
	})

	It("answers nothing while paused", func(ctx SpecContext) {
		impatient := cluster.Config()
		impatient.Timeout = 500 * time.Millisecond
		Expect(cluster.Pause()).To(Succeed())
		_, err := clientset(impatient).Discovery().ServerVersion()
		Expect(cluster.Resume()).To(Succeed())
		Expect(err).To(HaveOccurred())
		_, err = clientset(cluster.Config()).Discovery().ServerVersion()
		Expect(err).NotTo(HaveOccurred())
	})

	It("issues service account tokens and judges them by RBAC", func(ctx SpecContext) {
		admin := clientset(cluster.Config())
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "robot"}}
		_, err := admin.CoreV1().ServiceAccounts("default").Create(ctx, account, metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		token, err := admin.CoreV1().ServiceAccounts("default").
			CreateToken(ctx, "robot", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		robot := rest.AnonymousClientConfig(cluster.Config())
		robot.BearerToken = token.Status.Token
		review, err := clientset(robot).AuthenticationV1().SelfSubjectReviews().
			Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(review.Status.UserInfo.Username).To(Equal("system:serviceaccount:default:robot"))
		err = createConfigMap(ctx, clientset(robot), "robots", nil)
		Expect(apierrors.IsForbidden(err)).To(BeTrue(), "got %v", err)
	})

	It("knows the identities it issues, and audits them", func(ctx SpecContext) {
		config, err := cluster.ConfigFor("alice", "developers")
		Expect(err).NotTo(HaveOccurred())
		err = createConfigMap(ctx, clientset(config), "alices", nil)
		Expect(err).To(MatchError(ContainSubstring(`User "alice" cannot create`)))
		Expect(os.ReadFile(cluster.AuditLog())).To(ContainSubstring(`"username":"alice","groups":["developers"`))
	})

	It("enforces an admission policy with a custom parameter", func(ctx SpecContext) {
		crds, err := testenv.CRDs(ctx, testenv.BarmanCloud)
		Expect(err).NotTo(HaveOccurred())
		Expect(crds).To(HaveLen(1))
		Expect(cluster.Install(ctx, crds...)).To(Succeed())
		Expect(cluster.ApplyYAML(ctx, []byte(policy))).To(Succeed())
		c := clientset(cluster.Config())
		Eventually(func() error {
			return createConfigMap(ctx, c, "leak", map[string]string{"bucket": "s3://production"})
		}).WithTimeout(30 * time.Second).Should(MatchError(ContainSubstring("bucket s3://production is production's")))
		Expect(createConfigMap(ctx, c, "clean", map[string]string{"bucket": "s3://staging"})).To(Succeed())
	})

	It("serves the CRDs of every module of the table", func(ctx SpecContext) {
		others := slices.DeleteFunc(testenv.Modules(), func(m testenv.Module) bool { return m.Path == testenv.ClusterAPI.Path })
		crds, err := testenv.CRDs(ctx, others...)
		Expect(err).NotTo(HaveOccurred())
		Expect(cluster.Install(ctx, crds...)).To(Succeed())
		Expect(env.Kubectl(ctx, cluster, "get", "backupstoragelocations,volumesnapshotcontents,objectstores.barmancloud.cnpg.io,"+
			"clusters.postgresql.cnpg.io,clustersecretstores,secretstores,applications.argoproj.io", "-A", "-o", "name")).
			NotTo(ContainSubstring("doesn't have a resource type"))
	})

	It("serves the CRDs of the catalogue", func(ctx SpecContext) {
		server, err := env.NewServer(ctx, testenv.Options{Name: "catalogue"})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(server.Stop)
		begin := time.Now()
		Expect(server.InstallCatalogueCRDs(ctx)).To(Succeed())
		crds, err := testenv.CatalogueCRDs()
		Expect(err).NotTo(HaveOccurred())
		AddReportEntry(fmt.Sprintf("%d CRDs in %s", len(crds), time.Since(begin)))
		for _, crd := range crds {
			Expect(server.Client().Get(ctx, client.ObjectKeyFromObject(crd), crd)).To(Succeed())
			conditions, _, _ := unstructured.NestedSlice(crd.Object, "status", "conditions")
			for _, c := range conditions {
				if condition := c.(map[string]any); condition["type"] == "Established" || condition["type"] == "NamesAccepted" {
					Expect(condition["status"]).To(Equal("True"), "%s: %v", crd.GetName(), condition)
				}
			}
		}
	})

	It("refuses a module whose content is not the expected one", func(ctx SpecContext) {
		changed := testenv.BarmanCloud
		changed.Sum = testenv.Velero.Sum
		_, err := testenv.CRDs(ctx, changed)
		Expect(err).To(MatchError(ContainSubstring("its hash is " + testenv.BarmanCloud.Sum)))
	})

	It("says why it cannot start, and leaves the name free", func(ctx SpecContext) {
		_, err := env.NewServer(ctx, testenv.Options{Name: "broken", Flags: []string{"--no-such-flag"}})
		Expect(err).To(MatchError(ContainSubstring("unknown flag: --no-such-flag")))
		_, err = env.NewServer(ctx, testenv.Options{Name: "broken", Flags: []string{"--nor-this-one"}})
		Expect(err).To(MatchError(ContainSubstring("unknown flag: --nor-this-one")))
	})

	It("is not disturbed by another that wants its name", func(ctx SpecContext) {
		_, err := env.NewServer(ctx, testenv.Options{Name: "hub"})
		Expect(err).To(MatchError(ContainSubstring("the name is taken")))
		Expect(createConfigMap(ctx, clientset(hub.Config()), "undisturbed", nil)).To(Succeed())
	})

	It("is reached by kubectl", func(ctx SpecContext) {
		output, err := env.KubectlInput(ctx, cluster, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"typed"}}`,
			"apply", "-f", "-")
		Expect(err).NotTo(HaveOccurred())
		Expect(output).To(Equal("namespace/typed created\n"))
	})
})

// listeners returns the addresses each process of the environment accepts TCP connections on, as the kernel has them.
func listeners() map[string][]string {
	sockets := map[string]string{} // by "socket:[inode]"
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		content, err := os.ReadFile(table)
		Expect(err).NotTo(HaveOccurred())
		for line := range strings.Lines(string(content)) {
			if fields := strings.Fields(line); fields[3] == "0A" { // LISTEN
				address, _, _ := strings.Cut(fields[1], ":")
				sockets["socket:["+fields[9]+"]"] = address
			}
		}
	}
	found := map[string][]string{}
	files, err := filepath.Glob(filepath.Join(env.Dir(), "pids", "*.pid"))
	Expect(err).NotTo(HaveOccurred())
	for _, file := range files {
		pid, err := os.ReadFile(file)
		Expect(err).NotTo(HaveOccurred())
		name := strings.TrimSuffix(filepath.Base(file), ".pid")
		descriptors, err := filepath.Glob(filepath.Join("/proc", strings.TrimSpace(string(pid)), "fd", "*"))
		Expect(err).NotTo(HaveOccurred())
		for _, descriptor := range descriptors {
			target, _ := os.Readlink(descriptor) // it may have been closed meanwhile
			if address, ok := sockets[target]; ok {
				found[name] = append(found[name], address)
			}
		}
	}
	return found
}

// policy forbids ConfigMaps that name the bucket of the ObjectStore "production".
const policy = `
apiVersion: barmancloud.cnpg.io/v1
kind: ObjectStore
metadata: {name: production, namespace: default}
spec: {configuration: {destinationPath: "s3://production"}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: buckets}
spec:
  paramKind: {apiVersion: barmancloud.cnpg.io/v1, kind: ObjectStore}
  matchConstraints:
    resourceRules:
    - {apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}
  matchConditions:
  - {name: named, expression: "has(object.data) && 'bucket' in object.data"}
  validations:
  - expression: object.data.bucket != params.spec.configuration.destinationPath
    messageExpression: "'bucket ' + object.data.bucket + ' is production\\'s'"
    reason: Forbidden
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: buckets}
spec:
  policyName: buckets
  validationActions: [Deny]
  paramRef: {name: production, namespace: default, parameterNotFoundAction: Deny}
`

var _ = Describe("Cluster API", Ordered, func() {
	BeforeAll(func(ctx SpecContext) {
		Expect(hub.StartClusterAPI(ctx)).To(Succeed())
	})

	It("provisions and connects a registered workload cluster", func(ctx SpecContext) {
		Expect(hub.RegisterWorkload(ctx, "fleet", "one", cluster)).To(Succeed())
		Expect(hub.WaitProvisioned(ctx, "fleet", "one")).To(Succeed())
		Expect(env.Kubectl(ctx, hub, "get", "clusters.v1beta2.cluster.x-k8s.io", "-n", "fleet", "one",
			"-o", "jsonpath=https://{.spec.controlPlaneEndpoint.host}:{.spec.controlPlaneEndpoint.port}")).To(Equal(cluster.URL()))
		By("converting it to the older version")
		Expect(env.Kubectl(ctx, hub, "get", "clusters.v1beta1.cluster.x-k8s.io", "-n", "fleet", "one",
			"-o", "jsonpath={.spec.infrastructureRef.apiVersion}")).To(HaveSuffix("infrastructure.cluster.x-k8s.io/v1"))
	})

	It("listens on loopback only, as every process here does", func() {
		listening := listeners()
		Expect(listening).To(HaveKeyWithValue("capi-core-hub", HaveLen(3))) // webhooks, health, diagnostics
		Expect(listening).To(HaveKeyWithValue("kube-apiserver-hub", HaveLen(1)))
		for name, addresses := range listening {
			Expect(addresses).To(HaveEach("0100007F"), name) // 127.0.0.1, as the kernel writes it
		}
	})

	It("refuses a Cluster that describes nothing, by its own webhook", func(ctx SpecContext) {
		output, err := env.KubectlInput(ctx, hub,
			`{"apiVersion":"cluster.x-k8s.io/v1beta2","kind":"Cluster","metadata":{"name":"empty"},"spec":{"paused":false}}`,
			"create", "-f", "-")
		Expect(err).To(HaveOccurred())
		Expect(output).To(ContainSubstring("one of spec.controlPlaneRef, spec.infrastructureRef or spec.topology must be set"))
	})

	It("connects only once there is a kubeconfig", func(ctx SpecContext) {
		Expect(hub.RegisterWorkload(ctx, "fleet", "late", cluster, testenv.WithoutKubeconfig())).To(Succeed())
		probe := func() (string, error) {
			return env.Kubectl(ctx, hub, "get", "clusters.v1beta2.cluster.x-k8s.io", "-n", "fleet", "late",
				"-o", `jsonpath={.status.conditions[?(@.type=="RemoteConnectionProbe")].status}`)
		}
		Consistently(probe).WithTimeout(2 * time.Second).ShouldNot(Equal("True"))
		Expect(hub.WriteKubeconfig(ctx, "fleet", "late", cluster.Kubeconfig())).To(Succeed())
		Expect(hub.WaitProvisioned(ctx, "fleet", "late")).To(Succeed())
	})

	It("runs again after a stop, with a rotated kubeconfig", func(ctx SpecContext) {
		config, err := cluster.ConfigFor("capi", "system:masters")
		Expect(err).NotTo(HaveOccurred())
		Expect(hub.StopClusterAPI()).To(Succeed())
		Expect(hub.WriteKubeconfig(ctx, "fleet", "late", testenv.KubeconfigFor("late", config))).To(Succeed())
		Expect(hub.StartClusterAPI(ctx)).To(Succeed())
		Eventually(func() ([]byte, error) { return os.ReadFile(cluster.AuditLog()) }).WithTimeout(30 * time.Second).
			Should(ContainSubstring(`"username":"capi"`))
		Expect(hub.WaitProvisioned(ctx, "fleet", "late")).To(Succeed())
	})

	It("lets a cluster go", func(ctx SpecContext) {
		Expect(hub.UnregisterWorkload(ctx, "fleet", "one")).To(Succeed())
		Expect(env.Kubectl(ctx, hub, "get", "clusters,realclusters,realcontrolplanes,secrets", "-n", "fleet", "-o", "name")).
			NotTo(ContainSubstring("one"))
	})
})

var _ = Describe("StopAll", func() {
	It("ends what a detached environment left, and nothing else", func(ctx SpecContext) {
		dir, err := os.MkdirTemp("", "testenv-")
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(os.RemoveAll, dir)
		left, err := testenv.Start(ctx, dir, testenv.Detached())
		Expect(err).NotTo(HaveOccurred())
		server, err := left.NewServer(ctx, testenv.Options{Name: "left"})
		Expect(err).NotTo(HaveOccurred())
		_, err = testenv.Start(ctx, dir)
		Expect(err).To(MatchError(ContainSubstring("holds an earlier environment")))
		By("planting the number of a process that is not ours")
		Expect(os.WriteFile(filepath.Join(dir, "pids", "other.pid"), []byte("1\n"), 0o600)).To(Succeed())
		Expect(testenv.StopAll(dir)).To(MatchError(ContainSubstring("1 is no process of ours")))
		Expect(os.Remove(filepath.Join(dir, "pids", "other.pid"))).To(Succeed())
		Eventually(server.PID).Should(BeZero())
		Expect(filepath.Glob(filepath.Join(dir, "pids", "*"))).To(BeEmpty())
		Expect(testenv.StopAll(dir)).To(Succeed())
	})
})
