// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

var pods = schema.GroupResource{Resource: "pods"}

func TestClassify(t *testing.T) {
	cases := map[string]struct {
		err  error
		want string
	}{
		"refused credentials": {apierrors.NewUnauthorized("no"), skottv1.ReasonUnauthorized},
		"missing permission":  {apierrors.NewForbidden(pods, "a", errors.New("rbac")), skottv1.ReasonForbidden},
		"unknown authority":   {&url.Error{Op: "Get", Err: x509.UnknownAuthorityError{}}, skottv1.ReasonCertificateInvalid},
		"other host":          {x509.HostnameError{Certificate: &x509.Certificate{}, Host: "a"}, skottv1.ReasonCertificateInvalid},
		"expired":             {x509.CertificateInvalidError{Reason: x509.Expired}, skottv1.ReasonCertificateInvalid},
		"deadline":            {context.DeadlineExceeded, skottv1.ReasonUnreachable},
		"refused connection":  {&url.Error{Op: "Get", URL: "https://a", Err: errors.New("connection refused")}, skottv1.ReasonUnreachable},
		"server error":        {apierrors.NewInternalError(errors.New("broken")), skottv1.ReasonUnreachable},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			for _, err := range []error{c.err, fmt.Errorf("cannot get namespace %q: %w", "kube-system", c.err)} {
				if got, _ := classify(err); got != c.want {
					t.Errorf("classify(%v) = %q, want %q", err, got, c.want)
				}
			}
		})
	}
}

func TestMessagesCarryNoCredentials(t *testing.T) {
	err := &url.Error{Op: "Get", URL: "https://admin:hunter2@a.example/?token=hunter2", Err: errors.New("connection refused")}
	if _, message := classify(fmt.Errorf("cannot get: %w", err)); strings.Contains(message, "hunter2") || message != "connection refused" {
		t.Errorf("message is %q", message)
	}
	if _, message := classify(errors.New(strings.Repeat("x", 1<<20))); len(message) > 2*maxMessage {
		t.Errorf("message has %d bytes", len(message))
	}
}

func TestLabelsFor(t *testing.T) {
	target := Target{Name: "mc", Environment: "staging", Stage: "testing", Datacenter: "sto2"}
	want := map[string]string{
		"skott.dev/environment": "staging", "skott.dev/stage": "testing", "skott.dev/datacenter": "sto2",
		"skott.dev/management-cluster": "mc", "skott.dev/guarded": "true",
	}
	if diff := cmp.Diff(want, labelsFor(target, true)); diff != "" {
		t.Error(diff)
	}
	if carries(map[string]string{}, map[string]string{"a": ""}) {
		t.Error("a missing label counts as an empty one")
	}
}

func TestGuardedNow(t *testing.T) {
	now := time.Now()
	cases := map[string]struct {
		state   GuardState
		guarded bool
		again   time.Duration
	}{
		"nothing known":               {GuardState{Phase: Unknown}, false, 0},
		"proved":                      {GuardState{Phase: Enforced, ProvedRevision: "a"}, true, 0},
		"never proved":                {GuardState{Phase: Published, Since: now}, false, 0},
		"next revision under way":     {GuardState{Phase: Publishing, ProvedRevision: "a", Since: now.Add(-5 * time.Second)}, true, 10 * time.Second},
		"next revision takes long":    {GuardState{Phase: Publishing, ProvedRevision: "a", Since: now.Add(-time.Minute)}, false, 0},
		"not provable for long":       {GuardState{Phase: Published, ProvedRevision: "a", Since: now.Add(-time.Minute)}, false, 0},
		"canary admitted just now":    {GuardState{Phase: CanaryAdmitted, ProvedRevision: "a", Since: now}, false, 0},
		"unreachable since just now":  {GuardState{Phase: Unreachable, ProvedRevision: "a", Since: now}, false, 0},
		"not guardable since upgrade": {GuardState{Phase: NotGuardable, ProvedRevision: "a", Since: now}, false, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if guarded, again := guardedNow(c.state, now); guarded != c.guarded || again != c.again {
				t.Errorf("got %t, again in %s, want %t, %s", guarded, again, c.guarded, c.again)
			}
		})
	}
}

func TestEnterKeepsSinceWhileUnproved(t *testing.T) {
	began := time.Now().Add(-time.Hour)
	g := GuardState{Phase: Publishing, Since: began}
	if g.Enter(time.Now(), Published, "", ""); !g.Since.Equal(began) {
		t.Error("publishing and published do not count as one")
	}
	if g.Enter(time.Now(), Enforced, "", ""); g.Since.Equal(began) {
		t.Error("a new phase keeps the old time")
	}
}

func TestDrifted(t *testing.T) {
	r := record{uid: "u", generation: 3, labels: map[string]string{"a": "b"}}
	live := func(change func(*metav1.PartialObjectMetadata)) *metav1.PartialObjectMetadata {
		m := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			UID: "u", Generation: 3, ResourceVersion: "9", Labels: map[string]string{"a": "b", "other": "x"}}}
		change(m)
		return m
	}
	cases := map[string]struct {
		live *metav1.PartialObjectMetadata
		want bool
	}{
		"as written":     {live(func(*metav1.PartialObjectMetadata) {}), false},
		"status written": {live(func(m *metav1.PartialObjectMetadata) { m.ResourceVersion = "10" }), false},
		"gone":           {nil, true},
		"created anew":   {live(func(m *metav1.PartialObjectMetadata) { m.UID = "v" }), true},
		"changed":        {live(func(m *metav1.PartialObjectMetadata) { m.Generation = 4 }), true},
		"label lost":     {live(func(m *metav1.PartialObjectMetadata) { delete(m.Labels, "a") }), true},
		"label changed":  {live(func(m *metav1.PartialObjectMetadata) { m.Labels["a"] = "c" }), true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := r.drifted(c.live); got != c.want {
				t.Errorf("drifted is %t", got)
			}
		})
	}
}

func TestSame(t *testing.T) {
	type m = map[string]any
	type l = []any
	cases := map[string]struct {
		desired, live any
		want          bool
	}{
		"equal":                 {m{"a": l{"x", int64(1)}}, m{"a": l{"x", int64(1)}}, true},
		"a default was added":   {m{"rules": l{m{}}}, m{"rules": l{m{"scope": "*"}}, "failurePolicy": "Fail", "namespaceSelector": m{}}, true},
		"a namespace":           {m{}, m{"finalizers": l{"kubernetes"}}, true},
		"no default":            {m{}, m{"failurePolicy": "Ignore"}, false},
		"a selector was added":  {m{}, m{"namespaceSelector": m{"matchLabels": m{"a": "b"}}}, false},
		"a condition was added": {m{"a": "b"}, m{"a": "b", "matchConditions": l{m{"name": "n", "expression": "false"}}}, false},
		"an entry was added":    {m{"a": l{"x"}}, m{"a": l{"x", "y"}}, false},
		"an entry was changed":  {m{"a": l{m{"b": "c"}}}, m{"a": l{m{"b": "d"}}}, false},
		"a key is missing":      {m{"a": "b"}, m{}, false},
		"an empty key is gone":  {m{"a": l{}, "b": m{}, "c": nil}, m{}, true},
		"other type":            {m{"a": "b"}, m{"a": m{}}, false},
		"nothing there":         {m{"a": "b"}, nil, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := same(c.desired, c.live); got != c.want {
				t.Errorf("same is %t", got)
			}
		})
	}
}

func TestStands(t *testing.T) {
	policy := func(change func(*unstructured.Unstructured)) *unstructured.Unstructured {
		u := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"validations": []any{map[string]any{"expression": "true"}}}}}
		u.SetLabels(map[string]string{"ours": "yes"})
		change(u)
		return u
	}
	now := metav1.Now()
	cases := map[string]struct {
		live func(*unstructured.Unstructured)
		want bool
	}{
		"as it was written":    {func(*unstructured.Unstructured) {}, true},
		"with another's label": {func(u *unstructured.Unstructured) { u.SetLabels(map[string]string{"ours": "yes", "other": "x"}) }, true},
		"without our label":    {func(u *unstructured.Unstructured) { u.SetLabels(nil) }, false},
		"being deleted":        {func(u *unstructured.Unstructured) { u.SetDeletionTimestamp(&now) }, false},
		"with a condition": {func(u *unstructured.Unstructured) {
			u.Object["spec"].(map[string]any)["matchConditions"] = []any{map[string]any{"name": "n", "expression": "false"}}
		}, false},
		"without content": {func(u *unstructured.Unstructured) { delete(u.Object, "spec") }, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := stands(policy(func(*unstructured.Unstructured) {}), policy(c.live), "spec"); got != c.want {
				t.Errorf("stands is %t", got)
			}
		})
	}
}

func TestDenied(t *testing.T) {
	policies := []*admissionv1.ValidatingAdmissionPolicy{{ObjectMeta: metav1.ObjectMeta{Name: "skott-config"}}}
	refusal := func(text string) error { return apierrors.NewForbidden(pods, "canary", errors.New(text)) }
	cases := map[string]struct {
		answer error
		want   bool
	}{
		"by our policy":       {refusal("ValidatingAdmissionPolicy 'skott-config' with binding 'b' denied request: crosses r1"), true},
		"of another revision": {refusal("ValidatingAdmissionPolicy 'skott-config' with binding 'b' denied request: crosses r0"), false},
		"by a foreign policy": {refusal("ValidatingAdmissionPolicy 'other' with binding 'b' denied request: crosses r1"), false},
		"revision in a name":  {refusal("ValidatingAdmissionPolicy 'skott-config' with binding 'r1' denied request: no"), false},
		"by RBAC":             {refusal(`User "r1" cannot create resource "pods"`), false},
		"by a webhook":        {refusal(`admission webhook "w" denied the request: r1`), false},
		"without a status":    {errors.New("ValidatingAdmissionPolicy 'skott-config' with binding 'b' denied request: r1"), false},
		"admitted":            {nil, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := denied(c.answer, policies, "r1")
			if (err == nil) != c.want {
				t.Errorf("denied is %v", err)
			}
			if errors.Is(err, errAdmitted) != (c.answer == nil) {
				t.Errorf("admitted is wrong: %v", err)
			}
		})
	}
}

func TestClaims(t *testing.T) {
	old, young := time.Unix(1, 0), time.Unix(2, 0)
	first := claim{key: "b", member: true, created: old}
	second := claim{key: "a", member: true, created: young}
	under := claim{key: "b/ns/itself", created: time.Unix(0, 0)}
	all := []claim{first, second, under}
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 2, 0}} {
		c := claims{byUID: map[types.UID][]claim{}}
		for _, i := range order {
			c.put("u", all[i])
		}
		if owner, moved := c.put("u", second); owner.key != "b" || moved {
			t.Errorf("order %v: %q owns it, moved %t", order, owner.key, moved)
		}
		if !c.drop("b") {
			t.Errorf("order %v: nobody takes over", order)
		}
		if owner, _ := c.put("u", under); owner.key != "a" {
			t.Errorf("order %v: then %q owns it", order, owner.key)
		}
		if owner, _ := c.put("v", second); owner.key != "a" {
			t.Errorf("a claim does not follow its cluster to another API server")
		}
		if owner, _ := c.put("u", under); owner.key != under.key {
			t.Errorf("order %v: last %q owns it", order, owner.key)
		}
	}
}

func TestFingerprint(t *testing.T) {
	base := func() *rest.Config {
		return &rest.Config{Host: "https://a", BearerToken: "t", TLSClientConfig: rest.TLSClientConfig{CAData: []byte("ca")}}
	}
	for name, change := range map[string]func(*rest.Config){
		"host": func(c *rest.Config) { c.Host = "https://b" }, "token": func(c *rest.Config) { c.BearerToken = "u" },
		"authority": func(c *rest.Config) { c.CAData = []byte("cb") }, "certificate": func(c *rest.Config) { c.CertData = []byte("x") },
		"server name": func(c *rest.Config) { c.ServerName = "x" }, "insecure": func(c *rest.Config) { c.Insecure = true },
	} {
		other := base()
		if change(other); fingerprint(other) == fingerprint(base()) {
			t.Errorf("a changed %s is not noticed", name)
		}
	}
	limits := base()
	limits.QPS, limits.Timeout, limits.UserAgent = 1, time.Second, "x"
	if fingerprint(limits) != fingerprint(base()) {
		t.Error("limits count")
	}
	file, later := base(), base()
	file.BearerTokenFile, later.BearerTokenFile, later.BearerToken = "f", "f", "renewed"
	if fingerprint(file) != fingerprint(later) {
		t.Error("a token that is read from a file counts by its content")
	}
}

func TestTokenIsRenewedEarly(t *testing.T) {
	now := time.Now()
	cases := map[string]struct {
		left, tried time.Duration
		renew       bool
	}{
		"fresh":                    {50 * time.Minute, time.Hour, false},
		"due":                      {10 * time.Minute, time.Hour, true},
		"due, failed a moment ago": {10 * time.Minute, time.Second, false},
		"expired":                  {-time.Second, time.Second, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := &tokenSource{token: &oauth2.Token{AccessToken: "t", Expiry: now.Add(c.left)}, tried: now.Add(-c.tried)}
			if _, renew := s.current(now); renew != c.renew {
				t.Errorf("renew is %t", renew)
			}
		})
	}
	if _, renew := (&tokenSource{}).current(now); !renew {
		t.Error("no token is not a reason to ask for one")
	}
}

func TestRightsAreNamed(t *testing.T) {
	for _, manages := range []bool{false, true} {
		for _, o := range accountObjects("skott-system", manages) {
			var rules []rbacv1.PolicyRule
			switch r := o.(type) {
			case *rbacv1.ClusterRole:
				rules = r.Rules
			case *rbacv1.Role:
				rules = r.Rules
			}
			for _, rule := range rules {
				if slices.Contains(slices.Concat(rule.Verbs, rule.Resources, rule.APIGroups), "*") {
					t.Errorf("%s grants a wildcard: %v", o.GetName(), rule)
				}
				if o.GetName() == canaryAccount && slices.ContainsFunc(rule.Verbs, func(v string) bool { return v != "create" && v != "patch" }) {
					t.Errorf("the canary may %v", rule.Verbs)
				}
				if slices.Contains(rule.Resources, "secrets") && o.GetName() == operatorAccount && !manages {
					t.Error("the operator reads secrets of a workload cluster")
				}
			}
		}
	}
}

// An API server that does not know the Guard yet admits canaries, where policies fail open, and is not one whose guard is off.
func TestOutcome(t *testing.T) {
	says := func(text string) error { return apierrors.NewForbidden(pods, "a", errors.New(text)) }
	denied := "ValidatingAdmissionPolicy 'skott-cluster' denied request: "
	blind := says(denied + "failed to configure policy: failed to find resource referenced by paramKind: 'skott.dev/v1alpha1, Kind=Guard'")
	for name, c := range map[string]struct {
		failure              admissionv1.FailurePolicyType
		results              []error
		admitted, unanswered []string
	}{
		"admitted":                          {admissionv1.Fail, []error{errAdmitted, nil}, []string{"config"}, nil},
		"admitted by one that fails open":   {admissionv1.Ignore, []error{errAdmitted, nil}, []string{"config"}, nil},
		"open and another revision":         {admissionv1.Ignore, []error{errAdmitted, says(denied + "by r1")}, []string{"config"}, []string{"cluster"}},
		"open and the Guard is not known":   {admissionv1.Ignore, []error{errAdmitted, blind}, nil, []string{"cluster", "config"}},
		"closed and the Guard is not known": {admissionv1.Fail, []error{blind, blind}, nil, []string{"cluster", "config"}},
		"closed by one policy and admitted": {admissionv1.Fail, []error{errAdmitted, blind}, []string{"config"}, []string{"cluster"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProof(Desired{
				Policies: []*admissionv1.ValidatingAdmissionPolicy{{Spec: admissionv1.ValidatingAdmissionPolicySpec{FailurePolicy: &c.failure}}},
			}, []Canary{{Family: "config"}, {Family: "cluster"}}, time.Minute)
			p.results = c.results
			p.pending = slices.DeleteFunc(p.pending, func(i int) bool { return p.results[i] == nil })
			admitted, unanswered := p.outcome()
			for i := range unanswered {
				unanswered[i], _, _ = strings.Cut(unanswered[i], " ")
			}
			if diff := cmp.Diff([][]string{c.admitted, c.unanswered}, [][]string{admitted, unanswered}); diff != "" {
				t.Errorf("admitted and unanswered (-want +got):\n%s", diff)
			}
		})
	}
}

// For Guards alone the canary of the last is enough; for anything else all are needed.
func TestUnproved(t *testing.T) {
	all := []Canary{{Family: "storage"}, {Family: "config", Guard: "skott"}, {Family: "network"}, {Family: "config", Guard: "skott-1"}}
	key := func(kind schema.GroupVersionKind, name string) objectKey { return objectKey{kind.Kind, name} }
	for name, c := range map[string]struct {
		written []objectKey
		want    []Canary
	}{
		"OneGuard":           {[]objectKey{key(kindGuard, "skott-1")}, all[3:]},
		"BothGuards":         {[]objectKey{key(kindGuard, "skott-1"), key(kindGuard, "skott")}, all[1:2]},
		"TheLastHasNone":     {[]objectKey{key(kindGuard, "skott-1"), key(kindGuard, "skott-audit")}, all[3:]},
		"GuardWithoutCanary": {[]objectKey{key(kindGuard, "skott-audit")}, all},
		"GuardAndPolicy":     {[]objectKey{key(kindGuard, "skott"), key(kindPolicy, "skott-config")}, all},
		"Binding":            {[]objectKey{key(kindBinding, "skott-config-deny")}, all},
	} {
		t.Run(name, func(t *testing.T) {
			var u unproved
			for _, k := range c.written {
				u.add(k)
			}
			if diff := cmp.Diff(c.want, u.canaries(all)); diff != "" {
				t.Errorf("canaries (-want +got):\n%s", diff)
			}
		})
	}
	if got := (&unproved{}).canaries(all); len(got) != 1 || got[0].Guard == "" {
		t.Errorf("when nothing was written: %v", got)
	}
}
