// SPDX-License-Identifier: Apache-2.0

package simulator

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// watcher is one held-open watch.
type watcher struct {
	target  target
	want    func(*object) bool
	partial bool
	seen    map[key]bool
	queue   []string
	ring    chan struct{}
}

func (w *watcher) push(kind string, o *object) {
	body := o.partial
	if !w.partial {
		body = o.bytes
	}
	w.queue = append(w.queue, fmt.Sprintf(`{"type":%q,"object":%s}`+"\n", kind, body()))
	w.wake()
}

func (w *watcher) wake() {
	select {
	case w.ring <- struct{}{}:
	default:
	}
}

// tell must be called with the lock held.
func (c *Cluster) tell(kind string, k key, o *object) {
	for w := range c.watchers {
		if w.target.collection != k.collection {
			continue
		}
		was, is := w.seen[k], kind != "DELETED" && w.want(o)
		switch {
		case is && was:
			w.push("MODIFIED", o)
		case is:
			w.seen[k] = true
			w.push("ADDED", o)
		case was:
			delete(w.seen, k)
			w.push("DELETED", o)
		}
	}
}

// watch streams what changes. What is there already comes first, where that is asked for.
func (c *Cluster) watch(w http.ResponseWriter, r *http.Request, t target) {
	query := r.URL.Query()
	watcher := &watcher{target: t, want: selection(r, t), partial: wantsMetadata(r), seen: map[key]bool{}, ring: make(chan struct{}, 1)}
	since, _ := strconv.ParseInt(query.Get("resourceVersion"), 10, 64)
	initial := query.Get("sendInitialEvents") == "true"
	c.mu.Lock()
	for _, o := range c.selected(t, watcher.want) {
		k := key{t.collection, o.meta.Namespace, o.meta.Name}
		watcher.seen[k] = true
		if version, _ := strconv.ParseInt(o.meta.ResourceVersion, 10, 64); initial || version > since {
			watcher.push("ADDED", o)
		}
	}
	if initial {
		apiVersion, kind := "meta.k8s.io/v1", "PartialObjectMetadata"
		if served := servedAt(t.collection); served != nil && !watcher.partial {
			apiVersion, kind = served.apiVersion(), served.kind
		}
		watcher.queue = append(watcher.queue, fmt.Sprintf(`{"type":"BOOKMARK","object":{"apiVersion":%q,"kind":%q,"metadata":{"resourceVersion":"%d","annotations":{"k8s.io/initial-events-end":"true"}}}}`+"\n",
			apiVersion, kind, c.version))
		watcher.wake()
	}
	c.watchers[watcher] = true
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.watchers, watcher)
		c.mu.Unlock()
	}()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	seconds, _ := strconv.Atoi(query.Get("timeoutSeconds"))
	end := time.After(time.Duration(max(seconds, 60)) * time.Second)
	for {
		c.mu.Lock()
		batch := strings.Join(watcher.queue, "")
		watcher.queue = nil
		c.mu.Unlock()
		if _, err := w.Write([]byte(batch)); err != nil {
			return
		}
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
		select {
		case <-watcher.ring:
		case <-end:
			return
		case <-r.Context().Done():
			return
		}
	}
}
