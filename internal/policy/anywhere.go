// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strconv"
	"strings"
	"sync"

	"github.com/skott-dev/skott/internal/address"
	"github.com/skott-dev/skott/internal/flow"
)

// Anywhere: whatever no row of the table reads is searched for addresses that are
// distinctive in themselves, as it was sent: every field, key, label and annotation of every
// kind, through its encodings. Such a mention moves nothing by itself; it counts where it
// may be read, as in a ConfigMap.

// finder is built when it is first needed: only who has the bytes of an object needs it.
type finder struct {
	once sync.Once
	*address.Finder
}

func (e *Evaluator) find() *address.Finder {
	e.finder.once.Do(func() { e.finder.Finder = address.NewFinder(e.book, e.spec.Cluster.Datacenter) })
	return e.finder.Finder
}

// Prepare builds what the first request would have to wait for.
func (e *Evaluator) Prepare() { e.find() }

// unsearched are the kinds that hold addresses in order to say what is not to be reached,
// reports, which repeat the addresses that they are about, and Skott's own, by group and
// resource.
var unsearched = map[[2]string]bool{
	{"networking.k8s.io", "networkpolicies"}: true, {"policy.networking.k8s.io", "adminnetworkpolicies"}: true,
	{"policy.networking.k8s.io", "baselineadminnetworkpolicies"}: true, {"policy.networking.k8s.io", "clusternetworkpolicies"}: true,
	{"cilium.io", "ciliumnetworkpolicies"}: true, {"cilium.io", "ciliumclusterwidenetworkpolicies"}: true,
	{"crd.projectcalico.org", "networkpolicies"}: true, {"crd.projectcalico.org", "globalnetworkpolicies"}: true,
	{"projectcalico.org", "networkpolicies"}: true, {"projectcalico.org", "globalnetworkpolicies"}: true,
	{"openreports.io", "reports"}: true, {"openreports.io", "clusterreports"}: true,
	{"wgpolicyk8s.io", "policyreports"}: true, {"wgpolicyk8s.io", "clusterpolicyreports"}: true,
	{"", "events"}: true, {"events.k8s.io", "events"}: true, {"coordination.k8s.io", "leases"}: true,
}

func (e *Evaluator) searches(r *Request) bool {
	return len(r.Raw) > 0 && r.Operation != "DELETE" && r.Group != "skott.dev" && !unsearched[[2]string{r.Group, r.Resource}] && !e.policies
}

// Clean reports that a request is allowed, from its bytes alone: nothing in them is an
// address of the book, and nothing else of its kind is judged. When it says no, Evaluate
// has to decide. It costs much less than decoding.
func (e *Evaluator) Clean(r *Request) bool {
	if !e.searches(r) || r.User == CanaryUser {
		return false
	}
	if k := e.table.Lookup(r.Group, r.Resource); k != nil {
		for i := range k.Fields {
			if f := k.Fields[i].Form; f != flow.Text && f != flow.Encoded {
				return false
			}
		}
	}
	if isNamespace(nil, r) || isCluster(nil, r) || r.Group == "apiextensions.k8s.io" {
		return false
	}
	clean := true
	e.find().FindDeep(r.Raw, address.JSON, func(address.Hit) bool {
		clean = false
		return false
	})
	return clean
}

// maxHits is how many addresses of one object are judged before it is refused for the first
// of them that crosses.
const maxHits = 1000

// anywhere judges what stands in the bytes of the object beside the fields of the table.
func (e *Evaluator) anywhere(r *Request, here place, there string) []Violation {
	if !e.searches(r) {
		return nil
	}
	var out []Violation
	var judged map[string]bool
	hits := 0
	e.find().FindDeep(r.Raw, address.JSON, func(h address.Hit) bool {
		hits++
		m := mention{typ: address.Host, direction: flow.Names, passive: true}
		v, crosses := e.judged(m, h.Match, here.environment, there)
		if !crosses || isNetwork(h.Address) {
			return hits < maxHits
		}
		path := pathAt(r.Raw, h.Offset)
		if judged == nil {
			judged = e.known(r)
		}
		if !speaks(path) || judged[h.Address] {
			return hits < maxHits
		}
		v.Path, v.phrase = path, verbs[flow.Names]+" "+nouns[address.Host]
		if layers := address.LayersText(h.Layers); layers != "" {
			v.Path += " (" + layers + ")"
		}
		out = append(out, v)
		return len(out) <= maxListed && hits < maxHits
	})
	return out
}

// known are the addresses of the book that fields of the table name: what they say of them
// was judged, such as that a gateway sends people on to a host.
func (e *Evaluator) known(r *Request) map[string]bool {
	out := map[string]bool{}
	for _, ref := range e.References(r) {
		out[ref.Match] = true
	}
	return out
}

// isNetwork reports whether an address of the book is a network, behind its datacenter or
// not. An IP that stands anywhere says too little: only fields that hold one count.
func isNetwork(text string) bool {
	if strings.Count(text, "/") == 2 {
		text = text[strings.IndexByte(text, '/')+1:]
	}
	_, err := netip.ParsePrefix(text)
	return err == nil
}

// speaks reports whether what stands at a path is something that the object says: not what
// was observed of it, who wrote it, or how it was written before.
func speaks(path string) bool {
	for _, silent := range []string{"status", "metadata.managedFields", `metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]`} {
		if rest, ok := strings.CutPrefix(path, silent); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return false
		}
	}
	return true
}

// level is an object or a list around a place in JSON.
type level struct {
	name  string // of the field, or ""
	index int    // of the element; -1 in an object
	key   bool   // the next token of the object is a key
}

// pathAt is the path of what stands at an offset of JSON; of a key, that of its value.
func pathAt(raw []byte, offset int) string {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var levels []level
	for {
		token, err := decoder.Token()
		if err != nil {
			return shownPath(levels)
		}
		last := len(levels) - 1
		delim, isDelim := token.(json.Delim)
		closes := isDelim && (delim == '}' || delim == ']')
		if closes {
			levels = levels[:last]
			last--
		} else if last >= 0 {
			if l := &levels[last]; l.index >= 0 {
				l.index++
			} else if l.key {
				l.name, _ = token.(string)
				l.key = false
				if decoder.InputOffset() > int64(offset) {
					return shownPath(levels)
				}
				continue
			}
		}
		if isDelim && !closes {
			levels = append(levels, level{index: map[json.Delim]int{'{': -1, '[': 0}[delim], key: delim == '{'})
			continue
		}
		if decoder.InputOffset() > int64(offset) {
			return shownPath(levels)
		}
		if last >= 0 && levels[last].index < 0 {
			levels[last].key = true
		}
	}
}

// shownPath writes a path as other messages do; elements of lists by their number, from 0.
func shownPath(levels []level) string {
	var b strings.Builder
	for _, l := range levels {
		switch {
		case l.index > 0:
			b.WriteString("[" + strconv.Itoa(l.index-1) + "]")
		case l.index == 0 || l.name == "":
		case strings.Trim(l.name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "":
			b.WriteString(`["` + flow.Shown(l.name) + `"]`)
		default:
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(l.name)
		}
	}
	return b.String()
}
