// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"

	"github.com/skott-dev/skott/internal/status"
)

func TestReadList(t *testing.T) {
	for _, c := range []struct {
		name, text, next string
		want             []string
		fails            bool
	}{
		{name: "objects, with the metadata behind", text: `{"kind":"L","items":[{"a":1},{"b":[2]}],"metadata":{"continue":"x"}}`, next: "x", want: []string{`{"a":1}`, `{"b":[2]}`}},
		{name: "none", text: `{"metadata":{},"items":[]}`},
		{name: "null", text: `{"items":null,"metadata":{"continue":"y"}}`, next: "y"},
		{name: "cut off in the list", text: `{"items":[{"a":1},`, want: []string{`{"a":1}`}, fails: true},
		{name: "cut off behind the list", text: `{"items":[{"a":1}]`, want: []string{`{"a":1}`}, fails: true},
		{name: "no list", text: `{"items":{}}`, fails: true},
		{name: "no object", text: `[]`, fails: true},
		{name: "nothing", fails: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			meta, err := readList(strings.NewReader(c.text), func(raw []byte) error { got = append(got, string(raw)); return nil })
			if (err != nil) != c.fails || !c.fails && meta.Continue != c.next {
				t.Errorf("error %v, continue %q", err, meta.Continue)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	refusal := errors.New("no more")
	if _, err := readList(strings.NewReader(`{"items":[1]}`), func([]byte) error { return refusal }); !errors.Is(err, refusal) {
		t.Errorf("got %v", err)
	}
}

func TestReadHead(t *testing.T) {
	got, err := readHead([]byte(`{"METADATA":{"namespace":"production"},"metadata":{"Namespace":"production","name":"a","namespace":"shop","uid":"u","resourceVersion":"7","managedFields":[{}]},"Metadata":{"namespace":"production"}}`))
	if want := (head{"a", "shop", "u", "7"}); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := readHead([]byte(`{"metadata":{"name":1}}`)); err == nil {
		t.Error("a number is no name")
	}
}

// marked judges ConfigMaps by their text.
func marked(o ScanObject) (string, []status.Violation) {
	var out []status.Violation
	for range strings.Count(string(o.Raw), "crosses") {
		out = append(out, status.Violation{Boundary: "b", Action: "Deny", Code: "SKOTT-D102"})
	}
	return "staging", out
}

var configMaps = ScanKind{Resource: "configmaps", Kind: "ConfigMap", Versions: []string{"v1"}}

func scannerOf(t *testing.T) *scanner {
	t.Helper()
	f := New(Options{})
	m := &member{fleet: f}
	s := newScanner(newLoop(newStation(m, Cluster{ManagementCluster: "mc"}, time.Time{}, func() {}), nil))
	s.current = Scanning{Judge: marked}
	s.kinds[configMaps.resource()] = &found{kind: configMaps, crosses: map[types.UID]crossing{}}
	s.versions[configMaps.resource()], s.completed = "v1", time.Now()
	return s
}

func TestScannerEvents(t *testing.T) {
	s := scannerOf(t)
	tell := func(deleted bool, name, namespace, data string) *status.Scan {
		s.event(scanEvent{kind: configMaps, deleted: deleted, raw: fmt.Appendf(nil, `{"metadata":{"name":%q,"namespace":%q,"uid":"uid-%s"},"data":{"x":%q}}`, name, namespace, name, data)})
		s.tell()
		return s.loop.station.snapshot().Scan
	}
	scan := tell(false, "a", "default", "crosses and crosses")
	if len(scan.Findings) != 1 || len(scan.Counts) != 1 || scan.Counts[0].Objects != 1 || len(scan.Findings[0].Violations) != 2 {
		t.Fatalf("one object with two violations is one: %+v", scan)
	}
	since := scan.Findings[0].Since
	if scan = tell(false, "a", "default", "crosses still"); !scan.Findings[0].Since.Equal(since) {
		t.Error("it was first seen earlier")
	}
	if !s.own(ScanKind{Resource: "secrets"}, "skott-system") || !s.own(ScanKind{Group: "skott.dev", Resource: "datalocations"}, "") || s.own(configMaps, "skott-system") {
		t.Error("Skott's kubeconfigs and its own kinds are left out, and nothing else where they are")
	}
	if scan = tell(false, "b", "default", "innocent"); len(scan.Findings) != 1 {
		t.Error("an innocent object is no finding")
	}
	s.moved = false
	s.event(scanEvent{kind: configMaps, raw: []byte(`{"metadata":{"name":"b","uid":"uid-b"}}`)})
	if s.moved || s.untold {
		t.Error("what happens to an innocent object costs more than to judge it")
	}
	if scan = tell(false, "a", "default", "fixed"); len(scan.Findings) != 0 || len(scan.Counts) != 0 {
		t.Error("what is fixed is gone")
	}
	tell(false, "a", "default", "crosses")
	if scan = tell(true, "a", "default", "crosses"); len(scan.Findings) != 0 {
		t.Error("what is deleted is gone")
	}
	if s.detailed != 0 {
		t.Errorf("%d are still kept", s.detailed)
	}
}

func TestScannerBounds(t *testing.T) {
	s := scannerOf(t)
	const extra = 7
	for i := range maxFindings + extra {
		s.event(scanEvent{kind: configMaps, raw: fmt.Appendf(nil, `{"metadata":{"name":"c-%d","namespace":"default","uid":"%d"},"data":{"x":%q}}`, i, i, strings.Repeat("crosses ", 2*maxFindingViolations))})
	}
	s.tell()
	scan := s.loop.station.snapshot().Scan
	if len(scan.Findings) != maxFindings || scan.Counts[0].Objects != maxFindings+extra {
		t.Errorf("%d findings, %d counted", len(scan.Findings), scan.Counts[0].Objects)
	}
	if n := len(scan.Findings[0].Violations); n != maxFindingViolations {
		t.Errorf("%d violations", n)
	}
	if !slices.IsSortedFunc(scan.Findings, compareFindings) {
		t.Error("the findings are not sorted")
	}
}

func TestScannerLostWatch(t *testing.T) {
	s := scannerOf(t)
	s.event(scanEvent{kind: configMaps, lost: true})
	if _, again := s.relist[schema.GroupResource{Resource: "configmaps"}]; !again {
		t.Error("what a watch has missed is listed again")
	}
}

// A list takes its time, and is older than what a watch tells meanwhile.
func TestScannerListsWhileItWatches(t *testing.T) {
	s := scannerOf(t)
	object := func(name, data string) string {
		return fmt.Sprintf(`{"metadata":{"name":%q,"namespace":"default","uid":%q},"data":{"x":%q}}`, name, name, data)
	}
	watched := func(deleted bool, name, data string) scanEvent {
		return scanEvent{kind: configMaps, deleted: deleted, raw: []byte(object(name, data))}
	}
	s.events = make(chan scanEvent, 3)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for _, e := range []scanEvent{watched(false, "fixed", "innocent"), watched(true, "deleted", "crosses"), watched(false, "added", "crosses")} {
			s.events <- e
		}
		fmt.Fprintf(w, `{"metadata":{"resourceVersion":"7"},"items":[%s,%s,%s,%s]}`, object("stays", "crosses"), object("fixed", "crosses"), object("deleted", "crosses"), object("innocent", ""))
	}))
	defer server.Close()
	var err error
	if s.reader, err = newScanReader(&rest.Config{Host: server.URL}, flowcontrol.NewFakeAlwaysRateLimiter()); err != nil {
		t.Fatal(err)
	}
	if err := s.listKind(t.Context(), configMaps); err != nil {
		t.Fatal(err)
	}
	s.tell()
	var got []string
	for _, f := range s.loop.station.snapshot().Scan.Findings {
		got = append(got, f.Name)
	}
	if diff := cmp.Diff([]string{"added", "stays"}, got); diff != "" {
		t.Error(diff)
	}
	if s.detailed != 2 || s.revisions[configMaps.resource()] != "7" {
		t.Errorf("%d are kept, at revision %q", s.detailed, s.revisions[configMaps.resource()])
	}
}

func TestScannerTellsNothingBeforeItKnowsAll(t *testing.T) {
	s := scannerOf(t)
	s.completed = time.Time{}
	s.event(scanEvent{kind: configMaps, raw: []byte(`{"metadata":{"name":"a","uid":"a"},"data":{"x":"crosses"}}`)})
	s.tell()
	if scan := s.loop.station.snapshot().Scan; scan != nil {
		t.Errorf("what the status remembers would be forgotten: %+v", scan)
	}
}

func TestScannerStopsReadingByOldRules(t *testing.T) {
	s := scannerOf(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"metadata":{"resourceVersion":"7"},"items":[{"metadata":{"name":"a","uid":"a"},"data":{"x":"crosses"}}]}`)
	}))
	defer server.Close()
	var err error
	if s.reader, err = newScanReader(&rest.Config{Host: server.URL}, flowcontrol.NewFakeAlwaysRateLimiter()); err != nil {
		t.Fatal(err)
	}
	rules := "new"
	s.loop.station.fleet.Scan(func(Cluster) (Scanning, bool) { return Scanning{Rules: rules, Judge: marked}, true })
	s.current.Rules = "old"
	if err := s.list(t.Context(), []ScanKind{configMaps}); !errors.Is(err, errOutdated) || len(s.gaps) > 0 || len(s.kinds[configMaps.resource()].crosses) > 0 {
		t.Fatalf("got %v, gaps %v", err, s.gaps)
	}
	rules, s.looked = "newer", time.Time{}
	if err := s.list(t.Context(), []ScanKind{configMaps}); err != nil || len(s.kinds[configMaps.resource()].crosses) != 1 {
		t.Fatalf("rules that change all the time keep it from reading: %v", err)
	}
}

// connected is a scanner of the API server that a handler plays.
func connected(t *testing.T, api http.HandlerFunc) *scanner {
	t.Helper()
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	s := scannerOf(t)
	link, err := newLink(&rest.Config{Host: server.URL}, true, s.loop.options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(link.close)
	s.loop.link, link.account.ready = link, true
	if s.reader, err = newScanReader(link.account.config, flowcontrol.NewFakeAlwaysRateLimiter()); err != nil {
		t.Fatal(err)
	}
	return s
}

// refused is the answer of an API server that does not let somebody do something.
func refused(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusForbidden)
	fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"no"}`)
}

func TestScannerTellsThatARoundCannotBegin(t *testing.T) {
	var namespaces atomic.Bool
	api := func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/api/v1/namespaces":
			http.Error(w, "starting", http.StatusInternalServerError)
		case !namespaces.Load():
			refused(w)
		default:
			fmt.Fprint(w, `{"metadata":{"resourceVersion":"7"},"items":[]}`)
		}
	}
	gaps := func(s *scanner) []string {
		if scan := s.loop.station.snapshot().Scan; scan != nil {
			return scan.Gaps
		}
		return nil
	}
	s := connected(t, api)
	s.tell()
	if err := s.round(t.Context(), Scanning{}); err == nil || !slices.Equal(gaps(s), []string{"namespaces: forbidden"}) || s.loop.link.account.ready {
		t.Errorf("%v: %q, and the account is left as it is: %t", err, gaps(s), s.loop.link.account.ready)
	}
	namespaces.Store(true)
	if err := s.round(t.Context(), Scanning{}); err == nil || len(gaps(s)) != 1 || !strings.HasPrefix(gaps(s)[0], "discovery: ") {
		t.Errorf("%v: %q", err, gaps(s))
	}
	again, clean := connected(t, api), &status.Scan{Completed: time.Now()}
	again.completed = time.Time{}
	namespaces.Store(false)
	again.loop.station.update(func(c *Cluster) { c.Scan = clean })
	if err := again.round(t.Context(), Scanning{}); err == nil || len(gaps(again)) != 1 || len(clean.Gaps) > 0 {
		t.Errorf("what was found over another connection stands as if it were known still: %v, %q, %q", err, gaps(again), clean.Gaps)
	}
}

// A cluster that was made anew under its old name is none that was scanned, guarded or looked at.
func TestAnotherClusterUnderTheSameName(t *testing.T) {
	s := connected(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/namespaces/kube-system" {
			refused(w)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"kube-system","uid":"new"}}`)
	})
	named := Cluster{ManagementCluster: "mc", Namespace: "shop", Name: "c", Role: RoleWorkload, Endpoint: "c:6443", Labelled: true, HasKubeconfig: true}
	for uid, same := range map[types.UID]bool{"new": true, "old": false} {
		before := named
		before.UID, before.Learned, before.LearnGaps, before.Groups, before.OwnNodes = uid, true, []string{"Pod"}, []string{"apps"}, []string{"shop"}
		before.Guard = status.GuardState{Phase: Enforced, Revision: "1", ProvedRevision: "1"}
		before.Webhook.Phase, before.Namespaces = status.WebhookActs, map[string]string{"shop": "testing"}
		before.Scan, before.Measures, before.Ungoverned = &status.Scan{Completed: time.Now()}, &status.Measures{}, []status.Ungoverned{{Kind: "Mover"}}
		s.loop.uid = ""
		s.loop.station.update(func(c *Cluster) { *c = before })
		if _, err := s.loop.admit(t.Context()); err == nil {
			t.Error("it is not asked what it serves")
		}
		want := before
		if !same {
			want = named
			want.UID, want.Guard.Phase = "new", Unknown
		}
		if diff := cmp.Diff(want, s.loop.station.snapshot()); diff != "" {
			t.Errorf("%s: %s", uid, diff)
		}
	}
}

func TestScannerAsksAgainOnlyWhatDoesNotAnswer(t *testing.T) {
	var asking sync.Mutex
	away, asked := false, map[string]int{}
	of := func(path string) int {
		asking.Lock()
		defer asking.Unlock()
		return asked[path]
	}
	anew := func(gone bool) {
		asking.Lock()
		defer asking.Unlock()
		away, asked = gone, map[string]int{}
	}
	s := connected(t, func(w http.ResponseWriter, r *http.Request) {
		asking.Lock()
		defer asking.Unlock()
		asked[r.URL.Path]++
		if r.URL.Path == "/api/v1/configmaps" || strings.Contains(r.URL.Path, "silent") || away {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprint(w, `{"metadata":{"resourceVersion":"7"},"items":[]}`)
	})
	kinds := []ScanKind{configMaps}
	for _, resource := range []string{"silent-a", "silent-b", "silent-c", "services"} {
		k := ScanKind{Resource: resource, Kind: resource}
		kinds, s.versions[k.resource()] = append(kinds, k), "v1"
	}
	scanning, next := Scanning{Rules: "r", Judge: marked, Kinds: kinds}, time.Now().Add(time.Hour)
	s.current, s.revision, s.nextRound = scanning, "r-", next
	s.relist[configMaps.resource()] = time.Now()
	for _, gone := range []bool{false, true} {
		anew(gone)
		s.relist[configMaps.resource()] = time.Now()
		if err := s.due(t.Context(), scanning); err != nil || !s.nextRound.Equal(next) || of("/api/v1/namespaces") != 1 || of("/api/v1/services") > 0 {
			t.Errorf("everything is read again for one kind: %v", err)
		}
		if at, again := s.relist[configMaps.resource()]; !again || !at.After(time.Now()) || len(s.gaps) == 0 {
			t.Errorf("it is listed again at %v, and %q is told", at, s.gaps)
		}
	}
	if err := s.list(t.Context(), kinds); err == nil {
		t.Error("the cluster is away, and every kind is waited for")
	}
	anew(false)
	if err := s.list(t.Context(), kinds); err != nil || of("/api/v1/services") != 1 || len(s.gaps) != 4 {
		t.Errorf("the cluster answers, and is said not to: %v, %v", err, s.gaps)
	}
}

// What watches wait for is yet to come where a backup was restored, and what was listed is not there any more.
func TestScannerReadsARestoredClusterAnew(t *testing.T) {
	s := connected(t, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "starting", http.StatusInternalServerError)
	})
	s.loop.station.update(func(c *Cluster) { c.UID, c.Guard.Revision, c.Guard.Phase = "u", "1", Enforced })
	scanning := Scanning{Rules: "r", Judge: marked, Kinds: []ScanKind{configMaps}}
	s.loop.station.fleet.Scan(func(Cluster) (Scanning, bool) { return scanning, true })
	s.current, s.revision, s.nextRound = scanning, "r-", time.Now().Add(time.Hour)
	watching := true
	s.watches[configMaps.resource()], s.revisions[configMaps.resource()] = &running{cancel: func() { watching = false }}, "900"
	if err := s.pass(t.Context()); err != nil || !watching {
		t.Fatalf("nothing has happened: %v", err)
	}
	s.loop.past = true
	s.loop.reopen()
	if err := s.pass(t.Context()); err == nil || watching || len(s.watches)+len(s.revisions) > 0 || s.loop.restored.Load() {
		t.Errorf("%v, watching still: %t, %v", err, watching, s.revisions)
	}
}

// What was published before holds every address that there was, and there may be very many clusters.
func TestScannerLetsGoOfWhatWasPublished(t *testing.T) {
	s := connected(t, func(http.ResponseWriter, *http.Request) { t.Error("nothing is to be read") })
	scanning := Scanning{Rules: "r", Addresses: "1", Judge: marked}
	s.loop.station.fleet.Scan(func(Cluster) (Scanning, bool) { return scanning, true })
	s.current, s.addresses, s.revision, s.nextRound = scanning, "1", "r-1", time.Now().Add(time.Hour)
	phase := func(p status.Phase) {
		s.loop.station.update(func(c *Cluster) { c.UID, c.Guard.Revision, c.Guard.Phase = "u", "1", p })
		if err := s.pass(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	scanning.Addresses = "2"
	if phase(Enforced); s.current.Addresses != "2" {
		t.Errorf("it judges by addresses of revision %q still", s.current.Addresses)
	}
	if phase(Unreachable); s.current.Judge != nil {
		t.Error("a cluster that is away holds what was published when it went")
	}
	s.event(scanEvent{kind: configMaps, raw: []byte(`{"metadata":{"name":"a","uid":"a"},"data":{"x":"crosses"}}`)})
	if _, again := s.relist[configMaps.resource()]; !again {
		t.Error("what it told last is forgotten")
	}
	clear(s.relist)
	if phase(Enforced); s.current.Judge == nil {
		t.Error("it is back, and nothing is judged")
	}
}

func TestScannerSaysWhy(t *testing.T) {
	s := scannerOf(t)
	s.gaps = map[string]string{"Pod": gapForbidden, "Alpha": "its API group does not answer"}
	s.refusal = `ClusterRole "skott-scanner" could not be granted`
	s.tell()
	scan := s.loop.station.snapshot().Scan
	if diff := cmp.Diff([]string{"Alpha: its API group does not answer", "Pod: forbidden"}, scan.Gaps); diff != "" || scan.Refusal != s.refusal {
		t.Error(scan.Refusal, diff)
	}
	delete(s.gaps, "Pod")
	s.tell()
	if scan := s.loop.station.snapshot().Scan; len(scan.Gaps) != 1 || scan.Refusal != "" {
		t.Errorf("nothing is forbidden any more: %+v", scan)
	}
}

// Where nothing of Skott's own differs from the backup, the scanner has to notice by itself.
func TestScannerDropsWatchesOfTheFuture(t *testing.T) {
	s := connected(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("watch") {
			fmt.Fprint(w, `{"type":"ADDED","object":{"metadata":{"name":"a","uid":"a","resourceVersion":"8"}}}{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9"}}}`)
			return
		}
		fmt.Fprint(w, `{"metadata":{"resourceVersion":"7"},"items":[]}`)
	})
	var told []string
	if last, _ := s.reader.watchOnce(t.Context(), configMaps, configMaps.resource().WithVersion("v1"), "7", func(e scanEvent) {
		told = append(told, fmt.Sprintf("%s %t", e.revision, e.raw != nil))
		s.watches[configMaps.resource()] = &running{cancel: func() {}}
		s.event(e)
	}); last != "9" || !slices.Equal(told, []string{"8 true", "9 false"}) || s.revisions[configMaps.resource()] != "9" {
		t.Fatalf("a watch has reached %q, and told %q", last, told)
	}
	for reached, drops := range map[string]bool{"9": true, "900": true, "7": false, "6": false, "": false, "x": false} {
		watching := true
		s.watches[configMaps.resource()], s.revisions[configMaps.resource()] = &running{cancel: func() { watching = false }}, reached
		if err := s.listKind(t.Context(), configMaps); err != nil || watching == drops || (s.watches[configMaps.resource()] == nil) != drops || !s.moved {
			t.Errorf("a watch at %q of a cluster that is at 7: %v, and it goes on: %t", reached, err, watching)
		}
	}
}
