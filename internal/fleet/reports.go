// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/report"
	"github.com/skott-dev/skott/internal/status"
)

const (
	// reportAccount is the name of the rights to write reports, apart from those to guard.
	reportAccount = "skott-reporter"
	// reportIdle is how often it is looked whether something else was found, and reportAgain
	// how often reports are put right that somebody changed.
	reportIdle  = time.Second
	reportAgain = 10 * time.Minute
)

// Reports writes the reports of one cluster.
type Reports struct {
	// Client of the account that may write them.
	Client dynamic.Interface
	// Timeout of every request.
	Timeout time.Duration
}

// The labels of Skott's reports that are about the cluster they are in, and of those in the
// Ops Cluster that are about others.
const (
	ownReports     = skottv1.LabelManagedBy + "=" + skottv1.FieldOwner + ",!" + skottv1.LabelCentral
	centralReports = skottv1.LabelManagedBy + "=" + skottv1.FieldOwner + "," + skottv1.LabelCentral
)

// Central makes a namespace of the Ops Cluster hold one report for each finding in each of
// the clusters, by their keys, and deletes those about other clusters but those to keep,
// because nothing is known of them yet.
func (r Reports) Central(ctx context.Context, groups []string, namespace string, findings map[string][]status.Finding, keep func(cluster string) bool) error {
	var errs []error
	chosen := false
	for _, api := range report.APIs {
		if !slices.Contains(groups, api.Group) {
			continue
		}
		var desired []*unstructured.Unstructured
		first := !chosen // of two APIs one has them
		for _, cluster := range slices.Sorted(maps.Keys(findings)) {
			if first {
				desired = append(desired, report.Central(api, namespace, cluster, findings[cluster])...)
			}
		}
		chosen = true
		still := func(u *unstructured.Unstructured) bool {
			cluster := u.GetAnnotations()[skottv1.AnnotationCluster]
			_, known := findings[cluster]
			return first && !known && keep(cluster)
		}
		namespaced, _ := api.Resources()
		errs = append(errs, r.hold(ctx, namespaced, held{selector: centralReports, namespace: namespace, keep: still}, desired[:min(len(desired), report.MaxCentral)]))
	}
	return errors.Join(errs...)
}

// held says which reports are Skott's to delete where they are not desired.
type held struct {
	selector, namespace string
	keep                func(*unstructured.Unstructured) bool
}

func own() held {
	return held{selector: ownReports, keep: func(*unstructured.Unstructured) bool { return false }}
}

// Hold makes the cluster hold exactly one report for each finding, in the first of the APIs
// that is among the API groups it serves, and deletes Skott's others. Reports of others are
// not touched. A report that cannot be written keeps none of the others from it.
func (r Reports) Hold(ctx context.Context, groups []string, findings []status.Finding) error {
	var errs []error
	chosen := false
	for _, api := range report.APIs {
		if !slices.Contains(groups, api.Group) {
			continue
		}
		var desired []*unstructured.Unstructured
		if !chosen {
			desired, chosen = report.Of(api, findings), true
		}
		namespaced, cluster := api.Resources()
		inNamespace := func(u *unstructured.Unstructured) bool { return u.GetNamespace() != "" }
		beside := func(u *unstructured.Unstructured) bool { return u.GetNamespace() == "" }
		errs = append(errs, r.hold(ctx, namespaced, own(), filter(desired, inNamespace)), r.hold(ctx, cluster, own(), filter(desired, beside)))
	}
	return errors.Join(errs...)
}

func filter(all []*unstructured.Unstructured, keep func(*unstructured.Unstructured) bool) (out []*unstructured.Unstructured) {
	for _, u := range all {
		if keep(u) {
			out = append(out, u)
		}
	}
	return out
}

// hold makes the reports of one resource those that are desired. An error names each that could not be
// written or deleted; the others are.
func (r Reports) hold(ctx context.Context, resource schema.GroupVersionResource, h held, desired []*unstructured.Unstructured) error {
	live, err := r.list(ctx, resource, h)
	if err != nil {
		return fmt.Errorf("cannot list %s: %w", resource.GroupResource(), err)
	}
	var errs []error
	for _, u := range desired {
		key := client.ObjectKeyFromObject(u)
		there := live[key]
		delete(live, key)
		if err := r.put(ctx, resource, u, there); err != nil {
			errs = append(errs, fmt.Errorf("cannot write %s %s: %w", resource.GroupResource(), key, err))
		}
	}
	for key, u := range live {
		if h.keep(u) {
			continue
		}
		err := r.do(ctx, func(ctx context.Context) error {
			return r.at(resource, key.Namespace).Delete(ctx, key.Name, metav1.DeleteOptions{})
		})
		if err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("cannot delete %s %s: %w", resource.GroupResource(), key, err))
		}
	}
	return errors.Join(errs...)
}

// put writes a report if it is not what is there.
func (r Reports) put(ctx context.Context, resource schema.GroupVersionResource, u, there *unstructured.Unstructured) error {
	if there == nil {
		return r.do(ctx, func(ctx context.Context) error {
			_, err := r.at(resource, u.GetNamespace()).Create(ctx, u, metav1.CreateOptions{FieldManager: skottv1.FieldOwner})
			return err
		})
	}
	report.KeepTimes(u, there)
	same := reflect.DeepEqual(u.GetOwnerReferences(), there.GetOwnerReferences()) &&
		carries(there.GetLabels(), u.GetLabels()) && carries(there.GetAnnotations(), u.GetAnnotations())
	for _, field := range []string{"scope", "summary", "results", "source"} {
		same = same && reflect.DeepEqual(u.Object[field], there.Object[field])
	}
	if same {
		return nil
	}
	u = u.DeepCopy()
	u.SetResourceVersion(there.GetResourceVersion())
	return r.do(ctx, func(ctx context.Context) error {
		_, err := r.at(resource, u.GetNamespace()).Update(ctx, u, metav1.UpdateOptions{FieldManager: skottv1.FieldOwner})
		return err
	})
}

// list reads Skott's own reports, in pages.
func (r Reports) list(ctx context.Context, resource schema.GroupVersionResource, h held) (map[client.ObjectKey]*unstructured.Unstructured, error) {
	out := map[client.ObjectKey]*unstructured.Unstructured{}
	options := metav1.ListOptions{Limit: pageSize, LabelSelector: h.selector}
	for {
		var page *unstructured.UnstructuredList
		err := r.do(ctx, func(ctx context.Context) (err error) {
			page, err = r.at(resource, h.namespace).List(ctx, options)
			return err
		})
		if err != nil {
			return nil, err
		}
		for i := range page.Items {
			out[client.ObjectKeyFromObject(&page.Items[i])] = &page.Items[i]
		}
		if options.Continue = page.GetContinue(); options.Continue == "" {
			return out, nil
		}
	}
}

func (r Reports) at(resource schema.GroupVersionResource, namespace string) dynamic.ResourceInterface {
	if namespace == "" {
		return r.Client.Resource(resource)
	}
	return r.Client.Resource(resource).Namespace(namespace)
}

func (r Reports) do(ctx context.Context, request func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	return request(ctx)
}

// reporter keeps the reports of one cluster. Nothing waits for it.
type reporter struct {
	loop    *loop
	reports *Reports
	granted time.Time

	// What was written last, and when.
	groups   []string
	findings []status.Finding
	at       time.Time
}

// run writes reports until the context ends.
func (r *reporter) run(ctx context.Context) {
	backoff := backoffFirst
	for next := reportIdle; pause(ctx, next) == nil; {
		next = reportIdle
		if err := r.pass(ctx); err != nil && ctx.Err() == nil {
			ctrllog.FromContext(ctx).Info("Failing to write reports", "error", brief(err))
			next, backoff = backoff, min(2*backoff, backoffLast)
			r.at = time.Time{}
			continue
		}
		backoff = backoffFirst
	}
}

// pass writes reports if anything else was found than is written.
func (r *reporter) pass(ctx context.Context) error {
	c := r.loop.station.snapshot()
	off := r.loop.station.member.currentTarget().NoReports
	if c.UID == "" || c.GuardedAs != "" || c.Guard.Revision == "" || c.Scan == nil && !off {
		return nil
	}
	var findings []status.Finding
	if !off {
		findings = c.Scan.Findings
	}
	var groups []string
	for _, api := range report.APIs {
		if slices.Contains(c.Groups, api.Group) {
			groups = append(groups, api.Group)
		}
	}
	fresh := time.Since(r.at) < reportAgain
	if len(groups) == 0 || fresh && slices.Equal(groups, r.groups) && reflect.DeepEqual(findings, r.findings) {
		return nil
	}
	if r.reports == nil {
		objects, err := dynamic.NewForConfig(r.loop.link.account.config)
		if err != nil {
			return fmt.Errorf("cannot write reports: %s", brief(err))
		}
		r.reports = &Reports{Client: objects, Timeout: r.loop.options().Timeout}
	}
	if err := r.grant(ctx); err != nil {
		return err
	}
	if err := r.reports.Hold(ctx, groups, findings); err != nil {
		return err
	}
	r.groups, r.findings, r.at = groups, findings, time.Now()
	return nil
}

// grant gives the account the rights to write reports, with the given credentials, once in a
// while, and only where there are reports. Where the operator itself runs they were installed with it.
func (r *reporter) grant(ctx context.Context) error {
	if r.loop.link.account.inCluster || time.Since(r.granted) < regrant {
		return nil
	}
	for _, o := range reportObjects(r.loop.options().Namespace) {
		u, err := toUnstructured(o)
		if err != nil {
			return err
		}
		if _, err := applyObject(ctx, r.loop.link.admin, u); err != nil && r.granted.IsZero() {
			return err
		} // else it was granted before, and the given credentials may have expired since
	}
	r.granted = time.Now()
	return nil
}

// reportObjects are the rights to write reports, of both APIs.
func reportObjects(namespace string) []client.Object {
	var rules []rbacv1.PolicyRule
	for _, api := range report.APIs {
		namespaced, cluster := api.Resources()
		rules = append(rules, rbacv1.PolicyRule{APIGroups: []string{api.Group}, Resources: []string{namespaced.Resource, cluster.Resource},
			Verbs: []string{"list", "create", "update", "delete"}})
	}
	m := metav1.ObjectMeta{Name: reportAccount, Labels: map[string]string{skottv1.LabelManagedBy: skottv1.FieldOwner}}
	return []client.Object{
		&rbacv1.ClusterRole{ObjectMeta: m, Rules: rules},
		&rbacv1.ClusterRoleBinding{ObjectMeta: m,
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: operatorAccount}},
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: reportAccount}},
	}
}
