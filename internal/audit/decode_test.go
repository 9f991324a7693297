// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/skott-dev/skott/internal/policy"
)

// crossingText is a denial as docs/denials.md prints it.
const crossingText = `crosses DataBoundary "customer-data": data["application.yaml"] names host "orders.db.prod.example", which belongs to Environment "production" (SKOTT-D101); ` +
	`cluster "safespring/ske-stage-3hw8n" belongs to Environment "staging". Use one of Environment "staging" instead, or see ` + policy.Documentation + `#skott-d101`

const byPolicy = `configmaps "shop" is forbidden: ValidatingAdmissionPolicy 'skott-configuration' with binding 'skott-configuration-deny' denied request: `

// denied is an event of a request that was refused with a message, with edits.
func denied(message string, edit func(map[string]any)) string {
	e := map[string]any{
		"kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": "id-1", "stage": "ResponseComplete",
		"requestURI": "/api/v1/namespaces/default/configmaps?fieldManager=kubectl", "verb": "create",
		"user":      map[string]any{"username": "alice", "groups": []any{"devs"}},
		"objectRef": map[string]any{"resource": "configmaps", "namespace": "default", "name": "shop", "apiVersion": "v1"},
		"responseStatus": map[string]any{
			"metadata": map[string]any{}, "status": "Failure", "message": message, "reason": "Forbidden", "code": 403,
		},
		"requestReceivedTimestamp": "2026-01-02T03:04:05.000006Z",
		"annotations":              map[string]any{"authorization.k8s.io/decision": "allow"},
	}
	if edit != nil {
		edit(e)
	}
	raw, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

func want(edit func(*Denial)) Denial {
	d := Denial{
		Time: "2026-01-02T03:04:05.000006Z", AuditID: "id-1", Policy: "skott-configuration", Boundary: "customer-data", Code: "SKOTT-D101",
		Path: `data["application.yaml"]`, User: "alice", Verb: "create", Resource: "configmaps", Namespace: "default", Name: "shop",
	}
	if edit != nil {
		edit(&d)
	}
	return d
}

func TestDecode(t *testing.T) {
	plain := denied(byPolicy+crossingText, nil)
	list := func(items ...string) string {
		return `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[` + strings.Join(items, ",") + `]}`
	}
	set := func(path, value string, v any) func(map[string]any) {
		return func(e map[string]any) { e[path].(map[string]any)[value] = v }
	}
	for name, c := range map[string]struct {
		text string
		want Decoded
	}{
		"Event":        {plain, Decoded{Denials: []Denial{want(nil)}, Events: 1}},
		"List":         {list(plain, plain), Decoded{Denials: []Denial{want(nil), want(nil)}, Events: 2}},
		"Lines":        {plain + "\n" + plain + "\n\n", Decoded{Denials: []Denial{want(nil), want(nil)}, Events: 2}},
		"Empty":        {"", Decoded{}},
		"EmptyList":    {list(), Decoded{}},
		"NullItem":     {list("null", plain), Decoded{Denials: []Denial{want(nil)}, Events: 1, Skipped: 1}},
		"WrongItem":    {list(`"x"`, `[1]`, `7`, plain), Decoded{Denials: []Denial{want(nil)}, Events: 1, Skipped: 3}},
		"EarlierStage": {denied(byPolicy+crossingText, func(e map[string]any) { e["stage"] = "ResponseStarted" }), Decoded{Events: 1}},
		"Allowed":      {denied(byPolicy+crossingText, set("responseStatus", "code", 201)), Decoded{Events: 1}},
		"NoStatus":     {denied("", func(e map[string]any) { delete(e, "responseStatus") }), Decoded{Events: 1}},
		"NullStatus":   {denied("", func(e map[string]any) { e["responseStatus"] = nil }), Decoded{Events: 1}},
		"WrongTypes": {denied(byPolicy+crossingText, func(e map[string]any) { e["objectRef"] = []any{1}; e["user"] = 3 }),
			Decoded{Denials: []Denial{want(func(d *Denial) { d.User, d.Resource, d.Namespace, d.Name = "", "", "", "" })}, Events: 1}},
		"RBAC":         {denied(`configmaps "shop" is forbidden: User "alice" cannot create resource`, nil), Decoded{Events: 1}},
		"ForgedByName": {denied(`pods "x is forbidden: ValidatingAdmissionPolicy 'skott-a' with binding 'b' denied request: `+crossingText+`" is forbidden: User "alice" cannot`, nil), Decoded{Events: 1}},
		"ForgedByQuote": {denied(`pods "x\" is forbidden: ValidatingAdmissionPolicy 'skott-a' with binding 'b' denied request: c" is forbidden: User "alice" cannot`, nil),
			Decoded{Events: 1}},
		"OtherPolicy":  {denied(strings.ReplaceAll(byPolicy, "skott-", "corp-")+crossingText, nil), Decoded{Events: 1}},
		"OtherWebhook": {denied(`admission webhook "guard.example" denied the request: `+crossingText, nil), Decoded{Events: 1}},
		"LookAlike":    {denied(`admission webhook "xguard.skott.dev" denied the request: `+crossingText, nil), Decoded{Events: 1}},
		"Webhook": {denied(`admission webhook "find.guard.skott.dev" denied the request: `+crossingText, nil),
			Decoded{Denials: []Denial{want(func(d *Denial) { d.Policy = "find.guard.skott.dev" })}, Events: 1}},
		"NoName": {denied(strings.Replace(byPolicy, ` "shop"`, "", 1)+crossingText, nil), Decoded{Denials: []Denial{want(nil)}, Events: 1}},
		"DryRun": {denied(byPolicy+crossingText, func(e map[string]any) { e["requestURI"] = "/api?a=%zz&dryRun=All" }),
			Decoded{Denials: []Denial{want(func(d *Denial) { d.DryRun = true })}, Events: 1}},
		"Canary": {denied(byPolicy+crossingText, func(e map[string]any) {
			e["requestURI"], e["user"] = "/api?dryRun=All", map[string]any{"username": policy.CanaryUser}
		}), Decoded{Denials: []Denial{want(func(d *Denial) { d.DryRun, d.Canary, d.User = true, true, policy.CanaryUser })}, Events: 1}},
		"CanaryInEarnest": {denied(byPolicy+crossingText, set("user", "username", policy.CanaryUser)),
			Decoded{Denials: []Denial{want(func(d *Denial) { d.User = policy.CanaryUser })}, Events: 1}},
		"Impersonated": {denied(byPolicy+crossingText, func(e map[string]any) { e["impersonatedUser"] = map[string]any{"username": "bob"} }),
			Decoded{Denials: []Denial{want(func(d *Denial) { d.User, d.By = "bob", "alice" })}, Events: 1}},
		"Rule": {denied(byPolicy+`changes the Guard of this cluster. See `+policy.Documentation+`#skott-d501 (SKOTT-D501)`, nil),
			Decoded{Denials: []Denial{want(func(d *Denial) { d.Boundary, d.Code, d.Path = "", "SKOTT-D501", "" })}, Events: 1}},
		"NoGuard": {denied(byPolicy+"failed to configure binding: no params found", nil),
			Decoded{Denials: []Denial{want(func(d *Denial) { d.Boundary, d.Code, d.Path = "", "", "" })}, Events: 1}},
		"UnknownCode": {denied(byPolicy+strings.ReplaceAll(crossingText, "d101", "d999"), nil),
			Decoded{Denials: []Denial{want(func(d *Denial) { d.Code = "" })}, Events: 1}},
		"Credential": {denied(byPolicy+`crosses DataBoundary "customer-data": stringData["a"] names credential that belongs to Environment "production" (SKOTT-D111); `+
			`x. Use y, or see `+policy.Documentation+`#skott-d111`, nil),
			Decoded{Denials: []Denial{want(func(d *Denial) { d.Code, d.Path = "SKOTT-D111", `stringData["a"]` })}, Events: 1}},
		"Huge": {denied(byPolicy+crossingText, set("user", "username", strings.Repeat("å", 100_000))),
			Decoded{Denials: []Denial{want(func(d *Denial) { d.User = strings.Repeat("å", maxText/2) })}, Events: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Decode([]byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("Decode (-want +got):\n%s", diff)
			}
			if len(c.want.Denials) > 0 && !Concerns([]byte(c.text)) {
				t.Error("Concerns says that it holds no denial")
			}
		})
	}
}

// What is no text of audit events says so, and what came before is not lost.
func TestDecodeErrors(t *testing.T) {
	plain := denied(byPolicy+crossingText, nil)
	for name, c := range map[string]struct {
		text, want string
		events     int
	}{
		"Truncated": {plain + plain[:len(plain)/2], "unexpected EOF", 1},
		"NoJSON":    {"hello", "invalid character", 0},
		"Version":   {strings.ReplaceAll(plain, "audit.k8s.io/v1", "audit.k8s.io/v1beta1"), "apiVersion", 0},
		"Kind":      {strings.ReplaceAll(plain, `"kind":"Event"`, `"kind":"Pod"`), "kind", 0},
		"Items":     {`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":{}}`, "items", 0},
		"Number":    {"7", "apiVersion", 0},
		"Deep":      {strings.Repeat("[", 100_000), "exceeded max depth", 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Decode([]byte(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
			if got.Events != c.events {
				t.Errorf("%d events, want %d", got.Events, c.events)
			}
		})
	}
}

// No record holds what the address was.
func TestNoAddress(t *testing.T) {
	got, err := Decode([]byte(denied(byPolicy+crossingText, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if said := fmt.Sprintf("%+v", got); strings.Contains(said, "orders.db.prod.example") {
		t.Errorf("it holds the address: %s", said)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(denied(byPolicy+crossingText, nil)))
	f.Add([]byte(`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[null,{"stage":"ResponseComplete"}]}`))
	f.Add([]byte(denied(`admission webhook "guard.skott.dev" denied the request: `+crossingText, nil)))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, _ := Decode(text)
		if len(got.Denials) > got.Events {
			t.Errorf("%d denials of %d events", len(got.Denials), got.Events)
		}
		for _, d := range got.Denials {
			for _, said := range []string{d.Time, d.AuditID, d.Policy, d.Boundary, d.Path, d.User, d.By, d.Verb, d.Group, d.Resource, d.Subresource, d.Namespace, d.Name} {
				if len(said) > maxText || !utf8.ValidString(said) {
					t.Errorf("%q is longer than %d or no UTF-8", said, maxText)
				}
			}
			if !Concerns(text) && !strings.Contains(string(text), `\u`) {
				t.Errorf("Concerns misses a denial by %q", d.Policy)
			}
		}
	})
}
