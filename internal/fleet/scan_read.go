// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"
)

const (
	scanAgent = "skott-scan"
	// scanRate is how many requests a second a scanner may send: it is in nobody's hurry.
	scanRate = 20
	// scanRates is how many all scanners together may send: a changed address has every
	// cluster read again, and nobody who guards may wait for that.
	scanRates = 500
	// scanTimeout of a page, which an API server under load sends slowly.
	scanTimeout = 30 * time.Second
)

// scanReader reads objects as they are sent, one at a time.
type scanReader struct {
	client *rest.RESTClient
	pace   flowcontrol.RateLimiter
}

func newScanReader(config *rest.Config, pace flowcontrol.RateLimiter) (*scanReader, error) {
	config = rest.CopyConfig(config)
	config.UserAgent, config.QPS, config.Burst, config.RateLimiter, config.Timeout = scanAgent, scanRate, scanRate, nil, 0
	config.NegotiatedSerializer = clientgoscheme.Codecs.WithoutConversion()
	client, err := rest.UnversionedRESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("cannot scan: %s", brief(err))
	}
	return &scanReader{client: client, pace: pace}, nil
}

// request is one for all objects of a resource.
func (r *scanReader) request(resource schema.GroupVersionResource) *rest.Request {
	path := []string{"apis", resource.Group, resource.Version, resource.Resource}
	if resource.Group == "" {
		path = []string{"api", resource.Version, resource.Resource}
	}
	return r.client.Get().AbsPath(path...).SetHeader("Accept", "application/json")
}

// list visits every object of a resource and returns the revision of the list. One object at
// a time is in memory.
func (r *scanReader) list(ctx context.Context, resource schema.GroupVersionResource, visit func(raw []byte) error) (string, error) {
	for next := ""; ; {
		meta, err := r.page(ctx, resource, next, visit)
		if err != nil {
			return "", err
		}
		if meta.Continue == "" {
			return meta.ResourceVersion, nil
		}
		next = meta.Continue
	}
}

// page hands the raw items of one page to visit, from a continuation, "" for the first. It waits for its
// turn, and takes no longer than scanTimeout.
func (r *scanReader) page(ctx context.Context, resource schema.GroupVersionResource, from string, visit func(raw []byte) error) (metav1.ListMeta, error) {
	if err := r.pace.Wait(ctx); err != nil {
		return metav1.ListMeta{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, scanTimeout)
	defer cancel()
	request := r.request(resource).Param("limit", strconv.Itoa(pageSize))
	if from != "" {
		request = request.Param("continue", from)
	}
	body, err := request.Stream(ctx)
	if err != nil {
		return metav1.ListMeta{}, err
	}
	defer body.Close()
	return readList(body, visit)
}

// readList reads a list in JSON, one item at a time.
func readList(from io.Reader, visit func(raw []byte) error) (meta metav1.ListMeta, err error) {
	d := json.NewDecoder(from)
	if err := expect(d, json.Delim('{')); err != nil {
		return meta, err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return meta, err
		}
		switch key {
		case "metadata":
			err = d.Decode(&meta)
		case "items":
			err = readItems(d, visit)
		default:
			err = d.Decode(&json.RawMessage{})
		}
		if err != nil {
			return meta, err
		}
	}
	// A list that was cut off is no list.
	return meta, expect(d, json.Delim('}'))
}

// readItems hands on one item after the other, so that a page is never decoded as a whole.
func readItems(d *json.Decoder, visit func(raw []byte) error) error {
	token, err := d.Token()
	if err != nil || token == nil { // null for none
		return err
	}
	if token != json.Delim('[') {
		return errors.New("the items are no list")
	}
	for d.More() {
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return err
		}
		if err := visit(raw); err != nil {
			return err
		}
	}
	return expect(d, json.Delim(']'))
}

func expect(d *json.Decoder, want json.Delim) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	if token != want {
		return fmt.Errorf("the answer has %v where %v belongs", token, want)
	}
	return nil
}

// head is what a scanner knows of an object before it is judged.
type head struct {
	Name            string    `json:"name"`
	Namespace       string    `json:"namespace"`
	UID             types.UID `json:"uid"`
	ResourceVersion string    `json:"resourceVersion"`
}

// readHead reads nothing but that. Case matters: an object may have fields of its own that differ
// from these in nothing else, and would be taken for one of another namespace.
func readHead(raw []byte) (head, error) {
	var object struct {
		Metadata head `json:"metadata"`
	}
	err := utiljson.Unmarshal(raw, &object)
	return object.Metadata, err
}

// scanEvent is what a watch tells of an object.
type scanEvent struct {
	kind    ScanKind
	deleted bool
	// lost: the watch has missed something, and the kind is to be listed anew.
	lost bool
	// revision that the watch has reached; without raw, nothing has happened until then.
	revision string
	raw      []byte
}

// older reports whether a revision was before another, as far as revisions can be compared: those of etcd can.
func older(a, b string) bool {
	m, err := strconv.ParseUint(a, 10, 64)
	n, again := strconv.ParseUint(b, 10, 64)
	return err == nil && again == nil && m < n
}

// watch tells of every change after a revision until the context ends or something was missed.
func (r *scanReader) watch(ctx context.Context, kind ScanKind, version, revision string, tell func(scanEvent)) {
	resource := kind.resource().WithVersion(version)
	for wait := backoffFirst; ctx.Err() == nil; {
		last, err := r.watchOnce(ctx, kind, resource, revision, tell)
		if apierrors.IsGone(err) || apierrors.IsResourceExpired(err) || apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
			tell(scanEvent{kind: kind, lost: true})
			return
		}
		if last != revision {
			revision, wait = last, backoffFirst
		}
		if pause(ctx, wait) != nil {
			return
		}
		wait = min(2*wait, backoffLast)
	}
}

// watchOnce tells of changes after a revision until the watch ends, and returns the last revision it heard of.
func (r *scanReader) watchOnce(ctx context.Context, kind ScanKind, resource schema.GroupVersionResource, revision string, tell func(scanEvent)) (string, error) {
	body, err := r.request(resource).Param("watch", "true").Param("allowWatchBookmarks", "true").Param("resourceVersion", revision).Stream(ctx)
	if err != nil {
		return revision, err
	}
	defer body.Close()
	d := json.NewDecoder(body)
	for {
		var event struct {
			Type   string          `json:"type"`
			Object json.RawMessage `json:"object"`
		}
		if err := d.Decode(&event); err != nil {
			return revision, err
		}
		if event.Type == "ERROR" {
			status := &metav1.Status{}
			if err := json.Unmarshal(event.Object, status); err != nil {
				return revision, err
			}
			return revision, apierrors.FromObject(status)
		}
		object, err := readHead(event.Object)
		if err != nil {
			return revision, err
		}
		revision = object.ResourceVersion
		e := scanEvent{kind: kind, deleted: event.Type == "DELETED", revision: revision, raw: event.Object}
		if event.Type == "BOOKMARK" {
			e.raw = nil
		}
		tell(e)
	}
}
