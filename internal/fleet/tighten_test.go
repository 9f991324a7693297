// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
)

func policyOf(name, expression string, failure admissionv1.FailurePolicyType) *admissionv1.ValidatingAdmissionPolicy {
	return &admissionv1.ValidatingAdmissionPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: kindPolicy.GroupVersion().String(), Kind: kindPolicy.Kind},
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: managed},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{FailurePolicy: &failure, ParamKind: &admissionv1.ParamKind{APIVersion: "skott.dev/v1alpha1", Kind: "Guard"},
			MatchConstraints: &admissionv1.MatchResources{}, Validations: []admissionv1.Validation{{Expression: expression}}},
	}
}

// TestTighten says which policies of a cluster are changed before the Guards of a publication are written. The order itself
// is held by real API servers.
func TestTighten(t *testing.T) {
	const now, older = "true", "1 == 1"
	fail, ignore := admissionv1.Fail, admissionv1.Ignore
	for name, c := range map[string]struct {
		live     *admissionv1.ValidatingAdmissionPolicy // nil: there is none
		desired  admissionv1.FailurePolicyType
		refused  bool // every change of it is
		asked    []string
		recorded bool
	}{
		"not there":              {nil, fail, false, []string{"GET"}, false},
		"open":                   {policyOf("p", now, ignore), fail, false, []string{"GET", "PATCH " + string(closing)}, false},
		"open, of another text":  {policyOf("p", older, ignore), fail, false, []string{"GET", "PATCH " + string(closing)}, false},
		"open, and stays so":     {policyOf("p", now, ignore), fail, true, []string{"GET", "PATCH " + string(closing)}, false},
		"as desired":             {policyOf("p", now, fail), fail, false, []string{"GET"}, true},
		"closed, of other text":  {policyOf("p", older, fail), fail, false, []string{"GET"}, false},
		"closed, and to be open": {policyOf("p", now, fail), ignore, false, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			var asked []string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if path.Base(r.URL.Path) != "p" {
					t.Errorf("%s is asked for", r.URL.Path)
				}
				if asked = append(asked, r.Method); r.Method == http.MethodPatch {
					asked[len(asked)-1] += " " + string(body)
				}
				w.Header().Set("Content-Type", "application/json")
				switch {
				case c.live == nil:
					w.WriteHeader(http.StatusNotFound)
					_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`))
				case r.Method == http.MethodPatch && c.refused:
					w.WriteHeader(http.StatusInternalServerError)
				default:
					_ = json.NewEncoder(w).Encode(c.live)
				}
			}))
			defer server.Close()
			link, err := newLink(&rest.Config{Host: server.URL}, true, Options{Timeout: 5 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			defer link.close()
			l := &loop{link: link, records: map[objectKey]record{}}
			d := Desired{Policies: []*admissionv1.ValidatingAdmissionPolicy{policyOf("p", now, c.desired)}}
			objects, err := d.items(nil, &encodings{})
			if err != nil {
				t.Fatal(err)
			}
			window := l.tighten(ctrllog.IntoContext(context.Background(), ctrllog.Log), d, objects, nil)
			if diff := cmp.Diff(c.asked, asked); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			if _, recorded := l.records[objects[0].key]; recorded != c.recorded {
				t.Errorf("recorded as it stands: %t", recorded)
			}
			if waits := c.recorded || len(c.asked) > 1; (window > proofAfterPolicy) != waits {
				t.Errorf("the proof may take %s", window)
			}
			if c.recorded {
				asked = nil
				if l.tighten(context.Background(), d, objects, nil); asked != nil {
					t.Errorf("what is known is asked for again: %q", asked)
				}
				if l.tighten(context.Background(), d, objects, map[objectKey]bool{objects[0].key: true}); asked == nil {
					t.Error("what somebody else may have changed is taken for known")
				}
			}
		})
	}
}

// The webhook fails closed while the Guards are written, and is proved by the old one until they are.
func TestTightenWebhook(t *testing.T) {
	hook := func(failure admissionv1.FailurePolicyType, want string) *Webhook {
		return &Webhook{Acts: []Canary{{Want: want}}, Configuration: &admissionv1.ValidatingWebhookConfiguration{Webhooks: []admissionv1.ValidatingWebhook{{FailurePolicy: &failure}}}}
	}
	open, closed := hook(admissionv1.Ignore, "old"), hook(admissionv1.Fail, "new")
	cases := map[string]struct {
		posted, desired *Webhook
		want            bool
	}{
		"first denied":   {open, closed, true},
		"denied already": {closed, closed, false},
		"not any more":   {closed, open, false},
		"still not":      {open, open, false},
		"none yet":       {nil, closed, false},
		"none any more":  {open, nil, false},
	}
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		c := cases[name]
		t.Run(name, func(t *testing.T) {
			l := &loop{posted: posted{"r1", c.posted}}
			l.webhook = newWebhookLoop(l)
			l.tightenWebhook(Desired{Revision: "r2", Webhook: c.desired})
			select {
			case d := <-l.webhook.mail:
				if !c.want || d.Revision != "r1" || d.Webhook.failsOpen() || d.Webhook.Acts[0].Want != "old" || l.posted.webhook != d.Webhook {
					t.Errorf("posted %+v", d)
				}
				if !open.failsOpen() {
					t.Error("what was posted before was changed")
				}
			default:
				if c.want {
					t.Error("nothing was posted")
				}
			}
		})
	}
}
