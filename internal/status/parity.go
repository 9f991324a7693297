// SPDX-License-Identifier: Apache-2.0

package status

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// Security parity: a staging that lacks what protects production is no test of it. What most
// production clusters of a role have counts as production's; it is missing where a cluster of
// the same role has less of it.

// Kinds of measures that need a word of their own here.
const (
	// KindPodSecurity and KindNetworkPolicy are what a namespace has. They are compared in
	// namespaces of one name.
	KindPodSecurity   = "PodSecurity"
	KindNetworkPolicy = "NetworkPolicy"

	kindGuard   = "Guard"
	kindWebhook = "GuardWebhook"
)

const (
	maxMissing = 64
	maxLacking = 8
)

// Measured is a cluster with what its names are made of.
type Measured struct {
	Cluster
	// Words of its own: its Environment, its datacenter. What is named after them, or after the
	// cluster, is not expected elsewhere.
	Words []string
}

// measureKey is a measure in clusters of a role.
type measureKey struct{ role, kind, name string }

// Parity compares clusters of an Environment with those of production, and says what could
// not be compared. It is nil when nothing of production was read.
func Parity(production, here []Measured) (*skottv1.ParityStatus, []string) {
	want, compared := expected(production)
	if compared == 0 {
		return nil, []string{"no production cluster was read yet"}
	}
	p := &skottv1.ParityStatus{Clusters: new(int32), ProductionClusters: new(int32), Measures: new(int32), MissingCount: new(int32)}
	*p.ProductionClusters, *p.Measures = int32(compared), int32(len(want))
	missing := map[measureKey]*skottv1.MissingMeasure{}
	var gaps []string
	for _, c := range here {
		if c.GuardedAs != "" {
			continue
		}
		if c.Measures == nil {
			gaps = append(gaps, c.shown()+" was not read yet")
			continue
		}
		*p.Clusters++
		for kind, reason := range c.Measures.Gaps {
			gaps = append(gaps, kind+" in "+c.shown()+": "+reason)
		}
		lack(missing, want, c)
	}
	*p.MissingCount = int32(len(missing))
	for _, m := range missing {
		slices.Sort(m.Clusters)
		m.Clusters = m.Clusters[:min(len(m.Clusters), maxLacking)]
		p.Missing = append(p.Missing, *m)
	}
	slices.SortFunc(p.Missing, func(a, b skottv1.MissingMeasure) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Role, b.Role))
	})
	p.Missing = p.Missing[:min(len(p.Missing), maxMissing)]
	return p, gaps
}

// Comparison remembers the last result of Parity: clusters are looked at whenever anything is
// observed anywhere, and their measures seldom change.
type Comparison struct {
	production, here []compared
	status           *skottv1.ParityStatus
	gaps             []string
}

// compared is what a comparison depends on, of one cluster.
type compared struct {
	key, environment, datacenter string
	role                         skottv1.Role
	measures                     *Measures
	guard, webhook, follows      bool
}

func basis(clusters []Measured) []compared {
	out := make([]compared, len(clusters))
	for i, c := range clusters {
		out[i] = compared{
			key: c.Key(), role: c.Role, measures: c.Measures, follows: c.GuardedAs != "", guard: c.guarded(), webhook: c.hooked(),
		}
		if len(c.Words) == 2 {
			out[i].environment, out[i].datacenter = c.Words[0], c.Words[1]
		}
	}
	slices.SortFunc(out, func(a, b compared) int { return strings.Compare(a.key, b.key) })
	return out
}

// Parity is that of the package, unless nothing has changed. The result may be changed.
func (c *Comparison) Parity(production, here []Measured) (*skottv1.ParityStatus, []string) {
	p, h := basis(production), basis(here)
	if c.production == nil || !slices.Equal(c.production, p) || !slices.Equal(c.here, h) {
		c.status, c.gaps = Parity(production, here)
		c.production, c.here = p, h
	}
	return c.status.DeepCopy(), c.gaps
}

// expected are the measures of production, as strong as more than half of the clusters of a
// role that were asked have them, and how many clusters were read.
func expected(production []Measured) (map[measureKey]Measure, int) {
	strengths, asked, compared := map[measureKey][]Measure{}, map[[2]string]int{}, 0
	kinds := map[string]bool{kindGuard: true, kindWebhook: true}
	for _, c := range production {
		if c.GuardedAs == "" && c.Measures != nil {
			for _, m := range c.Measures.All {
				kinds[m.Kind] = true
			}
		}
	}
	for _, c := range production {
		if c.GuardedAs != "" || c.Measures == nil {
			continue
		}
		compared++
		for kind := range kinds {
			if c.Measures.Gaps[kind] == "" {
				asked[[2]string{string(c.Role), kind}]++
			}
		}
		for _, m := range c.measures() {
			if !c.own(m) {
				key := measureKey{string(c.Role), m.Kind, m.Name}
				strengths[key] = append(strengths[key], m)
			}
		}
	}
	want := map[measureKey]Measure{}
	for key, all := range strengths {
		total := asked[[2]string{key.role, key.kind}]
		if namespaced(key.kind) {
			total = sharing(production, key)
		}
		slices.SortFunc(all, func(a, b Measure) int { return b.Strength - a.Strength })
		if most := total/2 + 1; len(all) >= most {
			want[key] = all[most-1]
		}
	}
	return want, compared
}

func namespaced(kind string) bool { return kind == KindPodSecurity || kind == KindNetworkPolicy }

// sharing counts the clusters of a role that have the namespace of a measure.
func sharing(production []Measured, key measureKey) int {
	n := 0
	for _, c := range production {
		if c.GuardedAs == "" && c.Measures != nil && string(c.Role) == key.role && c.Measures.Namespaces[key.name] && c.Measures.Gaps[key.kind] == "" {
			n++
		}
	}
	return n
}

// lack adds what a cluster has less of than is wanted.
func lack(missing map[measureKey]*skottv1.MissingMeasure, want map[measureKey]Measure, c Measured) {
	has := map[measureKey]int{}
	for _, m := range c.measures() {
		has[measureKey{string(c.Role), m.Kind, m.Name}] = m.Strength
	}
	for key, m := range want {
		switch {
		case key.role != string(c.Role), has[key] >= m.Strength, c.Measures.Gaps[key.kind] != "":
			continue
		case namespaced(key.kind) && !c.Measures.Namespaces[key.name]:
			continue
		}
		there := missing[key]
		if there == nil {
			weaker := true
			there = &skottv1.MissingMeasure{Kind: key.kind, Name: key.name, Role: key.role, Production: m.Says, Weaker: &weaker}
			missing[key] = there
		}
		*there.Weaker = *there.Weaker && has[key] > 0
		there.ClusterCount++
		there.Clusters = append(there.Clusters, c.shown())
	}
}

// measures of a cluster, with those that Skott itself is. A proof that is late is no lack.
func (c Measured) measures() []Measure {
	out := slices.Clone(c.Measures.All)
	if c.guarded() {
		out = append(out, Measure{Kind: kindGuard, Name: "skott", Strength: 1})
	}
	if c.hooked() {
		out = append(out, Measure{Kind: kindWebhook, Name: "skott-guard", Strength: 1})
	}
	return out
}

func (c Measured) guarded() bool { return c.Guard.ProvedRevision != "" }

func (c Measured) hooked() bool {
	return c.Webhook.Phase == WebhookActs || c.Webhook.Phase == WebhookAway
}

// shown is how a message names the cluster.
func (c Measured) shown() string {
	if c.Name == "" {
		return c.ManagementCluster
	}
	return c.Namespace + "/" + c.Name
}

// common words say nothing of a cluster that happens to be called so.
var common = []string{"default", "system", "kube-system", "management", "workload", "cluster", "platform"}

// own says that a measure is named after its cluster, its customer, its Environment or its
// datacenter: another one is not expected to have it under that name.
func (c Measured) own(m Measure) bool {
	return slices.ContainsFunc(append([]string{c.ManagementCluster, c.Namespace, c.Name}, c.Words...), func(word string) bool {
		return len(word) >= 3 && !slices.Contains(common, word) && holds(m.Name, word)
	})
}

// holds reports whether a word stands in a name, between what is no letter and no digit.
func holds(name, word string) bool {
	for from := 0; ; {
		i := strings.Index(name[from:], word)
		if i < 0 {
			return false
		}
		start, end := from+i, from+i+len(word)
		if (start == 0 || !alphanumeric(name[start-1])) && (end == len(name) || !alphanumeric(name[end])) {
			return true
		}
		from = start + 1
	}
}

func alphanumeric(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9'
}

// parity writes condition SecurityParity and what it rests on.
func parity(e *skottv1.Environment, view EnvironmentView) {
	if e.Spec.Stage == skottv1.StageProduction {
		e.Status.Parity = nil
		conditions := slices.Clone(e.Status.Conditions)
		meta.RemoveStatusCondition(&conditions, skottv1.ConditionSecurityParity)
		e.Status.Conditions = conditions
		return
	}
	var production, here []Measured
	for _, m := range view.Members {
		if m.Duplicate != "" {
			continue
		}
		environment := view.Places[m.Name]
		for _, c := range append([]Cluster{m.Self}, m.Clusters...) {
			one := Measured{Cluster: c, Words: []string{environment, view.Datacenters[m.Name]}}
			switch {
			case environment == e.Name:
				here = append(here, one)
			case view.Stages[environment] == skottv1.StageProduction:
				production = append(production, one)
			}
		}
	}
	var gaps []string
	compare := view.Comparison
	if compare == nil {
		compare = &Comparison{}
	}
	e.Status.Parity, gaps = compare.Parity(production, here)
	set(e, skottv1.ConditionSecurityParity, parityVerdict(e.Status.Parity, gaps))
}

// describeMissing is a measure that is missing, in words.
func describeMissing(m *skottv1.MissingMeasure) string {
	text := m.Kind + " " + m.Name
	if m.Production != "" {
		text += " (" + m.Production + ")"
	}
	text += " in " + strings.Join(m.Clusters, " and ")
	if more := int(m.ClusterCount) - len(m.Clusters); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func parityVerdict(p *skottv1.ParityStatus, gaps []string) verdict {
	if p != nil && *p.MissingCount > 0 {
		var words []string
		for i := range p.Missing {
			words = append(words, describeMissing(&p.Missing[i]))
		}
		message := fmt.Sprintf("%d of %d security measures of production are missing or weaker: %s", *p.MissingCount, *p.Measures, Names(words))
		if len(gaps) > 0 {
			message += "; not compared: " + Names(gaps)
		}
		return no(skottv1.ReasonMeasuresMissing, message)
	}
	if len(gaps) > 0 || *p.Clusters == 0 {
		return unclear(skottv1.ReasonNotCompared, cmp.Or(Names(gaps), "the Environment has no cluster"))
	}
	return yes(skottv1.ReasonParity, fmt.Sprintf("%d clusters have all %d security measures of production", *p.Clusters, *p.Measures))
}
