// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/skott-dev/skott/internal/address"
	"github.com/skott-dev/skott/internal/flow"
)

// A gate is a match condition that is false for objects of a kind that cross nothing, which
// are nearly all. The API server evaluates it once; what stands in validations and variables
// it evaluates twice, for their messages, and with an object of its own for every variable.
// A gate may be true without cause, never false: it knows neither the namespace of the
// object, nor where the object delivers to, nor which of several addresses is the most specific.

const (
	// maxGates is how many match conditions a policy has; the API server takes 64.
	maxGates = 60
	// sharedGate is the length of a condition that several kinds share, since each condition
	// costs a little; a kind that needs more than maxGate has none. The type checker's work grows
	// faster than the length, and an API server that starts does it for every policy.
	sharedGate = 4000
	maxGate    = 16100
	// Beyond these a gate does not look, and leaves the object to the policy. They keep it
	// within what the API server grants to the match conditions of a policy, a quarter of
	// what it grants to the rest.
	maxGateItems   = 250
	maxGateLookups = 4000
	maxGateText    = maxText
	maxGateHeads   = maxHeads / 4
)

// gates are the match conditions of a family.
func (c *compiler) gates() []admissionv1.MatchCondition {
	var groups [][]*flow.Kind // that share their rows
	for _, k := range c.kinds {
		i := slices.IndexFunc(groups, func(g []*flow.Kind) bool { return g[0].Rows == k.Rows && g[0].Channel == k.Channel })
		if i < 0 {
			groups = append(groups, []*flow.Kind{k})
			continue
		}
		groups[i] = append(groups[i], k)
	}
	var conditions []string
	for _, g := range groups {
		if g[0].Channel != "" {
			continue // it is let through as a subresource
		}
		gate := when(g...) + " ? " + gateOf(g) + " : true"
		if len(gate) > maxGate {
			continue
		}
		if last := len(conditions) - 1; last >= 0 && len(conditions[last])+len(gate) < sharedGate {
			conditions[last] += " && (" + gate + ")"
			continue
		}
		conditions = append(conditions, "("+gate+")")
	}
	var out []admissionv1.MatchCondition
	for i, condition := range conditions[:min(len(conditions), maxGates)] {
		out = append(out, admissionv1.MatchCondition{Name: fmt.Sprintf("may-cross-%d", i), Expression: celRuled + " || " + condition})
	}
	return out
}

// celRuled is true for requests that a rule refuses whatever the object says, and for those
// that go through a subresource.
var celRuled = canaryRules[0].when + " && (" + canaryRules[0].cond + ") || has(request.subResource) && request.subResource != ''"

// gateOf is false for an object of kinds that share their rows, if it names nothing that could cross.
func gateOf(kinds []*flow.Kind) string {
	k := kinds[0]
	var gate, keys, texts []string
	lists := false
	for i := range k.Fields {
		f := &k.Fields[i]
		if isText(f) {
			texts = append(texts, textOf(k, f))
			continue
		}
		keys, lists = append(keys, gateKeys(k, f)...), lists || walks(f.Steps()) >= 0 || f.Form == flow.Text
	}
	if n := counts(k); len(n) > 0 {
		gate = append(gate, bind("n", strings.Join(n, " + "), fmt.Sprintf("n > %d || n * %s > %d", maxGateItems, celWidth, maxGateLookups)))
	}
	if len(keys) > 0 {
		list := "[" + strings.Join(keys, ", ") + "]"
		if lists {
			list += ".join('\\n').split('\\n')"
		}
		gate = append(gate, list+".exists(k, k != '' && "+celHit+")")
	}
	if len(texts) > 0 {
		gate = append(gate, textGate(texts))
	}
	root := "dyn(object)"
	for _, k := range slices.Backward(kinds) {
		if k.Root != "" {
			root = when(k) + " ? " + celMap("object", k.Steps()) + " : " + root
		}
	}
	if len(gate) == 0 {
		return "false"
	}
	return strings.ReplaceAll(bind("root", root, strings.Join(gate, " || ")), celRoot, "root")
}

// textGate is true when free text has a token that could cross.
func textGate(texts []string) string {
	text := texts[0]
	if len(texts) > 1 {
		text = "[" + strings.Join(texts, ", ") + "].join('\\n')"
	}
	tokens := bind("s", "t.findAll("+quote(address.TokenPattern)+")", fmt.Sprintf("size(s) * %s > %d || s.exists(t, %s)", celWidth, maxGateLookups, bind("k", celTokenKey(), "k != '' && "+celHit)))
	tails := bind("s", "t.findAll("+quote(address.TailPattern)+")",
		fmt.Sprintf("size(s) > %d || s.exists(h, h in params.spec.hosts || h.substring(1) in params.spec.hosts || h.startsWith('..')) || %s", maxGateHeads, celMayBeBelow))
	return bind("t", text+".lowerAscii()", fmt.Sprintf("size(t) > %d || (!('.' in params.spec.hosts) || %s || %s) && (%s)", maxGateText, celMayBeElse, tails, tokens))
}

// celMayBeElse is true for a text t that may name what has no host in the Guard. A text may
// also have a host behind a dot that belongs to nothing, which is why both are looked up.
const celMayBeElse = `t.contains('s3://') || t.contains('gs://') || 'aws' in params.spec.hosts && t.contains('.amazonaws.com') || ` +
	`'gcs' in params.spec.hosts && t.contains('googleapis.com') || size(params.spec.prefixLengths) > 0 && t.find('[.][0-9]+[.][0-9]+[.][0-9]') != ''`

// celMayBeBelow is true when one of the tails s may be below a wildcard: its last two labels
// are those of one.
const celMayBeBelow = `size(params.spec.suffixLabels) > 0 && ('*.' in params.spec.hosts || s.exists(h, '*' + h.find('[.][^.]*[.][^.]*$') in params.spec.hosts))`

// gateKeys are the keys of a field that is not free text, line by line, or nothing.
func gateKeys(k *flow.Kind, f *flow.Field) []string {
	var out []string
	for i := range parts(f, func(int) string { return "" }) {
		w := each{join: `.join('\n')`, leaf: func(value, _, element string) string {
			p := parts(f, companionsOf(f, element))[i]
			key := celPath(p.key())
			if p.when != "" {
				key = "(" + p.when + " ? " + key + " : '')"
			}
			switch f.Form {
			case flow.Text: // every token of a destination
				return bind("a", "dyn("+value+")", "type(a) == string ? "+celShort("a")+".findAll("+quote(address.TokenPattern)+").map(v, "+key+").join('\\n') : ''")
			case flow.Alias:
				return bind("a", "dyn("+value+")", "type(a) == string && a != '' ? "+key+" : ''")
			}
			return bind("v", bind("a", "dyn("+value+")", "type(a) == string ? "+celShort("a")+" : ''"), "v == '' ? '' : "+key)
		}}
		out = append(out, w.field(k, f))
	}
	return out
}

// key is what celKeyed makes of a part: the address, its path not cleaned yet.
func (p part) key() string {
	token := bind("t", "("+p.token+").find("+quote(address.TokenPattern)+")", "t == '' ? '' : "+celTokenKey())
	switch p.form {
	case rowPath:
		return p.rest
	case rowBucket:
		return bind("z", token, "(z == '' ? "+p.otherwise+" : z) + '/' + "+p.rest)
	case rowGit:
		return bind("z", token, "z == '' ? '' : "+celGit("z")+" + '/' + "+p.rest)
	case rowAlias:
		return bind("z", p.rest, "z in params.spec.aliases ? params.spec.aliases[z] : ''")
	case rowIP:
		return bind("z", p.token, "isIP(z) ? z : "+bind("t", "z.find("+quote(address.TokenPattern)+")", "t == '' ? '' : "+celTokenKey()))
	}
	return bind("z", token, "z == '' ? '' : z + '/' + "+p.rest)
}

// celBad is true for the owner o if a boundary forbids its data to reach any place that an
// object of the cluster can be in, or the other way round.
const celBad = `(o in params.spec.crossings || params.spec.crossings.exists(p, o in params.spec.crossings[p] && ` +
	`(p == params.spec.cluster.environment || p in params.spec.environments && params.spec.environments[p] == 'NonProduction')))`

// celHit is true when an address that holds the key k, or lies below it, has an owner that is bad.
var celHit = "(k in params.spec.parents || [k.find('^[^/:]*')].exists(h, (" + celPrefixes + " + [h] + (h.contains('.') || k.contains(':') ? " +
	celSuffixes + " + " + celNetworks + " : [])).exists(m, m in params.spec.addresses && [params.spec.addresses[m]].exists(o, " + celBad + "))))"
