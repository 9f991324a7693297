// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"

	"github.com/skott-dev/skott/internal/policy"
)

// Only what the right bearer sent of the right cluster is kept, and all of it or nothing.
func TestReceiver(t *testing.T) {
	event := denied(byPolicy+crossingText, nil)
	broken := errors.New("disk full")
	for name, c := range map[string]struct {
		method, path, token, body string
		keep                      error
		want, kept                int
	}{
		"Kept":      {"POST", "/audit/mc", "Bearer right", event, nil, 200, 1},
		"Twice":     {"POST", "/audit/mc/ns/name", "bearer right", event + event, nil, 200, 2},
		"Wrong":     {"POST", "/audit/mc", "Bearer wrong", event, nil, 401, 0},
		"NoToken":   {"POST", "/audit/mc", "", event, nil, 401, 0},
		"Basic":     {"POST", "/audit/mc", "Basic right", event, nil, 401, 0},
		"Get":       {"GET", "/audit/mc", "Bearer right", "", nil, 405, 0},
		"Nobody":    {"POST", "/audit/", "Bearer right", event, nil, 404, 0},
		"Half":      {"POST", "/audit/mc/ns", "Bearer right", event, nil, 404, 0},
		"Long":      {"POST", "/audit/mc/ns/name/more", "Bearer right", event, nil, 404, 0},
		"Truncated": {"POST", "/audit/mc", "Bearer right", event + event[:50], nil, 400, 0},
		"Many":      {"POST", "/audit/mc", "Bearer right", strings.Repeat(`{"kind":"Event","apiVersion":"audit.k8s.io/v1"}`, maxEvents+1), nil, 413, 0},
		"Huge":      {"POST", "/audit/mc", "Bearer right", strings.Repeat(" ", maxBody+1), nil, 413, 0},
		"NotKept":   {"POST", "/audit/mc", "Bearer right", event, broken, 503, 0},
	} {
		t.Run(name, func(t *testing.T) {
			kept := 0
			r := NewReceiver(func(_ context.Context, _ Source, token string) int {
				if token != "right" {
					return http.StatusUnauthorized
				}
				return http.StatusOK
			}, func(_ Source, d Decoded) error {
				if c.keep == nil {
					kept += len(d.Denials)
				}
				return c.keep
			}, logr.Discard())
			request := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
			request.Header.Set("Authorization", c.token)
			answer := httptest.NewRecorder()
			r.ServeHTTP(answer, request)
			if answer.Code != c.want || kept != c.kept {
				t.Errorf("status %d, %d kept, want %d and %d: %s", answer.Code, kept, c.want, c.kept, answer.Body)
			}
		})
	}
}

// Who comes while as much as can be is being read waits for a while, and is asked to come back.
func TestReceiverFull(t *testing.T) {
	r := NewReceiver(func(context.Context, Source, string) int { return http.StatusOK }, func(Source, Decoded) error { return nil }, logr.Discard())
	r.turn = time.Millisecond
	for name, line := range map[string]chan struct{}{"all": r.slots, "own": r.sender("mc").slot} {
		for range cap(line) {
			line <- struct{}{}
		}
		if got := post(r, "/audit/mc", ""); got != http.StatusTooManyRequests {
			t.Errorf("%s: status %d, want %d", name, got, http.StatusTooManyRequests)
		}
		if got := post(r, "/audit/other", ""); name == "own" && got != http.StatusOK {
			t.Errorf("another ManagementCluster: status %d", got)
		}
		<-line
		if got := post(r, "/audit/mc", ""); got != http.StatusOK {
			t.Errorf("%s: status %d when there is a place again", name, got)
		}
		for range cap(line) - 1 {
			<-line
		}
	}
}

// post is the status that a text is answered with.
func post(r *Receiver, path, body string) int {
	answer := httptest.NewRecorder()
	r.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)))
	return answer.Code
}

// Who has a token can send many denials, but not so many that they wash away all others, and
// takes nothing from another ManagementCluster.
func TestReceiverRate(t *testing.T) {
	kept := 0
	r := NewReceiver(func(context.Context, Source, string) int { return http.StatusOK }, func(_ Source, d Decoded) error { kept += len(d.Denials); return nil }, logr.Discard())
	many := strings.Repeat(denied(byPolicy+crossingText, nil), maxEvents/10)
	got := 0
	for range 20 {
		got = post(r, "/audit/mc/ns/name", many)
	}
	if got != http.StatusTooManyRequests || kept < denialBurst || kept > 2*denialBurst {
		t.Errorf("status %d, %d kept", got, kept)
	}
	if got := post(r, "/audit/other", many); got != http.StatusOK {
		t.Errorf("another ManagementCluster: status %d", got)
	}
}

// The live proofs of many clusters must not keep their denials from being recorded.
func TestReceiverRateOfCanaries(t *testing.T) {
	r := NewReceiver(func(context.Context, Source, string) int { return http.StatusOK }, func(Source, Decoded) error { return nil }, logr.Discard())
	canaries := strings.Repeat(denied(byPolicy+crossingText, func(e map[string]any) {
		e["requestURI"], e["user"] = "/api?dryRun=All", map[string]any{"username": policy.CanaryUser}
	}), maxEvents/10)
	for range 20 {
		if got := post(r, "/audit/mc/ns/name", canaries); got != http.StatusOK {
			t.Fatalf("canaries: status %d", got)
		}
	}
	if left := r.sender("mc").rate.Tokens(); left < denialBurst {
		t.Errorf("%v denials are left", left)
	}
	if got := post(r, "/audit/mc", denied(byPolicy+crossingText, nil)); got != http.StatusOK {
		t.Errorf("a denial: status %d", got)
	}
}

// What an API server sends at a time, of which few are denials.
func BenchmarkReceiver(b *testing.B) {
	other := denied("something else", nil)
	text := strings.Repeat(other, 399) + denied(byPolicy+crossingText, nil)
	record, err := OpenRecord("", 0)
	if err != nil {
		b.Fatal(err)
	}
	r := NewReceiver(func(context.Context, Source, string) int { return http.StatusOK }, func(_ Source, d Decoded) error {
		_, err := record.Append(d.Denials)
		return err
	}, logr.Discard())
	r.sender("mc").rate.SetLimit(rate.Inf)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if got := post(r, "/audit/mc", text); got != http.StatusOK {
			b.Fatal(got)
		}
	}
}
