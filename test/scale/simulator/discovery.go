// SPDX-License-Identifier: Apache-2.0

package simulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// served is a kind that simulated clusters serve.
type served struct {
	group, version, resource, kind string
	namespaced                     bool
}

func (s *served) apiVersion() string { return strings.TrimPrefix(s.group+"/"+s.version, "/") }

func (s *served) collection() string {
	if s.group == "" {
		return "/api/" + s.version + "/" + s.resource
	}
	return "/apis/" + s.group + "/" + s.version + "/" + s.resource
}

// kinds are those of a cluster with Velero, and where Cluster API runs those of the latter.
var kinds = []served{
	{"", "v1", "namespaces", "Namespace", false}, {"", "v1", "serviceaccounts", "ServiceAccount", true},
	{"", "v1", "nodes", "Node", false}, {"", "v1", "pods", "Pod", true}, {"", "v1", "configmaps", "ConfigMap", true}, {"", "v1", "secrets", "Secret", true},
	{"", "v1", "services", "Service", true}, {"", "v1", "persistentvolumes", "PersistentVolume", false},
	{"", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", true},
	{"apps", "v1", "deployments", "Deployment", true}, {"apps", "v1", "statefulsets", "StatefulSet", true},
	{"apps", "v1", "controllerrevisions", "ControllerRevision", true},
	{"networking.k8s.io", "v1", "ingresses", "Ingress", true},
	{"rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", false}, {"rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", false},
	{"rbac.authorization.k8s.io", "v1", "roles", "Role", true}, {"rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", true},
	{"admissionregistration.k8s.io", "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy", false},
	{"admissionregistration.k8s.io", "v1", "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", false},
	{"admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration", false},
	{"admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations", "MutatingWebhookConfiguration", false},
	{"apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", false},
	{"skott.dev", "v1alpha1", "guards", "Guard", false},
	{"velero.io", "v1", "backupstoragelocations", "BackupStorageLocation", true},
	{"cluster.x-k8s.io", "v1beta2", "clusters", "Cluster", true},
}

// servedAt is the kind of a collection, or nil.
func servedAt(collection string) *served {
	for i := range kinds {
		if kinds[i].collection() == collection {
			return &kinds[i]
		}
	}
	return nil
}

func (c *Cluster) kinds() []served {
	if c.management {
		return kinds
	}
	return kinds[:len(kinds)-1]
}

// groups are the groups of API in the order of the table.
func (c *Cluster) groups() (names []string, resources map[string][]metav1.APIResource) {
	resources = map[string][]metav1.APIResource{}
	for _, k := range c.kinds() {
		gv := k.apiVersion()
		if resources[gv] == nil {
			names = append(names, gv)
		}
		resources[gv] = append(resources[gv], metav1.APIResource{Name: k.resource, SingularName: strings.ToLower(k.kind), Kind: k.kind, Namespaced: k.namespaced,
			Verbs: metav1.Verbs{"get", "list", "watch", "create", "update", "patch", "delete"}})
	}
	return names, resources
}

const aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

// discover answers what is no object of the API.
func (c *Cluster) discover(w http.ResponseWriter, r *http.Request) {
	names, resources := c.groups()
	switch path := strings.TrimSuffix(r.URL.Path, "/"); {
	case path == "" || path == "/readyz" || path == "/livez":
		answer(w, http.StatusOK, []byte(`{"paths":[]}`))
	case path == "/version":
		answer(w, http.StatusOK, []byte(`{"major":"1","minor":"36","gitVersion":"v1.36.3+simulated"}`))
	case (path == "/api" || path == "/apis") && strings.Contains(r.Header.Get("Accept"), "as=APIGroupDiscoveryList"):
		c.aggregated(w, path == "/api")
	case path == "/api":
		answer(w, http.StatusOK, []byte(`{"kind":"APIVersions","versions":["v1"]}`))
	case path == "/apis":
		list := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIGroupList"}}
		for _, gv := range names {
			if group, version, ok := strings.Cut(gv, "/"); ok {
				list.Groups = append(list.Groups, apiGroup(group, version))
			}
		}
		encode(w, list)
	default:
		gv := strings.TrimPrefix(strings.TrimPrefix(path, "/apis/"), "/api/")
		for _, name := range names {
			if group, version, ok := strings.Cut(name, "/"); ok && group == gv {
				g := apiGroup(group, version)
				g.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "APIGroup"}
				encode(w, g)
				return
			}
		}
		if resources[gv] == nil {
			refuse(w, http.StatusNotFound, metav1.StatusReasonNotFound, "the server could not find the requested resource")
			return
		}
		encode(w, metav1.APIResourceList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIResourceList"}, GroupVersion: gv, APIResources: resources[gv]})
	}
}

func apiGroup(group, version string) metav1.APIGroup {
	v := metav1.GroupVersionForDiscovery{GroupVersion: group + "/" + version, Version: version}
	return metav1.APIGroup{Name: group, Versions: []metav1.GroupVersionForDiscovery{v}, PreferredVersion: v}
}

func encode(w http.ResponseWriter, o any) {
	body, _ := json.Marshal(o) // types of the API encode
	answer(w, http.StatusOK, body)
}

// aggregated answers with every group at once, as API servers do.
func (c *Cluster) aggregated(w http.ResponseWriter, core bool) {
	names, resources := c.groups()
	var items []string
	for _, gv := range names {
		group, version, named := strings.Cut(gv, "/")
		if !named {
			group, version = "", gv
		}
		if named == core {
			continue
		}
		var rs []string
		for _, r := range resources[gv] {
			scope := map[bool]string{true: "Namespaced", false: "Cluster"}[r.Namespaced]
			verbs, _ := json.Marshal(r.Verbs)
			rs = append(rs, fmt.Sprintf(`{"resource":%q,"responseKind":{"group":%q,"version":%q,"kind":%q},"scope":%q,"singularResource":%q,"verbs":%s}`,
				r.Name, group, version, r.Kind, scope, r.SingularName, verbs))
		}
		items = append(items, fmt.Sprintf(`{"metadata":{"name":%q},"versions":[{"version":%q,"freshness":"Current","resources":[%s]}]}`, group, version, strings.Join(rs, ",")))
	}
	w.Header().Set("Content-Type", aggregated)
	w.WriteHeader(http.StatusOK)
	fmt.Fprintf(w, `{"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/v2","metadata":{},"items":[%s]}`, strings.Join(items, ","))
}
