// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"encoding/json"
	"fmt"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skott-dev/skott/internal/policy"
)

// reviewKind and reviewVersion are of the only review that is understood.
const (
	reviewKind    = "AdmissionReview"
	reviewVersion = "admission.k8s.io/v1"
)

// review is an AdmissionReview as far as it is read: the objects stay as they were sent.
type review struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Request    *request `json:"request"`
}

type request struct {
	UID         string          `json:"uid"`
	Operation   string          `json:"operation"`
	Resource    resource        `json:"resource"`
	SubResource string          `json:"subResource"`
	Namespace   string          `json:"namespace"`
	UserInfo    user            `json:"userInfo"`
	DryRun      bool            `json:"dryRun"`
	Object      json.RawMessage `json:"object"`
	OldObject   json.RawMessage `json:"oldObject"`
}

type resource struct {
	Group    string `json:"group"`
	Resource string `json:"resource"`
}

type user struct {
	Username string `json:"username"`
}

// answer is an AdmissionReview as it is sent back.
type answer struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Response   response `json:"response"`
}

type response struct {
	UID              string            `json:"uid"`
	Allowed          bool              `json:"allowed"`
	Status           *refusal          `json:"status,omitempty"`
	Warnings         []string          `json:"warnings,omitempty"`
	AuditAnnotations map[string]string `json:"auditAnnotations,omitempty"`
}

type refusal struct {
	Code    int32               `json:"code"`
	Reason  metav1.StatusReason `json:"reason"`
	Message string              `json:"message"`
}

// parse reads a review.
func parse(body []byte) (*request, error) {
	var r review
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, fmt.Errorf("cannot read the review: %w", err)
	}
	if r.APIVersion != reviewVersion || r.Kind != reviewKind || r.Request == nil || r.Request.UID == "" {
		return nil, fmt.Errorf("expected an %s of %s with a request", reviewKind, reviewVersion)
	}
	return r.Request, nil
}

// decode reads the objects of a request into what a decision works on.
func (r *request) decode(into *policy.Request) (err error) {
	if into.Object, err = policy.Object(r.Object); err == nil {
		into.OldObject, err = policy.Object(r.OldObject)
	}
	if err != nil {
		return fmt.Errorf("cannot read the object: %w", err)
	}
	return nil
}

// maxAudit is how much of a message an audit event takes.
const maxAudit = 10 << 10

// answerTo is the answer to a request with an outcome.
func answerTo(r *request, o outcome) answer {
	a := answer{APIVersion: reviewVersion, Kind: reviewKind, Response: response{UID: r.UID, Allowed: true, Warnings: o.warnings}}
	if o.denial != nil {
		a.Response.Allowed = false
		a.Response.Status = &refusal{Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden, Message: o.denial.Message}
	}
	for i, message := range o.audits {
		if a.Response.AuditAnnotations == nil {
			a.Response.AuditAnnotations = map[string]string{}
		}
		key := "crossing"
		if i > 0 {
			key = fmt.Sprintf("crossing-%d", i)
		}
		a.Response.AuditAnnotations[key] = message[:min(len(message), maxAudit)]
	}
	return a
}
