// SPDX-License-Identifier: Apache-2.0

package simulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/skott-dev/skott/internal/policy"
)

// target is what a request is about.
type target struct {
	key
	resource, subresource string
}

// targetOf reads a path of the API; false if it is none.
func targetOf(path string) (t target, ok bool) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	n := map[string]int{"api": 2, "apis": 3}[parts[0]]
	if n == 0 || len(parts) <= n {
		return t, false
	}
	root, rest := "/"+strings.Join(parts[:n], "/"), parts[n:]
	if rest[0] == "namespaces" && len(rest) > 2 && rest[2] != "finalize" && rest[2] != "status" {
		t.namespace, rest = rest[1], rest[2:]
	}
	t.resource, t.collection = rest[0], root+"/"+rest[0]
	if len(rest) > 1 {
		t.name = rest[1]
	}
	if len(rest) > 2 {
		t.subresource = rest[2]
	}
	return t, true
}

// ServeHTTP implements http.Handler.
func (c *Cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c.down.Load() {
		<-r.Context().Done()
		return
	}
	if d := time.Duration(c.delay.Load()); d > 0 {
		select {
		case <-time.After(d):
		case <-r.Context().Done():
			return
		}
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	t, ok := targetOf(r.URL.Path)
	c.count(r, t, len(body))
	if !ok {
		c.discover(w, r)
		return
	}
	query := r.URL.Query()
	switch {
	case r.Method == http.MethodGet && query.Get("watch") != "":
		c.watch(w, r, t)
	case r.Method == http.MethodGet && t.name == "":
		c.list(w, r, t)
	case r.Method == http.MethodGet:
		c.get(w, r, t)
	case query.Get("dryRun") != "":
		c.canary(w, t, string(body))
	case r.Method == http.MethodPost && t.subresource == "token":
		ends := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
		answer(w, http.StatusCreated, fmt.Appendf(nil, `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","metadata":{},"spec":{"audiences":[]},"status":{"token":"t%d","expirationTimestamp":%q}}`, time.Now().UnixNano(), ends))
	case r.Method == http.MethodPost && t.resource == "selfsubjectaccessreviews":
		answer(w, http.StatusCreated, []byte(`{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview","metadata":{},"spec":{},"status":{"allowed":true}}`))
	case r.Method == http.MethodDelete:
		c.remove(w, t)
	default:
		c.write(w, r, t, body)
	}
}

// count keeps the number of requests, and who wrote.
func (c *Cluster) count(r *http.Request, t target, bytes int) {
	verb := strings.ToLower(r.Method)
	switch {
	case r.URL.Query().Get("watch") != "":
		verb = "watch"
	case r.URL.Query().Get("dryRun") != "":
		verb = "dry-run"
	case verb == "get" && t.resource != "" && t.name == "":
		verb = "list"
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	resource := t.resource
	if t.resource == "" {
		resource = "discovery"
	}
	c.requests[verb+" "+resource]++
	c.bytesIn += int64(bytes)
	if author, ok := r.Context().Value(connection{}).(string); ok && verb != "watch" && verb != "get" && verb != "list" && verb != "dry-run" {
		c.authors[author]++
	}
}

func answer(w http.ResponseWriter, code int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(body)
}

func refuse(w http.ResponseWriter, code int, reason metav1.StatusReason, message string) {
	body, _ := json.Marshal(metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: "Failure", Code: int32(code), Reason: reason, Message: message})
	answer(w, code, body)
}

func wantsMetadata(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "as=PartialObjectMetadata")
}

func (c *Cluster) show(o *object, partial bool) []byte {
	if partial {
		return o.partial()
	}
	return o.bytes()
}

func (c *Cluster) get(w http.ResponseWriter, r *http.Request, t target) {
	c.mu.Lock()
	o := c.objects[t.key]
	c.mu.Unlock()
	if o == nil {
		refuse(w, http.StatusNotFound, metav1.StatusReasonNotFound, fmt.Sprintf("%s %q not found", t.resource, t.name))
		return
	}
	answer(w, http.StatusOK, c.show(o, wantsMetadata(r)))
}

// selection is what a list or a watch selects.
func selection(r *http.Request, t target) func(*object) bool {
	query := r.URL.Query()
	selector, err := labels.Parse(query.Get("labelSelector"))
	if err != nil {
		selector = labels.Nothing()
	}
	name, named := strings.CutPrefix(query.Get("fieldSelector"), "metadata.name=")
	return func(o *object) bool {
		return (t.namespace == "" || o.meta.Namespace == t.namespace) && selector.Matches(labels.Set(o.meta.Labels)) && (!named || o.meta.Name == name)
	}
}

// select must be called with the lock held.
func (c *Cluster) selected(t target, want func(*object) bool) []*object {
	var out []*object
	for k, o := range c.objects {
		if k.collection == t.collection && want(o) {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b *object) int {
		return strings.Compare(a.meta.Namespace+"/"+a.meta.Name, b.meta.Namespace+"/"+b.meta.Name)
	})
	return out
}

func (c *Cluster) list(w http.ResponseWriter, r *http.Request, t target) {
	c.mu.Lock()
	items, version := c.selected(t, selection(r, t)), c.version
	c.mu.Unlock()
	partial := strings.Contains(r.Header.Get("Accept"), "as=PartialObjectMetadataList")
	apiVersion, kind := "v1", "List"
	if partial {
		apiVersion, kind = "meta.k8s.io/v1", "PartialObjectMetadataList"
	} else if served := servedAt(t.collection); served != nil {
		apiVersion, kind = served.apiVersion(), served.kind+"List"
	}
	parts := make([]string, len(items))
	for i, o := range items {
		parts[i] = string(c.show(o, partial))
	}
	answer(w, http.StatusOK, fmt.Appendf(nil, `{"apiVersion":%q,"kind":%q,"metadata":{"resourceVersion":"%d"},"items":[%s]}`, apiVersion, kind, version, strings.Join(parts, ",")))
}

func (c *Cluster) remove(w http.ResponseWriter, t target) {
	c.mu.Lock()
	o := c.objects[t.key]
	if o != nil {
		delete(c.objects, t.key)
		c.version++
		c.tell("DELETED", t.key, o)
		if t.resource == "guards" {
			delete(c.held, t.name)
		}
	}
	c.mu.Unlock()
	if o == nil {
		refuse(w, http.StatusNotFound, metav1.StatusReasonNotFound, "not found")
		return
	}
	answer(w, http.StatusOK, []byte(`{"apiVersion":"v1","kind":"Status","metadata":{},"status":"Success"}`))
}

// write applies, patches, creates or updates.
func (c *Cluster) write(w http.ResponseWriter, r *http.Request, t target, body []byte) {
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/merge-patch+json") {
		c.patch(w, r, t, body)
		return
	}
	in, err := takeApart(body)
	if err != nil {
		refuse(w, http.StatusUnsupportedMediaType, metav1.StatusReasonUnsupportedMediaType, "the simulator reads only JSON here: "+err.Error())
		return
	}
	if t.name == "" {
		t.name = in.head.Metadata.Name
	}
	manager := ""
	if r.Method == http.MethodPatch {
		manager = r.URL.Query().Get("fieldManager")
	}
	o := c.store(t.key, in, stored{hosts(body), len(body), manager})
	answer(w, http.StatusOK, c.show(o, wantsMetadata(r)))
}

// stored is what is noted of a write: the addresses of canaries in it, its size, and who
// applied it.
type stored struct {
	canaries map[string]bool
	size     int
	manager  string
}

// store puts what was sent in place of what there was. Stored objects are never changed.
func (c *Cluster) store(k key, in *sent, s stored) *object {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := &object{apiVersion: in.head.APIVersion, kind: in.head.Kind}
	old := c.objects[k]
	if old == nil {
		o.meta = newMeta(k.namespace, k.name)
	} else {
		o.meta = old.meta
	}
	relabelled(&o.meta, in.head.Metadata)
	if s.manager != "" {
		o.meta.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: s.manager, Operation: metav1.ManagedFieldsOperationApply, APIVersion: o.apiVersion,
			FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(`{"f:spec":{}}`)}}
	}
	o.content = in.content
	if old != nil && len(in.content) == 0 { // labels alone, which take nothing away
		o.content, o.patches = old.content, old.patches
	}
	if old == nil || len(old.patches) != len(o.patches) || !slices.Equal(old.content, o.content) {
		o.meta.Generation++
	}
	c.put(k, o, s)
	return o
}

// put must be called with the lock held.
func (c *Cluster) put(k key, o *object, s stored) {
	what := "ADDED"
	if c.objects[k] != nil {
		what = "MODIFIED"
	}
	c.version++
	o.meta.ResourceVersion = strconv.FormatInt(c.version, 10)
	c.objects[k] = o
	if strings.HasSuffix(k.collection, "/guards") {
		c.held[k.name] = s.canaries
		c.written = append(c.written, Write{At: time.Now(), Name: k.name, Bytes: s.size, after: o})
	}
	c.tell(what, k, o)
}

// patch merges into an object that must be the one that the patch was made for.
func (c *Cluster) patch(w http.ResponseWriter, r *http.Request, t target, body []byte) {
	var p struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
	}
	if err := json.Unmarshal(body, &p); err != nil {
		refuse(w, http.StatusBadRequest, metav1.StatusReasonBadRequest, err.Error())
		return
	}
	c.mu.Lock()
	old := c.objects[t.key]
	if old == nil || p.Metadata.ResourceVersion != "" && p.Metadata.ResourceVersion != old.meta.ResourceVersion {
		c.mu.Unlock()
		if old == nil {
			refuse(w, http.StatusNotFound, metav1.StatusReasonNotFound, "not found")
		} else {
			refuse(w, http.StatusConflict, metav1.StatusReasonConflict, "the object has been modified")
		}
		return
	}
	o := &object{apiVersion: old.apiVersion, kind: old.kind, meta: old.meta, content: old.content, patches: append(slices.Clone(old.patches), body)}
	o.meta.Generation++
	relabelled(&o.meta, p.Metadata)
	canaries := map[string]bool{}
	for host := range c.held[t.name] {
		canaries[host] = true
	}
	for host := range hosts(body) {
		if canaries[host] = true; removed(body, host) {
			delete(canaries, host)
		}
	}
	c.put(t.key, o, stored{canaries: canaries, size: len(body)})
	c.mu.Unlock()
	answer(w, http.StatusOK, c.show(o, wantsMetadata(r)))
}

// removed reports whether a patch takes an address away.
func removed(patch []byte, host string) bool {
	return strings.Contains(string(patch), `"`+host+`":null`)
}

var canaryHost = regexp.MustCompile(`[0-9a-z-]+(?:\.[0-9a-z-]+)?\.canary\.skott\.invalid`)

// hosts are the addresses of canaries in a body.
func hosts(body []byte) map[string]bool {
	out := map[string]bool{}
	for {
		at := bytes.Index(body, []byte(".canary.skott.invalid"))
		if at < 0 {
			return out
		}
		from := max(0, at-64)
		for _, h := range canaryHost.FindAllString(string(body[from:at+len(".canary.skott.invalid")]), -1) {
			out[h] = true
		}
		body = body[at+len(".canary.skott.invalid"):]
	}
}

// canary answers a dry run: it is denied if the policy of its family and its binding are
// there, and a Guard holds the address that it names.
func (c *Cluster) canary(w http.ResponseWriter, t target, body string) {
	family, said := "", ""
	c.mu.Lock()
	defer c.mu.Unlock()
	switch t.resource {
	case "namespaces":
		family, said = "cluster", string(policy.CodeNamespaceLabel)
	case "guards":
		family, said = "guard", string(policy.CodeGuard)
	default:
		family = "delivery"
		if _, after, ok := strings.Cut(body, `"skott-canary-`); ok {
			if name, _, ok := strings.Cut(after, `"`); ok && t.resource != "secrets" {
				family = name
			}
		}
		named := canaryHost.FindAllString(body, -1)
		for _, held := range c.held {
			for _, host := range named {
				if held[host] {
					said = host
				}
			}
		}
	}
	name := "skott-" + family
	const group = "/apis/admissionregistration.k8s.io/v1/"
	if c.objects[key{group + "validatingadmissionpolicies", "", name}] == nil || c.objects[key{group + "validatingadmissionpolicybindings", "", name + "-deny"}] == nil {
		said = ""
	}
	if said == "" {
		answer(w, http.StatusCreated, []byte(body))
		return
	}
	refuse(w, http.StatusForbidden, metav1.StatusReasonForbidden, fmt.Sprintf(
		"%s is forbidden: ValidatingAdmissionPolicy '%s' with binding '%s-deny' denied request: simulated: names %s", t.resource, name, name, said))
}
