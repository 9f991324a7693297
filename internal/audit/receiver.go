// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
)

const (
	// Path before the cluster that events are of: MANAGEMENTCLUSTER, or MANAGEMENTCLUSTER/NAMESPACE/NAME.
	Path = "/audit/"
	// maxBody bounds one text of events: an API server sends 400 of one or two kilobytes at a time.
	maxBody = 8 << 20
	// maxEvents bounds how many events one text holds.
	maxEvents = 10_000
	// atOnce bounds how many texts are in memory at a time, and of one ManagementCluster there is
	// one only, so that none that sends slowly stands in the way of the others.
	atOnce = 4
	// Denials of one ManagementCluster that are taken in a second, and at a time. So who has its token
	// cannot flush the record with what never was. Canaries are in no record, and of many clusters they are many.
	denialRate, denialBurst = 200, maxEvents
	// turnTime is how long a sender waits for its turn, and bodyTime how long it may take then.
	headerTime, turnTime, bodyTime, idleTime = 5 * time.Second, 10 * time.Second, 10 * time.Second, 5 * time.Minute
	requestTime                              = headerTime + turnTime + bodyTime
)

// Source is the cluster that somebody sends events of.
type Source struct {
	ManagementCluster string
	// Namespace and Name of a Cluster under it; both empty for itself.
	Namespace, Name string
}

// String is MANAGEMENTCLUSTER or MANAGEMENTCLUSTER/NAMESPACE/NAME.
func (s Source) String() string {
	if s.Name == "" {
		return s.ManagementCluster
	}
	return s.ManagementCluster + "/" + s.Namespace + "/" + s.Name
}

// Receiver takes audit events over HTTP. Whatever it does not answer with 200 is to be sent
// again: nothing of it was kept.
type Receiver struct {
	// Authorize answers with a status of HTTP whether the bearer of a token may speak for a source.
	Authorize func(ctx context.Context, s Source, token string) int
	// Keep takes what was read. An error means that nothing of it was kept.
	Keep func(s Source, d Decoded) error
	// Answered hears of every answer, by its status.
	Answered func(status int)
	Log      logr.Logger

	slots chan struct{}
	turn  time.Duration

	mu      sync.Mutex
	senders map[string]*sender
}

// sender is what bounds a ManagementCluster.
type sender struct {
	slot chan struct{}
	rate *rate.Limiter
}

// NewReceiver returns a Receiver.
func NewReceiver(authorize func(context.Context, Source, string) int, keep func(Source, Decoded) error, log logr.Logger) *Receiver {
	return &Receiver{
		Authorize: authorize, Keep: keep, Answered: func(int) {}, Log: log,
		slots: make(chan struct{}, atOnce), turn: turnTime, senders: map[string]*sender{},
	}
}

// ServeHTTP implements http.Handler.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	status, err := r.answer(w, request)
	r.Answered(status)
	if err == nil {
		return
	}
	if status == http.StatusUnauthorized || status == http.StatusRequestTimeout {
		w.Header().Set("Connection", "close") // who has no token holds none open, nor who is slow
	}
	if status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	http.Error(w, err.Error(), status)
}

func (r *Receiver) answer(w http.ResponseWriter, request *http.Request) (int, error) {
	if request.Method != http.MethodPost {
		return http.StatusMethodNotAllowed, errors.New("audit events are sent by POST")
	}
	source, ok := sourceOf(request.URL.Path)
	if !ok {
		return http.StatusNotFound, errors.New("the path is " + Path + "MANAGEMENTCLUSTER[/NAMESPACE/NAME]")
	}
	scheme, token, _ := strings.Cut(request.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		token = ""
	}
	if status := r.Authorize(request.Context(), source, token); status != http.StatusOK {
		return status, errors.New(http.StatusText(status))
	}
	from := r.sender(source.ManagementCluster)
	done, ok := r.wait(request.Context(), from.slot, r.slots)
	if !ok {
		return http.StatusTooManyRequests, errors.New("as much as can be is being read")
	}
	defer done()
	// Where there is no deadline of its own, that of the whole request is left.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime))
	status, err := r.take(source, from.rate, http.MaxBytesReader(w, request.Body, maxBody))
	if err != nil {
		r.Log.Error(err, "Cannot take audit events", "cluster", source.String())
	}
	return status, err
}

// sender is what bounds a ManagementCluster. Only those with a token get here, so there are
// not more than ManagementClusters were.
func (r *Receiver) sender(name string) *sender {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, found := r.senders[name]
	if !found {
		s = &sender{slot: make(chan struct{}, 1), rate: rate.NewLimiter(denialRate, denialBurst)}
		r.senders[name] = s
	}
	return s
}

// wait takes a place in every line, for as long as one may wait. done leaves them again.
func (r *Receiver) wait(ctx context.Context, lines ...chan struct{}) (done func(), ok bool) {
	timer := time.NewTimer(r.turn)
	defer timer.Stop()
	var taken []chan struct{}
	done = func() {
		for _, line := range taken {
			<-line
		}
	}
	for _, line := range lines {
		select {
		case line <- struct{}{}:
			taken = append(taken, line)
			continue
		case <-timer.C:
		case <-ctx.Done():
		}
		done()
		return nil, false
	}
	return done, true
}

// take reads and keeps one text of events. What was read of a broken one is not kept: it is
// sent again as a whole.
func (r *Receiver) take(source Source, limit *rate.Limiter, body io.Reader) (int, error) {
	text, err := io.ReadAll(body)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return http.StatusRequestEntityTooLarge, err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return http.StatusRequestTimeout, err
	case err != nil:
		return http.StatusBadRequest, err
	}
	decoded, err := Decode(text)
	if err != nil {
		return http.StatusBadRequest, err
	}
	if n := decoded.Events + decoded.Skipped; n > maxEvents {
		return http.StatusRequestEntityTooLarge, fmt.Errorf("cannot take %d events at a time, %d at most", n, maxEvents)
	}
	if decoded.Skipped > 0 {
		r.Log.Info("Passed by what is no audit event", "cluster", source.String(), "count", decoded.Skipped)
	}
	if !limit.AllowN(time.Now(), decoded.attempts()) {
		return http.StatusTooManyRequests, fmt.Errorf("cannot take more than %d denials a second", denialRate)
	}
	if err := r.Keep(source, decoded); err != nil {
		return http.StatusServiceUnavailable, err
	}
	return http.StatusOK, nil
}

func sourceOf(path string) (Source, bool) {
	rest, found := strings.CutPrefix(path, Path)
	parts := strings.Split(rest, "/")
	for _, p := range parts {
		if p == "" || len(p) > 253 {
			return Source{}, false
		}
	}
	switch {
	case !found:
	case len(parts) == 1:
		return Source{ManagementCluster: parts[0]}, true
	case len(parts) == 3:
		return Source{parts[0], parts[1], parts[2]}, true
	}
	return Source{}, false
}
