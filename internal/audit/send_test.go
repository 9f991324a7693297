// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSend(t *testing.T) {
	var got []string
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		got = append(got, r.URL.Path+" "+r.Header.Get("Authorization")+" "+string(content))
		w.WriteHeader(status)
	}))
	defer server.Close()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &Sender{URL: server.URL + "/audit/mc", TokenFile: token, Client: server.Client()}
	lines := [][]byte{
		[]byte(denied(byPolicy+crossingText, func(e map[string]any) {
			e["requestObject"] = map[string]any{"data": "hidden"}
			e["responseObject"] = "hidden"
		})),
		[]byte(denied("not found", nil)), []byte(`{"ValidatingAdmissionPolicy 'skott-`), nil,
	}
	if err := s.Send(t.Context(), lines[1:]); err != nil || len(got) != 0 {
		t.Errorf("sent %q, %v; want nothing", got, err)
	}
	if err := s.Send(t.Context(), lines); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || !strings.HasPrefix(got[0], "/audit/mc Bearer one {") || strings.Contains(got[0], "hidden") {
		t.Fatalf("sent %q", got)
	}
	_, body, _ := strings.Cut(got[0], "one ")
	if d, err := Decode([]byte(body)); err != nil || len(d.Denials) != 1 || d.Events != 1 {
		t.Errorf("sent %+v, %v; want the denial alone", d, err)
	}
	if err := os.WriteFile(token, []byte("two"), 0o600); err != nil {
		t.Fatal(err)
	}
	status = http.StatusUnauthorized
	if err := s.Send(t.Context(), lines); err == nil || !strings.Contains(err.Error(), "401") || !strings.Contains(got[1], "Bearer two") {
		t.Errorf("error %v after %q, want one that says 401", err, got)
	}
	s.TokenFile = token + ".missing"
	if err := s.Send(t.Context(), lines); err == nil {
		t.Error("sent without a token")
	}
}
