// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// learnAccount is the name of the rights to read what addresses are learned from. They are
// apart from those to guard: a cluster that does not grant them is guarded all the same.
const learnAccount = "skott-learner"

// scanAccount is the name of the rights to read what is scanned.
const scanAccount = "skott-scanner"

// resources are the versions of the resources that an API server serves.
type resources struct {
	// versions in the order of the API server's preference.
	versions map[schema.GroupResource][]string
	// failed are groups that do not answer: whether they have a resource is not known.
	failed map[string]bool
}

// version to follow a kind in, "" if it is not served; sure is false if that is not known.
// A version that is not known either is better than none: fields rarely move.
func (r *resources) version(k LearnKind) (version string, sure bool) {
	served := r.versions[schema.GroupResource{Group: k.Group, Resource: k.Resource}]
	for _, v := range k.Versions {
		if slices.Contains(served, v) {
			return v, true
		}
	}
	if len(served) > 0 {
		return served[0], true
	}
	return "", !r.failed[k.Group]
}

// resources finds out in which versions the API server serves kinds.
func (l *link) resources(kinds []LearnKind) (*resources, error) {
	asked := l.asked()
	d, ok := asked.(discovery.AggregatedDiscoveryInterface)
	if !ok {
		return nil, fmt.Errorf("cannot discover with a %T", asked)
	}
	groups, all, failed, err := d.GroupsAndMaybeResources()
	if err != nil {
		return nil, fmt.Errorf("cannot discover the resources: %w", err)
	}
	out := &resources{versions: map[schema.GroupResource][]string{}, failed: map[string]bool{}}
	for gv := range failed {
		out.failed[gv.Group] = true
	}
	wanted := map[string]bool{}
	for _, k := range kinds {
		wanted[k.Group] = true
	}
	for _, g := range groups.Groups {
		for _, v := range g.Versions {
			gv := schema.GroupVersion{Group: g.Name, Version: v.Version}
			if !wanted[g.Name] {
				continue
			}
			list := all[gv]
			if all == nil { // an older API server tells one version at a time
				if list, err = asked.ServerResourcesForGroupVersion(gv.String()); err != nil {
					out.failed[g.Name] = true
					continue
				}
			}
			out.add(gv, list)
		}
	}
	return out, nil
}

func (r *resources) add(gv schema.GroupVersion, list *metav1.APIResourceList) {
	if list == nil {
		return
	}
	for _, resource := range list.APIResources {
		if slices.Contains(resource.Verbs, "list") && slices.Contains(resource.Verbs, "watch") {
			key := schema.GroupResource{Group: gv.Group, Resource: resource.Name}
			r.versions[key] = append(r.versions[key], gv.Version)
		}
	}
}

// grant gives the account the right to read exactly the kinds that are learned from, with the
// given credentials, and reports whether it did. Where the operator itself runs the rights
// were installed with it.
func (r *learner) grant(ctx context.Context, learning Learning) bool {
	if r.link.account.inCluster || r.revision == learning.Revision && !r.mayRegrant() {
		return false
	}
	refusal := ""
	for _, obj := range learnObjects(r.link.options.Namespace, learning.Kinds) {
		u, err := toUnstructured(obj)
		if err != nil {
			continue
		}
		if _, err := applyObject(ctx, r.link.admin, u); err != nil {
			refusal = fmt.Sprintf("%s %q could not be granted: %s", u.GetKind(), u.GetName(), brief(err))
		}
	}
	r.mu.Lock()
	r.refusal, r.granted = refusal, time.Now()
	r.mu.Unlock()
	if len(learning.Kinds) > 0 && refusal == "" {
		first := learning.Kinds[0]
		r.link.account.awaitRight(ctx, schema.GroupResource{Group: first.Group, Resource: first.Resource})
	}
	return refusal == ""
}

// awaitRight waits until the API server knows rights that were just written, of which one is to
// list a resource. Without it every kind would be refused once, and be late by the pause that follows.
func (a *account) awaitRight(ctx context.Context, resource schema.GroupResource) {
	_ = wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, grantWait, true, func(ctx context.Context) (bool, error) {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{Group: resource.Group, Resource: resource.Resource, Verb: "list"}}}
		err := a.operator.Create(ctx, review)
		return review.Status.Allowed, err
	})
}

// mayRegrant reports whether something is refused, and the rights were not granted lately.
func (r *learner) mayRegrant() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.granted) < regrant {
		return false
	}
	refused := r.refusal != ""
	for _, f := range r.kinds {
		_, problem := f.sights.state()
		refused = refused || problem != ""
	}
	return refused
}

// learnObjects are the rights to read kinds, by name. That some do not exist does no harm.
// Secrets have a role of their own: a cluster may refuse to grant it without losing the rest.
func learnObjects(namespace string, kinds []LearnKind) []client.Object {
	secretRules := []rbacv1.PolicyRule{}
	if slices.ContainsFunc(kinds, isSecret) {
		secretRules = append(secretRules, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: readVerbs})
	}
	return append(granting(namespace, learnAccount, reading(kinds, readVerbs...)), granting(namespace, learnAccount+"-secrets", secretRules)...)
}

var readVerbs = []string{"get", "list", "watch"}

func isSecret(k LearnKind) bool { return k.Group == "" && k.Resource == "secrets" }

// scanObjects are the rights to read what is scanned beside Secrets, which are read by the right to
// learn from them.
func scanObjects(namespace string, kinds []ScanKind) []client.Object {
	read := make([]LearnKind, len(kinds))
	for i, k := range kinds {
		read[i] = k.learn()
	}
	return granting(namespace, scanAccount, reading(read, "list", "watch"))
}

// reading are the rules to read kinds by name, but for Secrets.
func reading(kinds []LearnKind, verbs ...string) []rbacv1.PolicyRule {
	byGroup := map[string][]string{}
	for _, k := range kinds {
		if !isSecret(k) {
			byGroup[k.Group] = append(byGroup[k.Group], k.Resource)
		}
	}
	var rules []rbacv1.PolicyRule
	for _, group := range slices.Sorted(maps.Keys(byGroup)) {
		slices.Sort(byGroup[group])
		rules = append(rules, rbacv1.PolicyRule{APIGroups: []string{group}, Resources: slices.Compact(byGroup[group]), Verbs: verbs})
	}
	return rules
}

// granting is a role of the operator's account.
func granting(namespace, name string, rules []rbacv1.PolicyRule) []client.Object {
	meta := metav1.ObjectMeta{Name: name, Labels: map[string]string{skottv1.LabelManagedBy: skottv1.FieldOwner}}
	return []client.Object{
		&rbacv1.ClusterRole{ObjectMeta: meta, Rules: rules},
		&rbacv1.ClusterRoleBinding{ObjectMeta: meta,
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: operatorAccount}},
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name}},
	}
}
