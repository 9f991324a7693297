// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
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
	// How long a canary that is let through is repeated before that is an alarm. An API
	// server compiles a policy before it acts, each that was written: a tenth of a second
	// for one of Skott's when it has nothing else to do, more than one when it is busy with
	// much else. A Guard acts as soon as it is noticed. When nothing was written there is
	// nothing to wait for. Until the alarm the cluster does not count as enforced.
	proofAfterPolicy = 20 * time.Second
	proofPerPolicy   = 2 * time.Second
	proofAfterWrite  = 10 * time.Second
	proofOtherwise   = time.Second
	// wholeEvery times CanaryInterval each policy is asked for, and not only each Guard.
	wholeEvery = 5
)

// errAdmitted is the result of a canary that was let through.
var errAdmitted = errors.New("the API server let it through")

// unproved is what was written since the last proof.
type unproved struct {
	// guards by name, in the order in which they were written.
	guards []string
	// policies: something else than Guards.
	policies bool
}

func (u *unproved) add(key objectKey) {
	if key.kind != kindGuard.Kind {
		u.policies = true
		return
	}
	u.guards = append(u.guards, key.name)
}

// canaries are those that the next proof asks for. An API server's policies read Guards from one
// cache, which follows one watch, and a policy or a binding that is changed is seen by a watch of ours: so that one canary, of
// the Guard that was written last, shows that all that were written arrived, and that policies act at all. That
// each of them does is asked for whenever one was written, or there is doubt, and now and then.
func (l *loop) canaries(d Desired, doubted bool) []Canary {
	if doubted || time.Now().After(l.wholeDue) {
		return d.Canaries
	}
	return l.unproved.canaries(d.Canaries)
}

// canaries are those that prove what was written, of all.
func (u *unproved) canaries(all []Canary) []Canary {
	if u.policies {
		return all
	}
	ofGuards := slices.DeleteFunc(slices.Clone(all), func(c Canary) bool { return c.Guard == "" })
	if len(u.guards) == 0 && len(ofGuards) > 0 {
		i := rand.IntN(len(ofGuards))
		return ofGuards[i : i+1]
	}
	for _, name := range slices.Backward(u.guards) {
		if i := slices.IndexFunc(ofGuards, func(c Canary) bool { return c.Guard == name }); i >= 0 {
			return ofGuards[i : i+1]
		}
	}
	return all
}

// proof is one attempt to have canaries of a revision denied, before it ends.
type proof struct {
	desired  Desired
	canaries []Canary
	ends     time.Time
	pending  []int // indexes of the canaries that were not denied yet
	results  []error
	took     []time.Duration
	tries    int
}

func newProof(d Desired, canaries []Canary, window time.Duration) *proof {
	p := &proof{desired: d, canaries: canaries, ends: time.Now().Add(window), results: make([]error, len(canaries)), took: make([]time.Duration, len(canaries))}
	for i := range canaries {
		p.pending = append(p.pending, i)
	}
	return p
}

// try sends the pending canaries once and says whether the proof is over. It does not wait:
// drift that appears meanwhile must not either. An error means that the cluster could not
// be asked: the canaries that are left would each take as long to find out the same, and the
// status would go on saying what was so before. It is broken off when it is outdated.
func (p *proof) try(ctx context.Context, c client.Client, outdated func() bool) (over bool, err error) {
	p.tries++
	broken := false
	p.pending = slices.DeleteFunc(p.pending, func(i int) bool {
		if broken = broken || err != nil || outdated(); broken {
			return false
		}
		canary, start := p.canaries[i], time.Now()
		p.results[i] = denied(send(ctx, c, canary), p.desired.Policies, canary.Want)
		p.took[i] = time.Since(start)
		if r := p.results[i]; r != nil && !errors.Is(r, errAdmitted) && !answered(r) {
			err = fmt.Errorf("cannot send canary %q: %w", canary.Family, r)
		}
		return p.results[i] == nil
	})
	return len(p.pending) == 0 || !broken && time.Now().After(p.ends), err
}

// outdated reports whether the proof under way is of what is not desired any more, and another
// one was completed not long ago: in a large fleet all canaries of a cluster take seconds, and
// what was published meanwhile must not wait for them; but where something is published all the
// time, proofs have to come to their end as well.
func (l *loop) outdated() bool {
	c := l.station.snapshot()
	if time.Since(c.Guard.ProvedAt) > proofGrace/2 {
		return false
	}
	desired, ok := l.station.fleet.desired(c)
	return ok && desired.Revision != l.proof.desired.Revision
}

// prove sends the canaries, and records what they show once that is settled.
func (l *loop) prove(ctx context.Context) (time.Duration, error) {
	p := l.proof
	leave := l.enterLane(ctx)
	over, err := p.try(ctx, l.link.account.canary, l.outdated)
	leave()
	if err != nil || !over {
		return 0, err
	}
	l.proof = nil
	key, observer := l.station.snapshot().Key(), l.options().Observer
	for i, canary := range p.canaries {
		observer.Canary(key, canary.Family, p.results[i] == nil, p.took[i])
	}
	admitted, unanswered := p.outcome()
	switch {
	case len(admitted) > 0:
		for _, family := range admitted {
			observer.CanaryAdmitted(key, family)
		}
		l.enter(CanaryAdmitted, skottv1.ReasonCanaryAdmitted, "the API server admitted the canaries of "+strings.Join(admitted, ", "))
	case len(unanswered) > 0:
		l.link.account.doubt() // perhaps its rights were taken away
		l.enter(Published, skottv1.ReasonNotProved, "canaries were refused for another reason: "+strings.Join(unanswered, ", "))
	case len(p.canaries) == 0:
		l.enter(Published, skottv1.ReasonNotProved, "there is no canary")
	default:
		l.backoff, l.unproved = 0, unproved{}
		l.nextProof = time.Now().Add(l.options().CanaryInterval)
		if len(p.canaries) == len(p.desired.Canaries) {
			l.wholeDue = time.Now().Add(spread(wholeEvery * l.options().CanaryInterval))
		}
		l.station.update(func(c *Cluster) {
			c.Guard.ProvedRevision, c.Guard.ProvedAt = p.desired.Revision, time.Now()
			c.Guard.Enter(time.Now(), Enforced, skottv1.ReasonEnforced, "")
		})
		return l.options().CanaryInterval, nil
	}
	l.distrust, l.nextProof, l.wholeDue = true, time.Time{}, time.Time{}
	return min(l.delay(), proofPause), nil
}

// outcome names the families that were let through, and those that were refused for another
// reason than ours. While no boundary denies, an API server that does not know the Guard yet, as
// after its start, lets pass what it otherwise refuses for that reason. Policies that fail
// closed even then tell it from one whose guard is off.
func (p *proof) outcome() (admitted, unanswered []string) {
	blind := slices.ContainsFunc(p.desired.Policies, func(policy *admissionv1.ValidatingAdmissionPolicy) bool {
		return policy.Spec.FailurePolicy != nil && *policy.Spec.FailurePolicy == admissionv1.Ignore
	}) && slices.ContainsFunc(p.results, unconfigured)
	for _, i := range p.pending {
		family, err := p.canaries[i].Family, p.results[i]
		if errors.Is(err, errAdmitted) && !blind {
			admitted = append(admitted, family)
		} else {
			unanswered = append(unanswered, fmt.Sprintf("%s (%s)", family, brief(err)))
		}
	}
	slices.Sort(admitted)
	slices.Sort(unanswered)
	return admitted, unanswered
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
func denied(answer error, policies []*admissionv1.ValidatingAdmissionPolicy, want string) error {
	if answer == nil {
		return errAdmitted
	}
	var status apierrors.APIStatus
	if !errors.As(answer, &status) {
		return answer
	}
	name, text, ok := policyDenial(status.Status().Message)
	ours := slices.ContainsFunc(policies, func(p *admissionv1.ValidatingAdmissionPolicy) bool { return p.Name == name })
	if ok && ours && strings.Contains(text, want) {
		return nil
	}
	return answer
}

// unconfigured reports whether a request was refused because a policy does not find what it reads.
func unconfigured(answer error) bool {
	var status apierrors.APIStatus
	if answer == nil || !errors.As(answer, &status) {
		return false
	}
	_, text, ok := policyDenial(status.Status().Message)
	return ok && strings.HasPrefix(text, "failed to configure ")
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
