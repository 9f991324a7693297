// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"maps"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/flow"
)

// canaryBoundary is the boundary that a canary crosses, by the name it has in a denial.
const canaryBoundary = "canary"

// Canary is a request that every API server must refuse while its guard acts. It is sent as
// CanaryUser, as a dry run.
type Canary struct {
	// Family whose policy must refuse it.
	Family string
	// Guard whose address it names; "" if it names none.
	Guard string
	// Object to be created, or whose labels are merged into the object of that name.
	Object *unstructured.Unstructured
	Patch  bool
	// Want is what the denial must contain: for a canary that names an address, one that
	// only this revision of the Guard refuses.
	Want string
}

// canaryHost is the address that proves a Guard.
func canaryHost(g *skottv1.Guard) string {
	return fmt.Sprintf("%s.%s.canary.skott.invalid", g.Spec.Revision, g.Name)
}

// addCanary makes host an address that may reach no place.
func addCanary(s *skottv1.GuardSpec, host string) {
	s.Addresses[host] = skottv1.PlaceCanary
	s.Addresses["persistentvolume/"+host] = skottv1.PlaceCanary
	s.Hosts, s.Aliases, s.Crossings = maps.Clone(s.Hosts), maps.Clone(s.Aliases), maps.Clone(s.Crossings)
	s.Hosts[host] = ""
	s.Aliases[host] = host
	nowhere := map[string]string{s.Cluster.Environment: canaryBoundary}
	for _, environment := range s.Namespaces {
		nowhere[environment] = canaryBoundary
	}
	s.Crossings[skottv1.PlaceCanary] = nowhere
}

// Canaries are the requests that prove the Guards of one cluster: one per family, and for
// further parts of a split Guard one of the cheapest family each.
func Canaries(guards []*skottv1.Guard) []Canary {
	var out []Canary
	for i, g := range guards {
		if g.Spec.Action != skottv1.ActionDeny {
			continue
		}
		host := canaryHost(g)
		config := canary(flow.Config, host, "ConfigMap", map[string]any{"data": map[string]any{"address": host}})
		config.Guard = g.Name
		if i > 0 {
			out = append(out, config)
			continue
		}
		out = append(out,
			canary(flow.Storage, host, "PersistentVolumeClaim", map[string]any{"spec": map[string]any{
				"volumeName": host, "storageClassName": "", "accessModes": []any{"ReadWriteOnce"},
				"resources": map[string]any{"requests": map[string]any{"storage": "1Gi"}}}}),
			canary(flow.Network, host, "Service", map[string]any{"spec": map[string]any{"type": "ExternalName", "externalName": host}}),
			canary(flow.Workload, host, "Pod", canaryPod(host)),
			config,
			named(canary(flow.Delivery, host, "Secret", nil), Namespace, host),
			relabelled(flow.Clusters, CodeNamespaceLabel, "v1", "Namespace", Namespace),
			relabelled(guardFamily, CodeGuard, skottv1.GroupVersion.String(), "Guard", guardName(skottv1.ActionDeny, 0)),
		)
		for _, family := range g.Spec.Families {
			if f := flow.Family(family); !f.Everywhere() && f != guardFamily {
				out = append(out, groupCanary(f, host))
			}
		}
	}
	return out
}

func canary(family flow.Family, want, kind string, content map[string]any) Canary {
	object := map[string]any{"apiVersion": "v1", "kind": kind}
	maps.Copy(object, content)
	return named(Canary{Family: string(family), Object: &unstructured.Unstructured{Object: object}, Want: want}, Namespace, canaryName(family))
}

func named(c Canary, namespace, name string) Canary {
	c.Object.SetNamespace(namespace)
	c.Object.SetName(name)
	return c
}

// canaryKind is what the policy of an API group reads beside the kinds of the group, whose
// objects a canary cannot be: their schemas differ. Nothing acts on a ControllerRevision.
var canaryKind = func() *flow.Kind {
	t, errs := (&flow.Table{}).Merge([]skottv1.MovementKindSpec{{
		Group: canaryGroup, Kind: "ControllerRevision", Resource: "controllerrevisions", Versions: []string{"v1"},
		Fields: []skottv1.MovementField{{Path: "metadata.annotations{" + canaryAnnotation + "}", Form: flow.Endpoint, Direction: flow.From}},
	}})
	if errs[0] != nil {
		panic(errs[0])
	}
	return t.Kinds()[0]
}()

const (
	canaryGroup      = "apps"
	canaryAnnotation = "skott.dev/canary"
)

func canaryName(family flow.Family) string { return "skott-canary-" + string(family) }

// canaryResource matches the canary of a family, and no other object.
func canaryResource(family flow.Family) admissionv1.NamedRuleWithOperations {
	r := resource(canaryGroup, writes, canaryKind.Resource)
	r.ResourceNames = []string{canaryName(family)}
	return r
}

// groupCanary proves the policy of an API group.
func groupCanary(family flow.Family, host string) Canary {
	c := canary(family, host, canaryKind.Kind, map[string]any{"apiVersion": canaryGroup + "/v1", "data": map[string]any{}, "revision": int64(1)})
	c.Object.SetAnnotations(map[string]string{canaryAnnotation: host})
	return c
}

// relabelled changes a label of Skott's on an object that exists.
func relabelled(family flow.Family, want Code, apiVersion, kind, name string) Canary {
	object := &unstructured.Unstructured{Object: map[string]any{"apiVersion": apiVersion, "kind": kind}}
	object.SetName(name)
	object.SetLabels(map[string]string{skottv1.LabelEnvironment: "canary"})
	return Canary{Family: string(family), Object: object, Patch: true, Want: string(want)}
}

// canaryPod fits the restricted Pod Security level, so that nothing refuses it before the
// policy does.
func canaryPod(host string) map[string]any {
	no, yes := false, true
	return map[string]any{"spec": map[string]any{
		"serviceAccountName": "skott-canary", "automountServiceAccountToken": no,
		"securityContext": map[string]any{"runAsNonRoot": yes, "seccompProfile": map[string]any{"type": "RuntimeDefault"}},
		"containers": []any{map[string]any{
			"name": "canary", "image": host + "/canary",
			"securityContext": map[string]any{"allowPrivilegeEscalation": no, "capabilities": map[string]any{"drop": []any{"ALL"}}},
		}},
	}}
}
