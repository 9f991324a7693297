// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
)

// What an API server says of time is by its own clock, which may be wrong by an hour, as may ours.
var skews = []time.Duration{-365 * 24 * time.Hour, -time.Hour, 0, time.Hour, 365 * 24 * time.Hour}

func TestTokenLivesByOurTime(t *testing.T) {
	for _, skew := range skews {
		for name, c := range map[string]struct {
			granted *int64
			want    time.Duration
		}{
			"As asked":  {ptr.To(int64(3600)), time.Hour},
			"Shortened": {ptr.To(int64(600)), 10 * time.Minute},
			"Longer":    {ptr.To(int64(1 << 40)), time.Hour},
			"Unsaid":    {nil, time.Hour},
			"Nonsense":  {ptr.To(int64(-1)), time.Hour},
		} {
			r := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: c.granted},
				Status: authenticationv1.TokenRequestStatus{ExpirationTimestamp: metav1.NewTime(time.Now().Add(skew + time.Hour))}}
			if got := life(r); got != c.want {
				t.Errorf("%s, %s off: lives for %s, want %s", name, skew, got, c.want)
			}
		}
	}
}

func TestUnsureIsBounded(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	crd := func(age time.Duration, established string) *unstructured.Unstructured {
		u := &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"conditions": []any{map[string]any{"type": "Established", "status": established}}}}}
		u.SetCreationTimestamp(metav1.NewTime(now.Add(-age)))
		return u
	}
	for _, skew := range skews {
		if got := unsure(crd(-skew, "False"), now); got != discoveryRefresh {
			t.Errorf("one that was created just now, %s off: %s", skew, got)
		}
		if got := unsure(crd(-skew, "True"), now); got > discoveryRefresh {
			t.Errorf("%s off: nothing would be published for %s", skew, got)
		}
	}
	got := []time.Duration{unsure(crd(time.Minute, "True"), now), unsure(crd(time.Second, "True"), now), unsure(&unstructured.Unstructured{}, now)}
	if diff := cmp.Diff([]time.Duration{discoveryRefresh - time.Minute, discoveryRefresh - time.Second, discoveryRefresh}, got); diff != "" {
		t.Error(diff)
	}
}

// A certificate that was made while the clock was wrong is replaced, and one that is good is kept however it was wrong.
func TestCertificateSurvivesAClock(t *testing.T) {
	const life = 90 * 24 * time.Hour
	names, now := []string{"guard.example"}, time.Unix(1_700_000_000, 0)
	for name, c := range map[string]struct {
		made time.Duration // ahead of now
		kept bool
	}{
		"An hour back, a little less": {made: time.Hour - time.Minute, kept: true},
		"A day back":                  {made: 24 * time.Hour},
		"An hour ahead":               {made: -time.Hour, kept: true},
		"A year ahead":                {made: -365 * 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			made, err := renewed(nil, names, life, nil, now.Add(c.made))
			if err != nil {
				t.Fatal(err)
			}
			again, err := renewed(made, names, life, nil, now)
			if err != nil {
				t.Fatal(err)
			}
			if kept := cmp.Equal(made["tls.crt"], again["tls.crt"]); kept != c.kept {
				t.Errorf("kept: %t", kept)
			}
			if (issued{again["tls.crt"], again["tls.key"], again["ca.crt"]}).usable(names, now) == nil {
				t.Error("what is served cannot be verified now")
			}
		})
	}
}
