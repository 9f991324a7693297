// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestPatience holds an API server that takes longer than Timeout to one answer for each kind of client.
func TestPatience(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(600 * time.Millisecond):
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"apiVersion":"meta.k8s.io/v1","kind":"PartialObjectMetadata","metadata":{"name":"skott-storage"}}`))
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	l, err := newLink(&rest.Config{Host: server.URL}, true, Options{Timeout: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	get := func(c client.Client) error {
		m := &metav1.PartialObjectMetadata{}
		m.SetGroupVersionKind(kindPolicy)
		return c.Get(context.Background(), client.ObjectKey{Name: "skott-storage"}, m)
	}
	if err := get(l.account.operator); err == nil {
		t.Error("what is asked of a cluster waits longer than Timeout")
	}
	if err := get(l.account.patient); err != nil {
		t.Errorf("a policy is not written to an API server that is slow: %v", err)
	}
}

// TestProofEndsWithSilence lets an API server hang: it is asked for one canary, and not for each of them.
func TestProofEndsWithSilence(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		_, _ = io.Copy(io.Discard, r.Body) // only then it is noticed that the client has gone
		<-r.Context().Done()
	}))
	defer server.Close()
	l := linkTo(t, server, 100*time.Millisecond)
	p := threeCanaries()
	over, err := p.try(context.Background(), l.account.operator, func() bool { return false })
	if err == nil || over {
		t.Errorf("the proof is over: %t, with error %v", over, err)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("%d canaries were sent", n)
	}
	if len(p.pending) != 3 {
		t.Errorf("%d canaries are left", len(p.pending))
	}
}

func linkTo(t *testing.T, server *httptest.Server, timeout time.Duration) *link {
	t.Helper()
	l, err := newLink(&rest.Config{Host: server.URL}, true, Options{Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	return l
}

func threeCanaries() *proof {
	canary := &unstructured.Unstructured{}
	canary.SetGroupVersionKind(kindNamespace)
	canary.SetName("canary")
	canaries := []Canary{{Family: "one", Object: canary}, {Family: "two", Object: canary}, {Family: "three", Object: canary}}
	return newProof(Desired{Canaries: canaries}, canaries, time.Minute)
}

// TestProofEndsWhenItIsOutdated publishes something else after the first canary. The proof is not over by that, even
// if its time is, and nothing counts as admitted.
func TestProofEndsWhenItIsOutdated(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403}`)
	}))
	defer server.Close()
	l := linkTo(t, server, 10*time.Second)
	p := threeCanaries()
	p.ends = time.Now()
	over, err := p.try(context.Background(), l.account.operator, func() bool { return asked > 0 })
	if err != nil || over || asked != 1 || len(p.pending) != 3 {
		t.Errorf("over: %t, error: %v, %d asked, %d pending; want one that is broken off after the first", over, err, asked, len(p.pending))
	}
}
