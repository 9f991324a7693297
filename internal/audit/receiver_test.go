// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr"
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

// Who comes while as much as can be is being read is asked to come back.
func TestReceiverFull(t *testing.T) {
	r := NewReceiver(func(context.Context, Source, string) int { return http.StatusOK }, func(Source, Decoded) error { return nil }, logr.Discard())
	for range atOnce {
		r.slots <- struct{}{}
	}
	for _, want := range []int{http.StatusTooManyRequests, http.StatusOK} {
		answer := httptest.NewRecorder()
		r.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/audit/mc", strings.NewReader("")))
		if answer.Code != want {
			t.Errorf("status %d, want %d", answer.Code, want)
		}
		<-r.slots
	}
}

// There are two files at most, lines are whole, and a restart goes on where it was.
func TestRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "decisions.jsonl")
	for range 2 {
		r, err := OpenRecord(path, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			if err := r.Append([]Denial{want(nil)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) != 2 {
		t.Fatalf("files %q: %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) == 0 || len(text) > 1000 || text[len(text)-1] != '\n' {
			t.Errorf("%s has %d bytes", file, len(text))
		}
	}
}
