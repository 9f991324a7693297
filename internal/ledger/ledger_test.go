// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/address"
)

const retention = 180 * 24 * time.Hour

var start = time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)

// book is a ledger as it lies in an API server, and a fleet that can be looked at.
type book struct {
	t         testing.TB
	now       time.Time
	locations map[string]skottv1.DataLocation
	sightings []Sighting
	absence   Absence
	next      time.Time
}

func newBook(t testing.TB) *book {
	return &book{t: t, now: start, locations: map[string]skottv1.DataLocation{}, absence: Gone}
}

func (b *book) input() Input {
	in := Input{
		Now: b.now, Retention: retention, Sightings: b.sightings,
		Production: func(e string) bool { return e == "production" || e == "missing" },
		Absent:     func(skottv1.Origin) Absence { return b.absence },
	}
	for _, d := range b.locations {
		in.Existing = append(in.Existing, d)
	}
	return in
}

// plan writes what is planned until nothing is, which takes one round, and returns how many
// writes that were.
func (b *book) plan() int {
	b.t.Helper()
	c := Plan(b.input())
	for _, d := range c.Create {
		if _, ok := b.locations[d.Name]; ok {
			b.t.Fatalf("creates %q, which is there", d.Name)
		}
		d.CreationTimestamp = metav1.NewTime(b.now)
		b.locations[d.Name] = *d
	}
	for _, u := range c.Update {
		b.locations[u.After.Name] = *u.After
	}
	for _, d := range c.Delete {
		delete(b.locations, d.Name)
	}
	again := Plan(b.input())
	if n := len(again.Create) + len(again.Update) + len(again.Delete); n > 0 {
		b.t.Fatalf("%d more writes after everything was written: %+v", n, again)
	}
	b.next = again.Next
	return len(c.Create) + len(c.Update) + len(c.Delete)
}

func (b *book) only() skottv1.DataLocation {
	b.t.Helper()
	if len(b.locations) != 1 {
		b.t.Fatalf("%d locations, want one: %v", len(b.locations), b.names())
	}
	for _, d := range b.locations {
		return d
	}
	panic("unreachable")
}

func (b *book) names() []string {
	var out []string
	for name := range b.locations {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func sighting(environment string, t address.Type, text, object string) Sighting {
	a, err := address.Parse(t, text)
	if err != nil {
		panic(err)
	}
	namespace, name, _ := strings.Cut(object, "/")
	return Sighting{Environment: environment, Type: a.Type(), Text: a.String(), Origin: skottv1.Origin{
		ManagementCluster: "mc", Cluster: "platform/shop", Kind: "BackupStorageLocation.velero.io", Namespace: namespace, Name: name, Path: "spec.objectStorage.bucket"}}
}

var bucket = sighting("production", address.Bucket, "s3.sto2.example/velero-prod", "velero/default")

func TestLearns(t *testing.T) {
	b := newBook(t)
	b.sightings = []Sighting{bucket, bucket}
	if n := b.plan(); n != 1 {
		t.Errorf("%d writes, want 1", n)
	}
	d := b.only()
	seen := metav1.NewTime(start)
	origin := bucket.Origin
	origin.FirstSeen, origin.LastSeen = &seen, &seen
	want := skottv1.DataLocation{
		ObjectMeta: metav1.ObjectMeta{Name: d.Name, CreationTimestamp: seen,
			Labels: map[string]string{skottv1.LabelOrigin: "learned", skottv1.LabelEnvironment: "production"}},
		Spec: skottv1.DataLocationSpec{EnvironmentRef: skottv1.EnvironmentReference{Name: "production"},
			Addresses: []skottv1.Address{{Type: "Bucket", Value: "s3.sto2.example/velero-prod"}}},
		Status: skottv1.DataLocationStatus{Origins: []skottv1.Origin{origin}, OriginCount: 1,
			Seen: "BackupStorageLocation velero/default in mc/platform/shop", FirstSeen: &seen, LastSeen: &seen},
	}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Error(diff)
	}
	if !strings.HasPrefix(d.Name, "learned.production.bucket.") || len(d.Name) != len("learned.production.bucket.")+20 {
		t.Errorf("name %q", d.Name)
	}
}

func TestMergesOrigins(t *testing.T) {
	b := newBook(t)
	b.sightings = []Sighting{bucket}
	b.plan()
	b.now = start.Add(time.Hour)
	other := bucket
	other.Origin.Cluster, other.Origin.ManagementCluster = "platform/bank", "another"
	b.sightings = append(b.sightings, other)
	if n := b.plan(); n != 1 {
		t.Errorf("%d writes for a second origin, want 1", n)
	}
	d := b.only()
	if d.Status.OriginCount != 2 || len(d.Status.Origins) != 2 || !d.Status.FirstSeen.Time.Equal(start) || !d.Status.LastSeen.Time.Equal(b.now) {
		t.Errorf("status %+v, want two origins, first and last an hour apart", d.Status)
	}
	if want := "BackupStorageLocation velero/default in mc/platform/shop, 1 more"; d.Status.Seen != want {
		t.Errorf("seen %q, want %q", d.Status.Seen, want)
	}
}

func TestRestWritesNothing(t *testing.T) {
	b := newBook(t)
	b.sightings = []Sighting{bucket}
	b.plan()
	writes := 0
	for range 30 * 24 {
		b.now = b.now.Add(time.Hour)
		writes += b.plan()
	}
	if writes < 30 || writes > 60 {
		t.Errorf("%d writes in 30 days in which nothing happened, want one to two a day", writes)
	}
	if age := b.now.Sub(b.only().Status.LastSeen.Time); age > 24*time.Hour {
		t.Errorf("last seen %s ago, want a day at most", age)
	}
}

func TestTombstone(t *testing.T) {
	b := newBook(t)
	b.sightings = []Sighting{bucket}
	b.plan()
	b.sightings = nil
	b.now = start.Add(retention - time.Second)
	if n := b.plan(); n != 0 {
		t.Errorf("%d writes before the retention has passed, want none", n)
	}
	if want := start.Add(retention); !b.next.Equal(want) {
		t.Errorf("next at %s, want the end of the retention, %s", b.next, want)
	}
	b.now = start.Add(retention)
	b.plan()
	if len(b.locations) != 0 {
		t.Errorf("%v are left after the retention", b.names())
	}
}

func TestOwnRetention(t *testing.T) {
	b := newBook(t)
	b.sightings = []Sighting{bucket}
	b.plan()
	d := b.only()
	d.Spec.Retention = &metav1.Duration{Duration: time.Hour}
	b.locations[d.Name] = d
	b.sightings, b.now = nil, start.Add(time.Hour)
	b.plan()
	if len(b.locations) != 0 {
		t.Errorf("%v are left after the retention of their own", b.names())
	}
}

func TestReturnKeepsFirstSeen(t *testing.T) {
	b := newBook(t)
	b.sightings = []Sighting{bucket}
	b.plan()
	b.sightings, b.now = nil, start.Add(100*24*time.Hour)
	b.plan()
	b.sightings, b.now = []Sighting{bucket}, start.Add(101*24*time.Hour)
	b.plan()
	if s := b.only().Status; !s.FirstSeen.Time.Equal(start) || !s.LastSeen.Time.Equal(b.now) || s.OriginCount != 1 {
		t.Errorf("status %+v, want the first time kept and the last one now", s)
	}
}

func TestUnknownClusterDoesNotAge(t *testing.T) {
	b := newBook(t)
	b.sightings = []Sighting{bucket}
	b.plan()
	b.sightings, b.absence = nil, Unknown
	for range 400 {
		b.now = b.now.Add(24 * time.Hour)
		b.plan()
	}
	b.only()
	b.absence = Gone // it answers again after more than a year, and the object is gone
	b.now = b.now.Add(retention / 2)
	b.plan()
	b.only()
	b.now = b.now.Add(retention)
	b.plan()
	if len(b.locations) != 0 {
		t.Errorf("%v are left", b.names())
	}
}

// What is named stays, and what is not is forgotten earlier or later by as much as the clock was wrong, however it jumps.
func TestClockJumps(t *testing.T) {
	for name, jump := range map[string]time.Duration{"ahead": time.Hour, "back": -time.Hour, "a year ahead": 365 * 24 * time.Hour, "a year back": -365 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			b := newBook(t)
			b.sightings = []Sighting{bucket}
			for _, now := range []time.Time{start, start.Add(jump), start.Add(time.Minute)} {
				b.now = now
				b.plan()
				if last := b.only().Status.LastSeen; last.After(now) {
					t.Errorf("last seen %s, it is %s", last, now)
				}
			}
			b.sightings, b.now = nil, start.Add(retention-2*time.Hour)
			b.plan()
			b.only()
			b.now = start.Add(retention + 2*time.Hour)
			b.plan()
			if len(b.locations) != 0 {
				t.Errorf("%v are left", b.names())
			}
		})
	}
}

func TestForeignIsLeftAlone(t *testing.T) {
	b := newBook(t)
	b.sightings = []Sighting{bucket}
	b.plan()
	b.sightings, b.absence, b.now = nil, Foreign, start.Add(10*retention)
	if n := b.plan(); n != 0 {
		t.Errorf("%d writes to what another instance looks after", n)
	}
	b.only()
}

func TestOriginsAreBounded(t *testing.T) {
	b := newBook(t)
	for i := range 200 {
		b.sightings = append(b.sightings, sighting("production", address.Host, "shop.example", fmt.Sprintf("ns/web-%03d", i)))
	}
	b.plan()
	if s := b.only().Status; len(s.Origins) != 64 || s.OriginCount != 200 || s.Seen != "BackupStorageLocation ns/web-000 in mc/platform/shop, 199 more" {
		t.Errorf("%d origins of %d, %q", len(s.Origins), s.OriginCount, s.Seen)
	}
	before := b.only().Status.Origins
	b.now = b.now.Add(time.Minute)
	b.plan()
	if diff := cmp.Diff(before, b.only().Status.Origins); diff != "" {
		t.Errorf("origins change when nothing did:\n%s", diff)
	}
	// What is left of them must keep the address, though it was not among the first.
	b.sightings = b.sightings[150:]
	b.plan()
	b.now = b.now.Add(retention)
	b.plan()
	if s := b.only().Status; s.OriginCount != 50 || s.Origins[0].Name != "web-150" {
		t.Errorf("%d origins after the first were gone, first %q, want 50 from web-150", s.OriginCount, s.Origins[0].Name)
	}
}

func TestCrashBetweenTheWrites(t *testing.T) {
	b := newBook(t)
	b.sightings = []Sighting{bucket}
	b.plan()
	d := b.only()
	d.Status = skottv1.DataLocationStatus{}
	b.locations[d.Name] = d
	b.sightings = nil
	b.now = start.Add(retention / 2)
	if n := b.plan(); n != 0 {
		t.Errorf("%d writes, want the location left as it is", n)
	}
	b.now = start.Add(retention)
	b.plan()
	if len(b.locations) != 0 {
		t.Errorf("%v are left", b.names())
	}
}

func declared(name, environment string, t address.Type, text string) skottv1.DataLocation {
	return skottv1.DataLocation{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: skottv1.DataLocationSpec{
		EnvironmentRef: skottv1.EnvironmentReference{Name: environment}, Addresses: []skottv1.Address{{Type: skottv1.AddressType(t), Value: text}}}}
}

func TestDeclaredIsNeverTouched(t *testing.T) {
	b := newBook(t)
	d := declared("backups", "production", address.Bucket, "https://s3.sto2.example/velero-prod")
	clusters := declared("clusters.mc.production.0", "production", address.ClusterEndpoint, "10.0.0.1:6443")
	clusters.Labels = map[string]string{skottv1.LabelOrigin: "learned"}
	b.locations[d.Name], b.locations[clusters.Name] = d, clusters
	b.sightings = []Sighting{bucket}
	b.plan()
	if len(b.locations) != 3 {
		t.Errorf("%v, want a learned copy beside the declared one: it outlives it", b.names())
	}
	b.sightings, b.now = nil, start.Add(2*retention)
	b.plan()
	if diff := cmp.Diff([]string{"backups", "clusters.mc.production.0"}, b.names()); diff != "" {
		t.Error(diff)
	}
}

func TestForeignLocationOfThatName(t *testing.T) {
	b := newBook(t)
	name := Name("production", bucket.Type, bucket.Text)
	b.locations[name] = declared(name, "staging", address.Host, "a.example")
	b.sightings = []Sighting{bucket}
	b.plan()
	if got := Plan(b.input()).Blocked; !slices.Equal(got, []string{name}) {
		t.Errorf("blocked %q, want %q", got, name)
	}
}

func TestContestedBelongsToBoth(t *testing.T) {
	b := newBook(t)
	b.sightings = []Sighting{bucket, sighting("staging", address.Bucket, "s3.sto2.example/velero-prod", "velero/default")}
	b.plan()
	if len(b.locations) != 2 {
		t.Errorf("%v, want one of each Environment", b.names())
	}
}

func TestHostsOfStaging(t *testing.T) {
	ours := sighting("production", address.Host, "shop.example", "shop/web")
	theirs := sighting("staging", address.Host, "shop.example", "shop/web")
	for name, c := range map[string]struct {
		existing  []skottv1.DataLocation
		sightings []Sighting
		want      int
	}{
		"Alone":              {nil, []Sighting{theirs}, 0},
		"SeenInProduction":   {nil, []Sighting{theirs, ours}, 2},
		"DeclaredProduction": {[]skottv1.DataLocation{declared("shop", "production", address.Host, "Shop.example.")}, []Sighting{theirs}, 2},
		"DeclaredStaging":    {[]skottv1.DataLocation{declared("shop", "staging", address.Host, "shop.example")}, []Sighting{theirs}, 1},
		"Credential":         {nil, []Sighting{sighting("staging", address.Credential, "hmac-sha256:"+strings.Repeat("0a", 32), "shop/db")}, 0},
		"MissingEnvironment": {nil, []Sighting{sighting("missing", address.Host, "shop.example", "shop/web")}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBook(t)
			for _, d := range c.existing {
				b.locations[d.Name] = d
			}
			b.sightings = c.sightings
			b.plan()
			if len(b.locations) != c.want {
				t.Errorf("%v, want %d", b.names(), c.want)
			}
		})
	}
	b := newBook(t)
	b.sightings = []Sighting{ours, theirs}
	b.plan()
	b.sightings, b.now = []Sighting{theirs}, start.Add(retention)
	b.plan() // production's expires
	b.plan() // and with it the reason to know of staging's
	if len(b.locations) != 0 {
		t.Errorf("%v are left when production answers on it no more", b.names())
	}
}

// Whatever happens, the plan settles in one round and never takes away what may be there.
func FuzzPlan(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 250, 7, 8, 9})
	f.Add([]byte{0x11, 0x42, 0x93, 0xe4, 0x05, 0x16, 0xff, 0xfe})
	texts := []string{"s3.sto2.example/a", "s3.sto2.example/b", "aws/c"}
	f.Fuzz(func(t *testing.T, steps []byte) {
		if len(steps) > 100 {
			return
		}
		b := newBook(t)
		last := map[string]time.Time{} // when each could be there
		for _, step := range steps {
			b.now = b.now.Add(time.Duration(step) * 24 * time.Hour / 4)
			b.absence = Absence(step % 3)
			b.sightings = nil
			for i, text := range texts {
				environment := []string{"production", "staging"}[step>>6&1]
				if step>>(2+i)&1 == 1 {
					b.sightings = append(b.sightings, sighting(environment, address.Bucket, text, fmt.Sprintf("ns/%d", step>>5)))
					last[environment+text] = b.now
				}
			}
			c := Plan(b.input())
			for _, d := range c.Delete {
				seen := last[d.Spec.EnvironmentRef.Name+d.Spec.Addresses[0].Value]
				if b.absence != Gone || b.now.Sub(seen) < retention-24*time.Hour {
					t.Fatalf("deletes %s of %s, seen at %s, at %s, absence %d", d.Spec.Addresses[0].Value, d.Spec.EnvironmentRef.Name, seen, b.now, b.absence)
				}
			}
			if !c.Next.IsZero() && !c.Next.After(b.now) {
				t.Fatalf("next at %s is not after %s", c.Next, b.now)
			}
			for name, d := range b.locations {
				_ = name
				if d.Status.FirstSeen.After(d.Status.LastSeen.Time) {
					t.Fatalf("first %s after last %s", d.Status.FirstSeen, d.Status.LastSeen)
				}
			}
			b.plan()
		}
	})
}

func BenchmarkPlan(b *testing.B) {
	const addresses = 10_000
	bk := newBook(b)
	for i := range addresses {
		bk.sightings = append(bk.sightings, sighting("production", address.Volume, fmt.Sprintf("csi.example/%d-0123456789abcdef", i), fmt.Sprintf("/pv-%d", i)))
	}
	bk.plan()
	in := bk.input()
	b.ReportAllocs()
	for b.Loop() {
		if c := Plan(in); len(c.Create)+len(c.Update) > 0 {
			b.Fatal("it writes")
		}
	}
}
