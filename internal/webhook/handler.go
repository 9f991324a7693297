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
	"runtime/debug"
	"time"

	"github.com/go-logr/logr"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/internal/metrics"
	"github.com/skott-dev/skott/internal/policy"
)

const (
	// maxBody is more than a review of any object that can be stored: etcd takes 1.5 MiB, and
	// JSON makes of that six times as much at worst, for the old object and the new one. So
	// nobody is refused for the size of an object that would have been stored.
	maxBody = 32 << 20
	// large bodies are few, and decoding takes many times their size: largeAtOnce at a time.
	large       = 1 << 20
	largeAtOnce = 2
)

// Handler answers the reviews of an API server.
type Handler struct {
	// Guards to decide by.
	Guards *Guards
	// NamespaceLabels are the labels of a namespace of the cluster.
	NamespaceLabels func(ctx context.Context, name string) (map[string]string, error)
	// Lookup finds another object of the cluster, or none. Nil: joins lead nowhere.
	Lookup func(ctx context.Context, kind *flow.Kind, namespace, name string) (map[string]any, error)
	// Recorder counts the decisions.
	Recorder *metrics.Recorder
	// Log of what goes wrong. Neither objects nor addresses are written to it.
	Log logr.Logger

	larges chan struct{}
}

// NewHandler returns a Handler. Its fields may be set until it is used.
func NewHandler(guards *Guards, labels func(context.Context, string) (map[string]string, error), recorder *metrics.Recorder) *Handler {
	return &Handler{Guards: guards, NamespaceLabels: labels, Recorder: recorder, Log: logr.Discard(), larges: make(chan struct{}, largeAtOnce)}
}

// problem is why a request is not answered. To the API server every status but 200 means
// that the webhook failed, so that its failure policy decides.
type problem struct {
	status int
	text   string
}

func (p *problem) Error() string { return p.text }

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	content, reason, err := h.serve(r)
	if err != nil {
		status := http.StatusInternalServerError
		var p *problem
		if errors.As(err, &p) {
			status = p.status
		}
		h.Recorder.Decision("webhook", "error", http.StatusText(status), time.Since(began))
		h.Log.V(1).Info("Failing to answer a review", "error", err.Error())
		http.Error(w, "the guard webhook of Skott cannot decide: "+err.Error(), status)
		return
	}
	decision := "allow"
	if reason != "" {
		decision = "deny"
	}
	h.Recorder.Decision("webhook", decision, reason, time.Since(began))
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(content) // the API server has gone; it counts that as a failure itself
}

// serve answers one review, with the code of the reason if that is a denial.
func (h *Handler) serve(r *http.Request) (content []byte, reason string, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			h.Log.Error(fmt.Errorf("%v", cause), "Panicking over a review", "stack", string(debug.Stack()))
			err = &problem{http.StatusInternalServerError, "it met a defect; its log says which"}
		}
	}()
	decider := h.Guards.current.Load()
	if decider == nil {
		return nil, "", &problem{http.StatusServiceUnavailable, "it has not read the Guard of this cluster yet"}
	}
	if r.Method != http.MethodPost {
		return nil, "", &problem{http.StatusMethodNotAllowed, "only POST is served"}
	}
	body, done, err := h.read(r)
	if err != nil {
		return nil, "", err
	}
	defer done()
	asked, err := parse(body)
	if err != nil {
		return nil, "", &problem{http.StatusBadRequest, err.Error()}
	}
	decided, err := h.decide(r.Context(), decider, asked)
	if err != nil {
		return nil, "", err
	}
	if decided.denial != nil {
		reason = string(decided.denial.Codes[0])
	}
	content, err = json.Marshal(answerTo(asked, decided))
	return content, reason, err
}

// read returns the body of a request. done gives its place to another large one.
func (h *Handler) read(r *http.Request) (body []byte, done func(), err error) {
	done = func() {}
	if r.ContentLength > maxBody {
		return nil, done, &problem{http.StatusRequestEntityTooLarge, "the object is too large to be stored"}
	}
	if r.ContentLength < 0 || r.ContentLength > large {
		select {
		case h.larges <- struct{}{}:
			done = func() { <-h.larges }
		case <-r.Context().Done():
			return nil, done, &problem{http.StatusServiceUnavailable, "too many large objects at a time"}
		}
	}
	var buffer bytes.Buffer
	if r.ContentLength > 0 {
		buffer.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	n, err := buffer.ReadFrom(io.LimitReader(r.Body, maxBody+1))
	switch {
	case err != nil:
		err = &problem{http.StatusBadRequest, "the body cannot be read"}
	case n > maxBody:
		err = &problem{http.StatusRequestEntityTooLarge, "the object is too large to be stored"}
	default:
		return buffer.Bytes(), done, nil
	}
	done()
	return nil, func() {}, err
}

// decide makes a decision over what was asked.
func (h *Handler) decide(ctx context.Context, decider *verdicts, asked *request) (outcome, error) {
	if exempt(asked) {
		return outcome{}, nil
	}
	r := &policy.Request{
		Operation: asked.Operation, Group: asked.Resource.Group, Resource: asked.Resource.Resource, Subresource: asked.SubResource,
		Namespace: asked.Namespace, User: asked.UserInfo.Username, DryRun: asked.DryRun,
		Raw: asked.Object,
	}
	if decider.clean(r) { // most are, and need not be decoded
		return outcome{}, nil
	}
	if err := asked.decode(r); err != nil {
		return outcome{}, &problem{http.StatusBadRequest, err.Error()}
	}
	if r.Namespace != "" && !isNamespace(asked) {
		labels, err := h.NamespaceLabels(ctx, r.Namespace)
		if err != nil {
			h.Log.Info("Failing to read a namespace", "namespace", r.Namespace, "error", err.Error())
			return outcome{}, &problem{http.StatusServiceUnavailable, "it cannot read the namespace of the object"}
		}
		r.NamespaceLabels = labels
	}
	failed := h.join(ctx, decider, r)
	out := decider.decide(r)
	if err := failed(); err != nil && out.denial == nil {
		h.Log.Info("Failing to read what an object names", "error", err.Error())
		return outcome{}, &problem{http.StatusServiceUnavailable, "it cannot read what the object names"}
	}
	return out, nil
}

// join lets a decision look at other objects. failed is the last error of that: what could
// not be looked at was not judged.
func (h *Handler) join(ctx context.Context, decider *verdicts, r *policy.Request) (failed func() error) {
	var last error
	if h.Lookup != nil {
		table := decider.table()
		r.Lookup = func(group, resource, namespace, name string) map[string]any {
			kind := table.Lookup(group, resource)
			if kind == nil {
				return nil
			}
			object, err := h.Lookup(ctx, kind, namespace, name)
			if err != nil {
				last = err
			}
			return object
		}
	}
	return func() error { return last }
}

func isNamespace(r *request) bool {
	return r.Resource.Group == "" && r.Resource.Resource == "namespaces"
}

// exempt requests are never judged, even if the API server was told to ask: Skott's own
// objects hold the addresses that they speak of, and of the others a cluster lives.
func exempt(r *request) bool {
	return r.Resource.Group == skottv1.GroupVersion.Group || policy.Essential(r.Resource.Group, r.Resource.Resource) ||
		r.Operation != "CREATE" && r.Operation != "UPDATE"
}
