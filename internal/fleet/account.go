// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/oauth2"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
)

const (
	operatorAccount = "skott-operator"
	canaryAccount   = "skott-canary"

	tokenLifetime = time.Hour
	// renewBefore the end of a token's life, so that an outage of that length costs nothing.
	renewBefore = 20 * time.Minute
	// renewPause between two failed renewals, while the old token still works.
	renewPause = 10 * time.Second
	// patience times Timeout is how long the write of a policy may take: the API server checks the types of its expressions
	// before it answers, and begins anew with each try. One that is starved would never get it.
	patience = 6
	// grantWait is how long an API server may take to notice a new role binding.
	grantWait = 5 * time.Second
)

// account is Skott's own account in one cluster, and the one of its canaries. It is made
// with the given credentials and from then on lives on tokens it renews itself: if the
// given credentials expire, a guarded cluster stays guarded and proved.
type account struct {
	link *link
	// inCluster: the given credentials are the account; nothing is to be created.
	inCluster bool

	// operator works as the account, canary as the one that only admission stops.
	operator, canary client.Client
	// patient is operator for what an API server may take long to accept.
	patient client.Client
	// config is operator's, without a timeout.
	config *rest.Config
	// discovery is what the operator's token is told of the API server.
	discovery discovery.DiscoveryInterface
	tokens    []*tokenSource

	mu    sync.Mutex
	ready bool
}

// newAccount prepares the clients of Skott's account, of which own makes the tokens; in the Ops Cluster own is that
// account already. Nothing is sent yet.
func newAccount(l *link, own *rest.Config, inCluster bool) (*account, error) {
	a := &account{link: l, inCluster: inCluster}
	canary := &tokenSource{account: a, name: canaryAccount}
	a.tokens = []*tokenSource{canary}
	limited := own
	if inCluster {
		a.config = rest.CopyConfig(own)
		a.config.Timeout = 0
	} else {
		operator := &tokenSource{account: a, name: operatorAccount}
		a.tokens = append(a.tokens, operator)
		a.config = withToken(own, operator, 0)
		limited = withToken(own, operator, l.options.Timeout)
	}
	var err error
	if a.operator, err = client.New(limited, client.Options{Scheme: scheme, Mapper: mapper}); err != nil {
		return nil, fmt.Errorf("cannot create a client: %s", brief(err))
	}
	if a.discovery, err = discovery.NewDiscoveryClientForConfig(limited); err != nil {
		return nil, fmt.Errorf("cannot create a client: %s", brief(err))
	}
	patient := rest.CopyConfig(a.config)
	patient.Timeout = patience * l.options.Timeout
	if a.patient, err = client.New(patient, client.Options{Scheme: scheme, Mapper: mapper}); err != nil {
		return nil, fmt.Errorf("cannot create a client: %s", brief(err))
	}
	config := withToken(l.anonymous, canary, l.options.Timeout)
	if a.canary, err = client.New(config, client.Options{Scheme: scheme, Mapper: mapper}); err != nil {
		return nil, fmt.Errorf("cannot create a client: %s", brief(err))
	}
	return a, nil
}

// ensure makes the account work: it creates it if that was not done yet, or if a request
// was refused since.
func (a *account) ensure(ctx context.Context, manages bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ready {
		return nil
	}
	if !a.inCluster {
		made := a.create(ctx, manages)
		if made != nil && a.operatorToken() == "" {
			return made
		}
		// The given credentials may have expired since. What was made with them works on.
		if err := a.awaitGrant(ctx); err != nil {
			return cmp.Or(made, err)
		}
	}
	a.ready = true
	return nil
}

// doubt is called when a request of the account was refused: the tokens and the roles are
// made anew before the next one, if that can be done.
func (a *account) doubt() {
	a.mu.Lock()
	a.ready = false
	a.mu.Unlock()
	for _, t := range a.tokens {
		t.suspect()
	}
}

// create applies the account and its rights, with the given credentials. Those are exempt from
// no policy of Skott's, and an API server that does not know the Guard refuses to write even
// what is there: only the account can put that right. If it is not there, its token will say so.
func (a *account) create(ctx context.Context, manages bool) error {
	for _, obj := range accountObjects(a.link.options.Namespace, manages) {
		u, err := toUnstructured(obj)
		if err != nil {
			return err
		}
		if _, err := applyObject(ctx, a.link.admin, u); unconfigured(err) {
			ctrllog.FromContext(ctx).V(1).Info("Failing to write what may be there already", "kind", u.GetKind(), "name", u.GetName(), "error", brief(err))
		} else if err != nil {
			return err
		}
	}
	return nil
}

// awaitGrant waits until the API server knows the rights that were just written. What it
// asks for is the first thing the account will need.
func (a *account) awaitGrant(ctx context.Context) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, grantWait, true, func(ctx context.Context) (bool, error) {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(kindNamespace)
		last = a.operator.List(ctx, list, client.Limit(1))
		if apierrors.IsForbidden(last) || apierrors.IsUnauthorized(last) {
			return false, nil
		}
		return true, last
	})
	if err != nil && last != nil {
		return fmt.Errorf("cannot work as %q: %w", operatorAccount, last)
	}
	return err
}

// issue asks for a token, as the account itself if it can, else with the given credentials.
func (a *account) issue(ctx context.Context, name, own string) (*oauth2.Token, error) {
	ways := []client.Client{a.link.admin}
	if own != "" {
		config := rest.CopyConfig(a.link.anonymous)
		config.BearerToken, config.Timeout = own, a.link.options.Timeout
		if c, err := client.New(config, client.Options{Scheme: scheme, Mapper: mapper}); err == nil {
			ways = []client.Client{c, a.link.admin}
		}
	}
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: a.link.options.Namespace, Name: name}}
	var err error
	for _, way := range ways {
		request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
			ExpirationSeconds: ptr.To(int64(tokenLifetime / time.Second)),
		}}
		asked := time.Now()
		if err = way.SubResource("token").Create(ctx, sa, request); err == nil {
			return &oauth2.Token{AccessToken: request.Status.Token, Expiry: asked.Add(life(request))}, nil
		}
	}
	return nil, fmt.Errorf("cannot request a token for %q: %w", name, err)
}

// life of a token that was issued: an API server may shorten what was asked for. When it ends is told by the clock of
// the API server; were ours an hour ahead of it, every token would seem to have ended when it comes.
func life(r *authenticationv1.TokenRequest) time.Duration {
	if s := ptr.Deref(r.Spec.ExpirationSeconds, 0); s > 0 {
		return time.Duration(min(s, int64(tokenLifetime/time.Second))) * time.Second
	}
	return tokenLifetime
}

// operatorToken is the account's present token, or "".
func (a *account) operatorToken() string {
	for _, t := range a.tokens {
		if t.name == operatorAccount {
			return t.present()
		}
	}
	return ""
}

// tokenSource holds the token of one account and renews it well before it expires.
type tokenSource struct {
	account *account
	name    string

	renewing sync.Mutex // held while asking; mu is not, so that a valid token never waits

	mu    sync.Mutex
	token *oauth2.Token
	tried time.Time
	// suspected: another is wanted, whatever the life of this one.
	suspected bool
}

// Token implements oauth2.TokenSource. It is asked for every request.
func (s *tokenSource) Token() (*oauth2.Token, error) {
	if token, renew := s.current(time.Now()); !renew {
		return token, nil
	}
	s.renewing.Lock()
	defer s.renewing.Unlock()
	token, renew := s.current(time.Now())
	if !renew {
		return token, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*s.account.link.options.Timeout)
	defer cancel()
	own := s.present()
	if s.name != operatorAccount {
		own = s.account.operatorToken()
	}
	fresh, err := s.account.issue(ctx, s.name, own)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried = time.Now()
	if err == nil {
		s.token, s.suspected = fresh, false
		return fresh, nil
	}
	if token != nil && token.Expiry.After(s.tried) {
		return token, nil // the old one still works; the next try is due soon
	}
	return nil, err
}

// current is the token, and whether it has to be renewed before it is used.
func (s *tokenSource) current(now time.Time) (*oauth2.Token, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.token == nil:
		return nil, true
	case !s.suspected && now.Before(s.token.Expiry.Add(-renewBefore)):
		return s.token, false
	case now.Before(s.token.Expiry):
		return s.token, now.Sub(s.tried) > renewPause
	default:
		return s.token, true
	}
}

// present is the token's text if it has not expired.
func (s *tokenSource) present() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token == nil || !time.Now().Before(s.token.Expiry) {
		return ""
	}
	return s.token.AccessToken
}

// suspect has the token made anew before it is used again. It is kept until then: perhaps
// nobody but the account itself can ask for another.
func (s *tokenSource) suspect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.suspected, s.tried = true, time.Time{}
}
