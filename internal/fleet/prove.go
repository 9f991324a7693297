// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

const (
	proofPause = 100 * time.Millisecond
	// A policy takes about a second to act the first time. When nothing was written, a
	// canary that is let through is repeated for a moment only.
	proofAfterWrite = 10 * time.Second
	proofOtherwise  = time.Second
)

// errAdmitted is the result of a canary that was let through.
var errAdmitted = errors.New("the API server let it through")

// proof is the result of sending all canaries.
type proof struct {
	admitted   []string // families that were let through
	unanswered []string // families with another error than a denial, and the error
}

// prove sends the canaries until all are denied or the time is up, and reports each result
// once. An error means that the cluster could not be asked.
func prove(ctx context.Context, c client.Client, d Desired, window time.Duration, report func(family string, denied bool, took time.Duration)) (proof, error) {
	results := make([]error, len(d.Canaries))
	took := make([]time.Duration, len(d.Canaries))
	pending := make([]int, len(d.Canaries))
	for i := range pending {
		pending[i] = i
	}
	for end := time.Now().Add(window); ; {
		pending = slices.DeleteFunc(pending, func(i int) bool {
			start := time.Now()
			results[i] = denied(send(ctx, c, d.Canaries[i]), d, d.Canaries[i].Want)
			took[i] = time.Since(start)
			return results[i] == nil
		})
		if len(pending) == 0 || time.Now().After(end) {
			break
		}
		if err := pause(ctx, proofPause); err != nil {
			return proof{}, err
		}
	}
	var p proof
	for i, canary := range d.Canaries {
		err := results[i]
		switch {
		case err == nil:
		case errors.Is(err, errAdmitted):
			p.admitted = append(p.admitted, canary.Family)
		case !answered(err):
			return proof{}, fmt.Errorf("cannot send canary %q: %w", canary.Family, err)
		default:
			p.unanswered = append(p.unanswered, fmt.Sprintf("%s (%s)", canary.Family, brief(err)))
		}
		report(canary.Family, err == nil, took[i])
	}
	return p, nil
}

// send sends a canary as a dry run.
func send(ctx context.Context, c client.Client, canary Canary) error {
	obj := canary.Object.DeepCopy()
	if !canary.Patch {
		return c.Create(ctx, obj, client.DryRunAll, client.FieldOwner(skottv1.FieldOwner))
	}
	patch, err := json.Marshal(canary.Object.Object)
	if err != nil {
		return fmt.Errorf("cannot encode canary %q: %w", canary.Family, err)
	}
	return c.Patch(ctx, obj, client.RawPatch(types.MergePatchType, patch), client.DryRunAll, client.FieldOwner(skottv1.FieldOwner))
}

// denied is nil when the answer to a canary is a denial by a desired policy whose text
// contains want. RBAC, quotas and other webhooks refuse requests too; that proves nothing.
func denied(answer error, d Desired, want string) error {
	if answer == nil {
		return errAdmitted
	}
	var status apierrors.APIStatus
	if !errors.As(answer, &status) {
		return answer
	}
	name, text, ok := policyDenial(status.Status().Message)
	ours := slices.ContainsFunc(d.Policies, func(p *admissionv1.ValidatingAdmissionPolicy) bool { return p.Name == name })
	if ok && ours && strings.Contains(text, want) {
		return nil
	}
	return answer
}

// policyDenial takes apart what the API server says when a ValidatingAdmissionPolicy denies:
// the name of the policy and its message.
func policyDenial(message string) (name, text string, ok bool) {
	_, rest, ok := strings.Cut(message, "ValidatingAdmissionPolicy '")
	if !ok {
		return "", "", false
	}
	name, rest, ok = strings.Cut(rest, "'")
	if !ok {
		return "", "", false
	}
	_, text, ok = strings.Cut(rest, " denied request: ")
	return name, text, ok
}

// pause sleeps, unless the context ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
