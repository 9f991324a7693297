// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/status"
)

const (
	// surveyAccount is the name of the rights to read security measures. They are apart from
	// those to guard, as those to learn are.
	surveyAccount = "skott-surveyor"
	// surveyIdle is how often it is looked whether the account works yet.
	surveyIdle = time.Second
	// maxSurveyed objects of one kind are read; a cluster has fewer of what is a measure.
	maxSurveyed = 10_000
	// maxMeasureName is how long a name may be to be reported.
	maxMeasureName = 512
)

// surveyor reads the security measures of one cluster from time to time. Nothing waits for it,
// and nothing that it reads is kept but names and how strong they are.
type surveyor struct {
	loop    *loop
	objects dynamic.Interface
	names   metadata.Interface
	granted time.Time
	refusal string
}

// surveyed is a kind that is a measure, or that has some.
type surveyed struct {
	kind LearnKind
	// as is the kind that measures are reported under.
	as string
	// whole objects are read, else their metadata.
	whole    bool
	measures func(*unstructured.Unstructured) []status.Measure
}

const admissionGroup = "admissionregistration.k8s.io"

func surveyKind(group, resource, kind string, versions ...string) LearnKind {
	return LearnKind{Group: group, Resource: resource, Kind: kind, Versions: versions}
}

// surveyKinds are all of them. Namespaces are read beside.
var surveyKinds = []surveyed{
	{surveyKind(admissionGroup, "validatingadmissionpolicies", "ValidatingAdmissionPolicy", "v1"), "ValidatingAdmissionPolicy", true, failing},
	{surveyKind(admissionGroup, "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", "v1"), "ValidatingAdmissionPolicyBinding", true, acting},
	{surveyKind(admissionGroup, "mutatingadmissionpolicies", "MutatingAdmissionPolicy", "v1", "v1beta1", "v1alpha1"), "MutatingAdmissionPolicy", true, failing},
	{surveyKind(admissionGroup, "mutatingadmissionpolicybindings", "MutatingAdmissionPolicyBinding", "v1", "v1beta1", "v1alpha1"), "MutatingAdmissionPolicyBinding", false, present},
	{surveyKind(admissionGroup, "validatingwebhookconfigurations", "ValidatingWebhookConfiguration", "v1"), "ValidatingWebhookConfiguration", true, calling},
	{surveyKind(admissionGroup, "mutatingwebhookconfigurations", "MutatingWebhookConfiguration", "v1"), "MutatingWebhookConfiguration", true, calling},
	{surveyKind("networking.k8s.io", "networkpolicies", "NetworkPolicy", "v1"), status.KindNetworkPolicy, false, around},
	{surveyKind("kyverno.io", "clusterpolicies", "ClusterPolicy", "v1", "v2beta1"), "ClusterPolicy", false, present},
	{surveyKind("policies.kyverno.io", "validatingpolicies", "ValidatingPolicy", "v1", "v1beta1", "v1alpha1"), "ValidatingPolicy", false, present},
	{surveyKind("templates.gatekeeper.sh", "constrainttemplates", "ConstraintTemplate", "v1"), "ConstraintTemplate", false, present},
}

var surveyNamespaces = surveyed{surveyKind("", "namespaces", "Namespace", "v1"), status.KindPodSecurity, false, podSecurity}

func present(u *unstructured.Unstructured) []status.Measure {
	return []status.Measure{{Name: u.GetName(), Strength: 1}}
}

// around: a namespace has network policies or none.
func around(u *unstructured.Unstructured) []status.Measure {
	return []status.Measure{{Name: u.GetNamespace(), Strength: 1}}
}

// failing is a policy, by what happens when it cannot be evaluated.
func failing(u *unstructured.Unstructured) []status.Measure {
	said, _, _ := unstructured.NestedString(u.Object, "spec", "failurePolicy")
	return []status.Measure{failure(u.GetName(), said)}
}

func failure(name, said string) status.Measure {
	if said == "Ignore" {
		return status.Measure{Name: name, Strength: 1, Says: said}
	}
	return status.Measure{Name: name, Strength: 2, Says: "Fail"}
}

// acting is a binding, by the strictest of its actions.
func acting(u *unstructured.Unstructured) []status.Measure {
	actions, _, _ := unstructured.NestedStringSlice(u.Object, "spec", "validationActions")
	m := status.Measure{Name: u.GetName(), Strength: 1}
	for strength, action := range []string{"Audit", "Warn", "Deny"} {
		if slices.Contains(actions, action) {
			m.Strength, m.Says = strength+1, action
		}
	}
	return []status.Measure{m}
}

// calling are the webhooks of a configuration.
func calling(u *unstructured.Unstructured) []status.Measure {
	hooks, _, _ := unstructured.NestedSlice(u.Object, "webhooks")
	var out []status.Measure
	for _, hook := range hooks {
		if h, ok := hook.(map[string]any); ok {
			name, _ := h["name"].(string)
			said, _ := h["failurePolicy"].(string)
			out = append(out, failure(u.GetName()+"/"+name, said))
		}
	}
	return out
}

// podSecurity is the level that a Namespace enforces. One that enforces nothing, and one that
// says that it does, are the same.
func podSecurity(u *unstructured.Unstructured) []status.Measure {
	level := u.GetLabels()["pod-security.kubernetes.io/enforce"]
	if strength := slices.Index([]string{"", "baseline", "restricted"}, level); strength > 0 {
		return []status.Measure{{Name: u.GetName(), Strength: strength, Says: level}}
	}
	return nil
}

// run surveys the cluster until the context ends.
func (s *surveyor) run(ctx context.Context) {
	for next := surveyIdle; pause(ctx, next) == nil; {
		c := s.loop.station.snapshot()
		if c.UID == "" || c.GuardedAs != "" || c.Guard.Revision == "" { // nothing was written as the account yet
			next = surveyIdle
			continue
		}
		next = spread(s.loop.options().SurveyInterval)
		if err := s.pass(ctx); err != nil && ctx.Err() == nil {
			ctrllog.FromContext(ctx).V(1).Info("Failing to survey", "error", brief(err))
			next = min(next, backoffLast)
		}
	}
}

// pass reads everything once. What cannot be read is a gap; when nothing answers, what was
// known stays.
func (s *surveyor) pass(ctx context.Context) error {
	if err := s.connect(); err != nil {
		return err
	}
	s.grant(ctx)
	kinds := make([]LearnKind, 0, len(surveyKinds))
	for _, k := range surveyKinds {
		kinds = append(kinds, k.kind)
	}
	served, err := s.loop.link.resources(kinds)
	if err != nil {
		return err
	}
	found := &status.Measures{Namespaces: map[string]bool{}, Gaps: map[string]string{}}
	err = s.read(ctx, surveyNamespaces, "v1", func(u *unstructured.Unstructured) {
		found.Namespaces[u.GetName()] = true
		add(found, surveyNamespaces, u)
	})
	if err != nil {
		return err
	}
	for _, k := range surveyKinds {
		version, sure := served.version(k.kind)
		if version == "" {
			if !sure {
				found.Gaps[k.as] = "its API group does not answer"
			}
			continue
		}
		switch err := s.read(ctx, k, version, func(u *unstructured.Unstructured) { add(found, k, u) }); {
		case apierrors.IsForbidden(err):
			found.Gaps[k.as] = cmp.Or(s.refusal, "forbidden")
		case apierrors.IsNotFound(err): // not served any more
		case err != nil && !answered(err):
			return err
		case err != nil:
			found.Gaps[k.as] = brief(err)
		}
	}
	slices.SortFunc(found.All, compareMeasures)
	found.All = slices.Compact(found.All)
	s.loop.station.update(func(c *Cluster) {
		if c.Measures == nil || !reflect.DeepEqual(*c.Measures, *found) {
			c.Measures = found
		}
	})
	return nil
}

// add takes what an object is, or has.
func add(to *status.Measures, k surveyed, u *unstructured.Unstructured) {
	for _, m := range k.measures(u) {
		if m.Kind = k.as; len(m.Name) <= maxMeasureName {
			to.All = append(to.All, m)
		}
	}
}

func compareMeasures(a, b status.Measure) int {
	return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Name, b.Name), a.Strength-b.Strength)
}

func (s *surveyor) connect() (err error) {
	if s.objects != nil {
		return nil
	}
	config := s.loop.link.account.config
	if s.names, err = metadata.NewForConfig(config); err == nil {
		s.objects, err = dynamic.NewForConfig(config)
	}
	if err != nil {
		return fmt.Errorf("cannot survey: %s", brief(err))
	}
	return nil
}

// read visits the objects of a kind that are not Skott's own, in pages.
func (s *surveyor) read(ctx context.Context, k surveyed, version string, visit func(*unstructured.Unstructured)) error {
	resource := schema.GroupVersionResource{Group: k.kind.Group, Version: version, Resource: k.kind.Resource}
	options := metav1.ListOptions{Limit: pageSize, LabelSelector: skottv1.LabelManagedBy + "!=" + skottv1.FieldOwner}
	for n := 0; ; {
		items, next, err := s.page(ctx, k.whole, resource, options)
		if err != nil {
			return err
		}
		for i := range items {
			visit(&items[i])
		}
		if n += len(items); next == "" {
			return nil
		} else if n >= maxSurveyed {
			return fmt.Errorf("more than %d objects", maxSurveyed)
		}
		options.Continue = next
	}
}

// page reads one page, whole or of metadata.
func (s *surveyor) page(ctx context.Context, whole bool, resource schema.GroupVersionResource, options metav1.ListOptions) ([]unstructured.Unstructured, string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.loop.options().Timeout)
	defer cancel()
	if whole {
		list, err := s.objects.Resource(resource).List(ctx, options)
		if err != nil {
			return nil, "", err
		}
		return list.Items, list.GetContinue(), nil
	}
	list, err := s.names.Resource(resource).List(ctx, options)
	if err != nil {
		return nil, "", err
	}
	out := make([]unstructured.Unstructured, len(list.Items))
	for i := range list.Items {
		m := &list.Items[i]
		out[i].Object = map[string]any{}
		out[i].SetNamespace(m.Namespace)
		out[i].SetName(m.Name)
		out[i].SetLabels(m.Labels)
	}
	return out, list.Continue, nil
}

// grant gives the account the rights to read, with the given credentials, once in a while. Where
// the operator itself runs they were installed with it.
func (s *surveyor) grant(ctx context.Context) {
	if s.loop.link.account.inCluster || time.Since(s.granted) < s.loop.options().regrantSurvey() {
		return
	}
	s.granted, s.refusal = time.Now(), ""
	for _, o := range surveyObjects(s.loop.options().Namespace) {
		u, err := toUnstructured(o)
		if err != nil {
			continue // none of ours
		}
		if _, err := applyObject(ctx, s.loop.link.admin, u); err != nil {
			s.refusal = fmt.Sprintf("%s %q could not be granted: %s", u.GetKind(), u.GetName(), brief(err))
			return
		}
	}
}

// regrantSurvey is how often rights are written again, in case somebody took them away.
func (o Options) regrantSurvey() time.Duration { return max(regrant, o.SurveyInterval) }

// surveyObjects are the rights to read measures. Namespaces are read by the right to guard.
func surveyObjects(namespace string) []client.Object {
	var rules []rbacv1.PolicyRule
	for _, k := range surveyKinds {
		rules = append(rules, rbacv1.PolicyRule{APIGroups: []string{k.kind.Group}, Resources: []string{k.kind.Resource}, Verbs: []string{"list"}})
	}
	return granting(namespace, surveyAccount, rules)
}
