// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const aYear = 365 * 24 * time.Hour

// certificates plays the part of the Secret, of an API server that trusts what it was told,
// and of a webhook that serves what it finds.
type certificates struct {
	t      *testing.T
	data   map[string][]byte
	bundle []byte
}

// pass renews at a time, and checks that what is served was trusted before.
func (c *certificates) pass(now time.Time, names ...string) {
	c.t.Helper()
	data, err := renewed(c.data, names, aYear, c.bundle, now)
	if err != nil {
		c.t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(data["tls.crt"], data["tls.key"])
	if err != nil {
		c.t.Fatal(err)
	}
	trusted := c.bundle
	if len(trusted) == 0 {
		trusted = bundleOf(data)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(trusted)
	for _, name := range names {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: name, CurrentTime: now}); err != nil {
			c.t.Errorf("at %s it serves what nobody trusts yet: %v", now, err)
		}
	}
	c.data, c.bundle = data, bundleOf(data)
}

func (c *certificates) serial() string {
	pair, err := tls.X509KeyPair(c.data["tls.crt"], c.data["tls.key"])
	if err != nil {
		c.t.Fatal(err)
	}
	return pair.Leaf.SerialNumber.String()
}

// A certificate is followed by another for years, and at no time is one served that an API
// server was not told to trust long before.
func TestCertificatesFollowEachOther(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c := &certificates{t: t}
	seen := map[string]bool{}
	for look := range 4 * 365 * 4 {
		c.pass(start.Add(time.Duration(look)*6*time.Hour), "skott-guard.skott-system.svc")
		seen[c.serial()] = true
	}
	if len(seen) < 5 || len(seen) > 8 {
		t.Errorf("%d certificates in four years, want one for every eight months", len(seen))
	}
	if n := bytes.Count(c.bundle, []byte("BEGIN")); n > maxAuthorities+1 {
		t.Errorf("%d authorities are trusted", n)
	}
	if bytes.Contains(c.data[keyAuthorities], []byte("PRIVATE KEY")) || len(c.data) > 6 {
		t.Error("the Secret holds the key of an authority")
	}
}

func TestCertificateIsKept(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	names := []string{"127.0.0.1"}
	first, err := renewed(nil, names, aYear, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	other, err := renewed(nil, names, aYear, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		data  map[string][]byte
		names []string
		now   time.Time
		kept  bool
	}{
		"Fresh":         {first, names, now, true},
		"ThirdLeft":     {first, names, now.Add(2*aYear/3 - time.Hour), true},
		"Staged":        {first, names, now.Add(2*aYear/3 + time.Hour), true},
		"Ended":         {first, names, now.Add(aYear + time.Hour), false},
		"OtherName":     {first, []string{"10.0.0.1"}, now, false},
		"NoKey":         {map[string][]byte{"tls.crt": first["tls.crt"], "ca.crt": first["ca.crt"]}, names, now, false},
		"OtherKey":      {map[string][]byte{"tls.crt": first["tls.crt"], "tls.key": other["tls.key"], "ca.crt": first["ca.crt"]}, names, now, false},
		"NotOfAuthrity": {map[string][]byte{"tls.crt": first["tls.crt"], "tls.key": first["tls.key"], "ca.crt": other["ca.crt"]}, names, now, false},
		"Garbage":       {map[string][]byte{"tls.crt": []byte("x"), "tls.key": []byte("y"), "ca.crt": []byte("z")}, names, now, false},
		"Nothing":       {nil, names, now, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := renewed(c.data, c.names, aYear, nil, c.now)
			if err != nil {
				t.Fatal(err)
			}
			if kept := bytes.Equal(got["tls.crt"], first["tls.crt"]); kept != c.kept {
				t.Errorf("kept = %t, want %t", kept, c.kept)
			}
			if (issued{got["tls.crt"], got["tls.key"], got["ca.crt"]}).usable(c.names, c.now) == nil {
				t.Error("what it leaves is not usable")
			}
		})
	}
}

// The successor waits until its authority is trusted, and for a while after that.
func TestSuccessorWaits(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	names := []string{"a.example"}
	first, err := renewed(nil, names, aYear, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	staged, err := renewed(first, names, aYear, bundleOf(first), now.Add(3*aYear/4))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		bundle   []byte
		after    time.Duration
		promoted bool
	}{
		"NotTrusted": {bundleOf(first), time.Hour, false},
		"Unknown":    {nil, time.Hour, false},
		"TooEarly":   {bundleOf(staged), time.Minute, false},
		"Trusted":    {bundleOf(staged), 11 * time.Minute, true},
	} {
		got, err := renewed(staged, names, aYear, c.bundle, now.Add(3*aYear/4+c.after))
		if err != nil {
			t.Fatal(err)
		}
		if promoted := bytes.Equal(got["tls.crt"], staged["next.crt"]); promoted != c.promoted {
			t.Errorf("%s: promoted = %t", name, promoted)
		}
		if !bytes.Contains(bundleOf(got), bytes.TrimSpace(first["ca.crt"])) {
			t.Errorf("%s: the old authority is not trusted any more", name)
		}
	}
}

func TestWebhookDenied(t *testing.T) {
	denial := func(text string) error {
		return &apierrors.StatusError{ErrStatus: metav1.Status{Code: http.StatusForbidden, Message: text}}
	}
	for name, c := range map[string]struct {
		answer error
		ok     bool
	}{
		"Denied":       {denial(`admission webhook "guard.skott.dev" denied the request: names "r1.canary"`), true},
		"OldRevision":  {denial(`admission webhook "guard.skott.dev" denied the request: names "r0.canary"`), false},
		"OtherWebhook": {denial(`admission webhook "other.example" denied the request: names "r1.canary"`), false},
		"Policy":       {denial(`ValidatingAdmissionPolicy 'skott-config' with binding 'b' denied request: names "r1.canary"`), false},
		"Away":         {apierrors.NewInternalError(errors.New(`failed calling webhook "guard.skott.dev": Post "https://a": dial tcp: connection refused`)), false},
		"RBAC":         {apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, "r1.canary", errors.New("rbac")), false},
		"Admitted":     {nil, false},
	} {
		if err := webhookDenied(c.answer, "guard.skott.dev", "r1.canary"); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	away := errors.New(`Internal error occurred: failed calling webhook "guard.skott.dev": failed to call webhook: Post "https://127.0.0.1:9443/review?timeout=5s": dial tcp 127.0.0.1:9443: connect: connection refused`)
	if got := reasonOf(away); got != "connection refused" {
		t.Errorf("reason %q", got)
	}
}

// Where the webhook is, and with which name it has to show itself.
func TestWebhookPlaces(t *testing.T) {
	configuration := configurationNamed(webhookConfiguration)
	configuration.Webhooks = []admissionv1.ValidatingWebhook{{Name: "a"}, {Name: "b"}}
	for name, c := range map[string]struct {
		webhook Webhook
		names   []string
		url     string
	}{
		"Deployed": {Webhook{Image: "i"}, []string{"skott-guard.skott-system.svc"}, ""},
		"URL":      {Webhook{URL: "https://127.0.0.1:9443"}, []string{"127.0.0.1"}, "https://127.0.0.1:9443/review"},
		"OwnCA":    {Webhook{URL: "https://guard.example", CABundle: []byte("x")}, nil, "https://guard.example/review"},
	} {
		got := c.webhook.names("skott-system")
		if len(got) != len(c.names) || len(got) > 0 && got[0] != c.names[0] {
			t.Errorf("%s: names %q, want %q", name, got, c.names)
		}
		for _, h := range c.webhook.at(configuration, "skott-system", []byte("ca")).Webhooks {
			if deployed := h.ClientConfig.Service != nil; deployed != (c.url == "") || !deployed && *h.ClientConfig.URL != c.url || string(h.ClientConfig.CABundle) != "ca" {
				t.Errorf("%s: %+v", name, h.ClientConfig)
			}
		}
	}
	if configuration.Webhooks[0].ClientConfig.CABundle != nil {
		t.Error("what is desired was changed")
	}
}

// No right of the webhook, or for it, grows by itself.
func TestWebhookRightsNameWhatTheyAllow(t *testing.T) {
	w := &Webhook{Configuration: configurationNamed(webhookConfiguration), Probe: configurationNamed(webhookProbe), Reads: []schema.GroupResource{{Group: "velero.io", Resource: "backups"}}}
	for _, rule := range append(append(append(w.guardClusterRules(), guardRules()...), webhookClusterRules(w)...), webhookRules()...) {
		for _, list := range [][]string{rule.APIGroups, rule.Resources, rule.Verbs} {
			for _, item := range list {
				if item == "*" {
					t.Errorf("a wildcard in %+v", rule)
				}
			}
		}
		if rule.Resources[0] == "secrets" && len(rule.ResourceNames) == 0 && (len(rule.Verbs) != 1 || rule.Verbs[0] != "create") {
			t.Errorf("every Secret: %+v", rule)
		}
	}
}
