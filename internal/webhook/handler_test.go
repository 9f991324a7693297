// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/internal/metrics"
	"github.com/skott-dev/skott/internal/policy"
	"github.com/skott-dev/skott/test/corpus"
)

// claims are the namespaces of an Environment of their own, as in the other readers' tests.
var claims = map[string]string{"preview": "staging", "tests": "testing"}

func labelsOf(_ context.Context, name string) (map[string]string, error) {
	if claim := claims[name]; claim != "" {
		return map[string]string{skottv1.LabelEnvironment: claim}, nil
	}
	return nil, nil
}

func handlerOf(guards ...*skottv1.Guard) *Handler {
	g := NewGuards()
	for _, one := range guards {
		g.Set(one)
	}
	g.Synced()
	return NewHandler(g, labelsOf, metrics.New(prometheus.NewRegistry()))
}

// platform compiles the Guards of the corpus, by cluster.
func platform(t testing.TB) map[string][]*skottv1.Guard {
	t.Helper()
	read, err := corpus.ReadPlatform()
	if err != nil {
		t.Fatal(err)
	}
	p := policy.New(read.Snapshot)
	out := map[string][]*skottv1.Guard{}
	for name, c := range read.Clusters {
		out[name] = p.Guards(c.GuardedCluster, c.Namespaces, policy.BuiltinRules().AllFamilies())
	}
	return out
}

// requestFor is a request as an API server writes it.
func requestFor(t testing.TB, c *corpus.Case) *admissionv1.AdmissionRequest {
	t.Helper()
	u := &unstructured.Unstructured{Object: c.Object}
	kind := u.GroupVersionKind()
	name := strings.ToLower(kind.Kind) + "s"
	for _, k := range flow.Builtin().Kinds() {
		if k.Group == kind.Group && k.Kind == kind.Kind {
			name = k.Resource
		}
	}
	r := &admissionv1.AdmissionRequest{
		UID: "1", Operation: admissionv1.Create, SubResource: c.Subresource, Namespace: u.GetNamespace(),
		Kind:     metav1.GroupVersionKind{Group: kind.Group, Version: kind.Version, Kind: kind.Kind},
		Resource: metav1.GroupVersionResource{Group: kind.Group, Version: kind.Version, Resource: name},
		UserInfo: authenticationv1.UserInfo{Username: "admin"},
		Object:   runtime.RawExtension{Raw: marshal(t, c.Object)},
	}
	if c.User == "operator" {
		r.UserInfo.Username = policy.Operator
	}
	if c.OldObject != nil {
		r.Operation, r.OldObject = admissionv1.Update, runtime.RawExtension{Raw: marshal(t, c.OldObject)}
	}
	return r
}

// decisionOf is what Evaluate is asked, of the same request.
func decisionOf(c *corpus.Case, r *admissionv1.AdmissionRequest) *policy.Request {
	out := &policy.Request{
		Operation: string(r.Operation), Group: r.Resource.Group, Resource: r.Resource.Resource, Subresource: r.SubResource,
		Namespace: r.Namespace, User: r.UserInfo.Username, Object: c.Object, OldObject: c.OldObject, Raw: r.Object.Raw, Lookup: c.Lookup,
	}
	out.NamespaceLabels, _ = labelsOf(context.Background(), r.Namespace)
	return out
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	content, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func reviewOf(t testing.TB, r *admissionv1.AdmissionRequest) []byte {
	t.Helper()
	return marshal(t, admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}, Request: r,
	})
}

// ask sends a body and returns the answer, which must be one that an API server takes.
func ask(t testing.TB, h http.Handler, body []byte) *admissionv1.AdmissionResponse {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, Path, bytes.NewReader(body)))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	var r admissionv1.AdmissionReview
	if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil || r.Response == nil || r.Response.UID != "1" || r.Kind != "AdmissionReview" {
		t.Fatalf("answer %s: %v", w.Body, err)
	}
	return r.Response
}

// The webhook says, of every object of the corpus, what Evaluate says: those that the
// policies cannot see, and the innocent ones, too.
func TestCorpus(t *testing.T) {
	guards := platform(t)
	cases, err := corpus.Cases()
	if err != nil {
		t.Fatal(err)
	}
	beyond, err := corpus.OnlyEvaluate()
	if err != nil {
		t.Fatal(err)
	}
	denied := 0
	for _, c := range append(cases, beyond...) {
		asked := requestFor(t, c)
		if asked.Resource.Group == skottv1.GroupVersion.Group || policy.Essential(asked.Resource.Group, asked.Resource.Resource) {
			continue // the policies protect these, and the webhook is never asked
		}
		t.Run(c.Title(), func(t *testing.T) {
			h := handlerOf(guards[c.Cluster]...)
			h.Lookup = func(_ context.Context, kind *flow.Kind, namespace, name string) (map[string]any, error) {
				return c.Lookup(kind.Group, kind.Resource, namespace, name), nil
			}
			got := ask(t, h, reviewOf(t, asked))
			want := policy.NewEvaluator(guards[c.Cluster]...).Evaluate(decisionOf(c, asked))
			if got.Allowed != want.Allowed || got.Allowed && len(c.Expect) > 0 {
				t.Fatalf("allowed = %t, want %t with codes %v; %+v", got.Allowed, want.Allowed, c.Expect, got.Result)
			}
			if got.Allowed {
				return
			}
			if got.Result.Message != want.Message {
				t.Errorf("message %q, want %q", got.Result.Message, want.Message)
			}
			denied++
			if got.Result.Code != http.StatusForbidden || got.Result.Reason != metav1.StatusReasonForbidden {
				t.Errorf("status = %+v, want Forbidden", got.Result)
			}
			for _, want := range c.Contains {
				if !strings.Contains(got.Result.Message, want) {
					t.Errorf("message %q lacks %q", got.Result.Message, want)
				}
			}
		})
	}
	if denied < 50 {
		t.Errorf("%d cases were denied: the corpus was not read", denied)
	}
}

// crossing is an object of staging that names an address of production.
var crossing = &corpus.Case{Cluster: "staging", Object: map[string]any{
	"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "c", "namespace": "default"},
	"data": map[string]any{"host": "db.prod.example"},
}}

func TestActions(t *testing.T) {
	deny := platform(t)["staging"][0]
	body := reviewOf(t, requestFor(t, crossing))
	message := ask(t, handlerOf(deny), body).Result.Message
	if !strings.HasPrefix(message, `crosses DataBoundary "`) {
		t.Fatalf("message = %q", message)
	}
	quiet := deny.DeepCopy() // of action Deny, but crossed by nothing
	quiet.Spec.Crossings = map[string]map[string]string{}
	for action, want := range map[skottv1.Action]*admissionv1.AdmissionResponse{
		skottv1.ActionWarn:  {UID: "1", Allowed: true, Warnings: []string{message}},
		skottv1.ActionAudit: {UID: "1", Allowed: true, AuditAnnotations: map[string]string{"crossing": message}},
	} {
		t.Run(string(action), func(t *testing.T) {
			guard := deny.DeepCopy()
			guard.Name, guard.Spec.Action = "skott-other", action
			if diff := cmp.Diff(want, ask(t, handlerOf(quiet, guard), body)); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
}

// A namespace of production in a staging cluster, or the other way round, is asked for; if
// that fails nothing is admitted.
func TestNamespaces(t *testing.T) {
	h := handlerOf(platform(t)["staging"]...)
	h.NamespaceLabels = func(context.Context, string) (map[string]string, error) { return nil, errors.New("gone") }
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, Path, bytes.NewReader(reviewOf(t, requestFor(t, crossing)))))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
}

// What an object names and cannot be read, because the API server does not say, was not
// judged; what is not there is no reference.
func TestJoins(t *testing.T) {
	cases, err := corpus.Cases()
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(cases, func(c *corpus.Case) bool { return len(c.Others) > 0 && len(c.Expect) > 0 })
	if at < 0 {
		t.Fatal("the corpus has no join")
	}
	h := handlerOf(platform(t)[cases[at].Cluster]...)
	for _, c := range []struct {
		err  error
		want int
	}{{errors.New("gone"), http.StatusServiceUnavailable}, {nil, http.StatusOK}} {
		h.Lookup = func(context.Context, *flow.Kind, string, string) (map[string]any, error) { return nil, c.err }
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, Path, bytes.NewReader(reviewOf(t, requestFor(t, cases[at])))))
		if w.Code != c.want {
			t.Errorf("status %d, want %d: %s", w.Code, c.want, w.Body)
		}
	}
}

// endless is a body of unknown length that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// Whatever is sent, nothing is admitted by accident: an API server takes every other status
// than 200 for a failure.
func TestOddBodies(t *testing.T) {
	h := handlerOf(platform(t)["staging"]...)
	fine := requestFor(t, crossing)
	broken := *fine
	broken.Object.Raw = []byte(`["db.prod.example"]`)
	for name, c := range map[string]struct {
		body io.Reader
		want int
	}{
		"Empty":       {strings.NewReader(""), http.StatusBadRequest},
		"NoJSON":      {strings.NewReader("{"), http.StatusBadRequest},
		"Null":        {strings.NewReader("null"), http.StatusBadRequest},
		"NoRequest":   {strings.NewReader(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`), http.StatusBadRequest},
		"NoUID":       {strings.NewReader(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{}}`), http.StatusBadRequest},
		"OldVersion":  {bytes.NewReader(bytes.Replace(reviewOf(t, fine), []byte("k8s.io/v1"), []byte("k8s.io/v1beta1"), 1)), http.StatusBadRequest},
		"ObjectAList": {bytes.NewReader(reviewOf(t, &broken)), http.StatusBadRequest},
		"Endless":     {endless{}, http.StatusRequestEntityTooLarge},
		"Large":       {bytes.NewReader(make([]byte, maxBody+1)), http.StatusRequestEntityTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, Path, c.body))
			if w.Code != c.want {
				t.Errorf("status %d, want %d: %s", w.Code, c.want, w.Body)
			}
		})
	}
	if len(h.larges) != 0 {
		t.Errorf("%d places of large bodies are taken for ever", len(h.larges))
	}
	if got := ask(t, h, reviewOf(t, fine)); got.Allowed {
		t.Error("it admits a crossing after that")
	}
}

// Null and absent objects, and fields of the wrong type, are nothing that crosses.
func TestOddObjects(t *testing.T) {
	h := handlerOf(platform(t)["staging"]...)
	for name, raw := range map[string]string{
		"Null": `null`, "Empty": `{}`, "NullData": `{"data":null}`, "TextData": `{"data":"x"}`, "NumberInData": `{"data":{"a":1}}`,
		"NullMetadata": `{"metadata":null,"data":{"a":"x"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			r := requestFor(t, crossing)
			r.Object.Raw = []byte(raw)
			if got := ask(t, h, reviewOf(t, r)); !got.Allowed {
				t.Errorf("denied: %+v", got.Result)
			}
		})
	}
}

// An object as large as etcd stores is read to its end.
func TestLargeObject(t *testing.T) {
	h := handlerOf(platform(t)["staging"]...)
	for name, allowed := range map[string]bool{"db.prod.example": false, "db.nowhere.example": true} {
		c := *crossing
		c.Object = map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "c", "namespace": "default"},
			"data": map[string]any{"host": strings.Repeat("<p>Some ordinary prose. </p>\n", 1<<20/29) + name}}
		if got := ask(t, h, reviewOf(t, requestFor(t, &c))); got.Allowed != allowed {
			t.Errorf("%s: allowed = %t, want %t", name, got.Allowed, allowed)
		}
	}
}

func TestNothingIsAdmittedUnread(t *testing.T) {
	guards := NewGuards()
	h := NewHandler(guards, labelsOf, metrics.New(prometheus.NewRegistry()))
	body := reviewOf(t, requestFor(t, crossing))
	status := func() int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, Path, bytes.NewReader(body)))
		return w.Code
	}
	guard := platform(t)["staging"][0]
	warn := guard.DeepCopy()
	warn.Name, warn.Spec.Action = "skott-warn", skottv1.ActionWarn
	for _, step := range []struct {
		what string
		do   func()
		want int
	}{
		{"nothing was read", func() {}, http.StatusServiceUnavailable},
		{"not all was read", func() { guards.Set(guard) }, http.StatusServiceUnavailable},
		{"all was read, and none is of action Deny", func() { guards.Delete(guard.Name); guards.Set(warn); guards.Synced() }, http.StatusServiceUnavailable},
		{"a Guard of action Deny came", func() { guards.Set(guard) }, http.StatusOK},
		{"every Guard was deleted", func() { guards.Delete(guard.Name); guards.Delete(warn.Name) }, http.StatusOK},
	} {
		step.do()
		if got := status(); got != step.want {
			t.Errorf("%s: status %d, want %d", step.what, got, step.want)
		}
	}
	if got := ask(t, h, body); got.Allowed {
		t.Error("a deleted Guard does not refuse any more")
	}
}

// While a book in parts is published, an address that moves to another part is never in none: it is
// written there first, under another name, and decides from then on.
func TestPublicationUnderWay(t *testing.T) {
	part := func(name string, addresses ...string) *skottv1.Guard {
		g := platform(t)["staging"][0].DeepCopy()
		g.Name, g.Spec.Revision = name, fmt.Sprint(addresses)
		g.Spec.Addresses, g.Spec.Hosts = map[string]string{}, map[string]string{}
		for _, a := range addresses {
			g.Spec.Addresses[a], g.Spec.Hosts[a] = "production", ""
		}
		return g
	}
	h := handlerOf(part("skott", "db.prod.example"), part("skott-1", "other.prod.example"))
	body := reviewOf(t, requestFor(t, crossing))
	revision := h.Guards.Revision()
	for i, step := range []func(){
		func() { h.Guards.Set(part("skott-1-next", "other.prod.example", "db.prod.example")) },
		func() { h.Guards.Set(part("skott", "third.prod.example")) },
		func() { h.Guards.Set(part("skott-1", "other.prod.example", "db.prod.example")) },
		func() { h.Guards.Delete("skott-1-next") },
	} {
		step()
		if got := ask(t, h, body); got.Allowed || h.Guards.Revision() == revision {
			t.Errorf("step %d: allowed = %t at revision %q, which was %q before", i, got.Allowed, h.Guards.Revision(), revision)
		}
		revision = h.Guards.Revision()
	}
}

// Exempt are Skott's own objects, what a cluster needs to start, and what writes nothing.
func TestExempt(t *testing.T) {
	h := handlerOf(platform(t)["staging"]...)
	for name, change := range map[string]func(*admissionv1.AdmissionRequest){
		"DataLocation": func(r *admissionv1.AdmissionRequest) {
			r.Resource.Group, r.Resource.Resource = "skott.dev", "datalocations"
		},
		"Guard": func(r *admissionv1.AdmissionRequest) { r.Resource.Group, r.Resource.Resource = "skott.dev", "guards" },
		"Lease": func(r *admissionv1.AdmissionRequest) {
			r.Resource.Group, r.Resource.Resource = "coordination.k8s.io", "leases"
		},
		"Node":   func(r *admissionv1.AdmissionRequest) { r.Resource.Resource = "nodes" },
		"Delete": func(r *admissionv1.AdmissionRequest) { r.Operation = admissionv1.Delete },
	} {
		t.Run(name, func(t *testing.T) {
			r := requestFor(t, crossing)
			change(r)
			if got := ask(t, h, reviewOf(t, r)); !got.Allowed {
				t.Errorf("denied: %+v", got.Result)
			}
		})
	}
}

func TestConcurrency(t *testing.T) {
	h := handlerOf(platform(t)["staging"]...)
	guards := platform(t)["staging"]
	body := reviewOf(t, requestFor(t, crossing))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 50 {
				if got := ask(t, h, body); got.Allowed {
					t.Error("a crossing was admitted while the Guard changed")
				}
			}
		})
		all.Go(func() {
			for range 20 {
				h.Guards.Set(guards[0])
			}
		})
	}
	all.Wait()
}

func FuzzHandler(f *testing.F) {
	h := handlerOf(platform(f)["staging"]...)
	f.Add(reviewOf(f, requestFor(f, crossing)))
	f.Add([]byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"1","operation":"CREATE","resource":{"resource":"pods"},"object":{"spec":{"containers":[null,{"env":3}]}}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, Path, bytes.NewReader(body)))
		if w.Code == http.StatusInternalServerError {
			t.Fatalf("it panicked: %s", w.Body)
		}
	})
}

func BenchmarkHandler(b *testing.B) {
	h := handlerOf(platform(b)["staging"]...)
	body := reviewOf(b, requestFor(b, crossing))
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(b.Context(), http.MethodPost, Path, bytes.NewReader(body)))
	}
}

// BenchmarkRebuild is what a changed Guard of 10,000 addresses takes before it decides, once
// it was read.
func BenchmarkRebuild(b *testing.B) {
	guard := platform(b)["staging"][0].DeepCopy()
	for i := range 10_000 {
		host := fmt.Sprintf("h%d.production.example", i)
		guard.Spec.Addresses[host], guard.Spec.Hosts[host] = "production", ""
	}
	guards := NewGuards()
	guards.Synced()
	b.ReportAllocs()
	for b.Loop() {
		guards.Set(guard)
	}
}

// BenchmarkInnocent is the usual request: a large object that names nothing of the book.
func BenchmarkInnocent(b *testing.B) {
	h := handlerOf(platform(b)["staging"]...)
	for _, size := range []int{1 << 10, 100 << 10} {
		c := *crossing
		c.Object = map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "c", "namespace": "default"},
			"data": map[string]any{"text": strings.Repeat("Some ordinary prose. ", size/21)}}
		body := reviewOf(b, requestFor(b, &c))
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(b.Context(), http.MethodPost, Path, bytes.NewReader(body)))
			}
		})
	}
}
