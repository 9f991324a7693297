// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// guardCRDName is what the CRD of kind Guard must be called.
const guardCRDName = "guards.skott.dev"

// accountObjects are the two accounts with their rights, in the order to apply them in.
// Rights name every verb and resource: a wildcard would grow with the API server. manages
// adds what is needed where Cluster API runs.
func accountObjects(namespace string, manages bool) []client.Object {
	named := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Name: name, Labels: map[string]string{skottv1.LabelManagedBy: skottv1.FieldOwner}}
	}
	in := func(name string) metav1.ObjectMeta {
		m := named(name)
		m.Namespace = namespace
		return m
	}
	objects := []client.Object{
		&corev1.Namespace{ObjectMeta: named(namespace)},
		&corev1.ServiceAccount{ObjectMeta: in(operatorAccount)},
		&corev1.ServiceAccount{ObjectMeta: in(canaryAccount)},
	}
	for _, grant := range []struct {
		account        string
		cluster, local []rbacv1.PolicyRule
	}{
		{operatorAccount, operatorClusterRules(manages), operatorRules()},
		{canaryAccount, canaryClusterRules(namespace), canaryRules()},
	} {
		subjects := []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: grant.account}}
		objects = append(objects,
			&rbacv1.ClusterRole{ObjectMeta: named(grant.account), Rules: grant.cluster},
			&rbacv1.ClusterRoleBinding{ObjectMeta: named(grant.account), Subjects: subjects,
				RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: grant.account}},
			&rbacv1.Role{ObjectMeta: in(grant.account), Rules: grant.local},
			&rbacv1.RoleBinding{ObjectMeta: in(grant.account), Subjects: subjects,
				RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: grant.account}},
		)
	}
	return objects
}

// operatorClusterRules are the rights of the operator's account in a guarded cluster; one that manages
// others reads and labels Clusters too.
func operatorClusterRules(manages bool) []rbacv1.PolicyRule {
	write := []string{"get", "list", "watch", "create", "update", "patch", "delete"}
	rules := []rbacv1.PolicyRule{
		{APIGroups: []string{"admissionregistration.k8s.io"}, Verbs: write,
			Resources: []string{"validatingadmissionpolicies", "validatingadmissionpolicybindings"}},
		// To see whether a guard webhook was left behind.
		{APIGroups: []string{"admissionregistration.k8s.io"}, Verbs: []string{"get"}, Resources: []string{"validatingwebhookconfigurations"},
			ResourceNames: []string{webhookConfiguration, webhookProbe}},
		{APIGroups: []string{"skott.dev"}, Verbs: write, Resources: []string{"guards"}},
		{APIGroups: []string{"apiextensions.k8s.io"}, Resources: []string{"customresourcedefinitions"},
			Verbs: []string{"get", "update", "patch"}, ResourceNames: []string{guardCRDName}},
		// RBAC cannot restrict create by name. All are listed, because what a cluster serves
		// decides which policies it needs.
		{APIGroups: []string{"apiextensions.k8s.io"}, Resources: []string{"customresourcedefinitions"}, Verbs: []string{"create", "list", "watch"}},
		{APIGroups: []string{""}, Resources: []string{"namespaces"}, Verbs: []string{"get", "list", "watch"}},
	}
	if manages {
		rules = append(rules,
			rbacv1.PolicyRule{APIGroups: []string{"cluster.x-k8s.io"}, Resources: []string{"clusters"},
				Verbs: []string{"get", "list", "watch", "patch"}},
			// The kubeconfigs of Cluster API. Without list and watch, a name has to be known.
			rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}},
		)
	}
	return rules
}

// operatorRules let the account renew its own token and the canary's.
func operatorRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"},
		Verbs: []string{"create"}, ResourceNames: []string{operatorAccount, canaryAccount}}}
}

// canaryClusterRules allow what only admission may refuse, so that a denial is admission's.
func canaryClusterRules(namespace string) []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		{APIGroups: []string{"skott.dev"}, Resources: []string{"guards"}, Verbs: []string{"create", "patch"}},
		{APIGroups: []string{""}, Resources: []string{"namespaces"}, Verbs: []string{"patch"}, ResourceNames: []string{namespace}},
	}
}

func canaryRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Verbs: []string{"create"}, Resources: []string{"pods", "configmaps", "services", "secrets", "persistentvolumeclaims"}},
		{APIGroups: []string{"apps"}, Verbs: []string{"create"}, Resources: []string{"controllerrevisions"}},
	}
}
