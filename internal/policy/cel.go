// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"strconv"
	"strings"

	"github.com/skott-dev/skott/internal/address"
	"github.com/skott-dev/skott/internal/flow"
)

// The functions of this file are templates: each returns a CEL expression that computes
// what the function of the same purpose in internal/address or internal/flow computes. They
// keep to what Kubernetes 1.30 accepts. CEL has no let, so a value that is used twice is
// bound by a list of one element: [value].map(name, …).
//
// Bounds: an expression that exceeds its cost limit refuses an innocent object, so nothing
// is walked before it was counted.
const (
	// maxItems is how many list elements a policy walks in one object.
	maxItems = 1000
	// maxText is how many characters of free text a policy reads in one object.
	maxText = 65536
	// maxHeads is how many dotted names it looks up in them.
	maxHeads = 4000
	// maxSuspects is how many tokens of one object it resolves.
	maxSuspects = 200
)

// quote is s as a CEL string literal.
func quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`, "\n", `\n`, "\t", `\t`).Replace(s) + "'"
}

// bind computes body with name standing for value.
func bind(name, value, body string) string {
	return "[" + value + "].map(" + name + ", " + body + ")[0]"
}

// celShort is address.Short of the string v.
func celShort(v string) string {
	return "(size(" + v + ") > " + strconv.Itoa(address.MaxLength) + " ? '' : " + v + `.lowerAscii().replace('\t', '').replace('\n', ''))`
}

// celPath is address.Path of the string v.
func celPath(v string) string {
	return "(" + v + ").split('/').filter(s, s != '' && s != '.').join('/')"
}

// celHost is providerHost of the strings h and p, named so.
const celHost = `(h == 'storage.googleapis.com' ? 'gcs' : h.endsWith('.amazonaws.com') && (h.startsWith('s3.') || h.startsWith('s3-')) ? 'aws' : ` +
	`h.endsWith('.amazonaws.com') && (h.contains('.s3.') || h.contains('.s3-')) ? 'aws/' + h.split('.s3')[0] : p == ':443' || p == ':80' ? h : h + p)`

// celTokenKey is address.TokenKey of the token named t.
func celTokenKey() string {
	object := func(scheme, provider string) string {
		return "t.startsWith('" + scheme + "://') ? " + celPath("'"+provider+"/' + t.substring(5).find('^(?:.*[^.])?')")
	}
	dotted := bind("h", "t.find("+quote(address.HostPattern)+")", "h == '' ? '' : "+
		bind("r", "t.substring(size(h))", bind("p", "r.find("+quote(address.PortPattern)+")",
			celPath(celHost+" + r.find('/.*').find('^(?:.*[^.])?')"))))
	return "(" + object("s3", "aws") + " : " + object("gs", "gcs") + " : " + dotted + ")"
}

// celFirstKey is the key of the first token of the short string v, or fallback.
func celFirstKey(v, fallback string) string {
	return bind("t", v+".find("+quote(address.TokenPattern)+")",
		bind("k", "t == '' ? '' : "+celTokenKey(), "k == '' ? "+fallback+" : k"))
}

// celKey is the key that a field makes of the string named v; with(i) is the CEL of the
// companion i.
func celKey(f *flow.Field, with func(int) string) string {
	switch f.Form {
	case flow.Alias:
		return bind("a", quote(f.Const)+" + v", "a in params.spec.aliases ? params.spec.aliases[a] : ''")
	case flow.IP:
		return bind("q", celShort("v"), "isIP(q) ? q : "+bind("t", "q.find("+quote(address.TokenPattern)+")", "t == '' ? '' : "+celTokenKey()))
	case flow.Bucket:
		provider := bind("w", with(2), "w.contains('gcp') ? 'gcs' : 'aws'")
		return bind("b", celShort("v"), "b == '' ? '' : "+celPath(celFirstKey(with(0), provider)+" + '/' + b + '/' + "+with(1)))
	case flow.Object:
		at := bind("u", celShort("v"), "u.startsWith('s3://') && "+celPath("u.substring(5)")+" != '' ? "+
			celPath(celFirstKey(with(0), "'aws'")+" + '/' + u.substring(5)")+" : "+celFirstKey("u", "''"))
		suffix := bind("w", with(1), "w == '' ? "+with(2)+" : w")
		return bind("o", at, "o == '' ? '' : "+celPath("o + '/' + "+suffix))
	case flow.Join:
		return celJoin(f, with)
	case flow.Image:
		name := bind("i", celShort("v")+".find("+quote(address.ImagePattern)+")", "i == '' ? '' : !i.contains('/') || !i.split('/')[0].matches('[.:]') ? 'docker.io/' + i : i")
		return bind("n", name, celPath("n.replace(':443/', '/', 1)"))
	case flow.Git:
		repository := bind("g", celShort("v"), "(g.contains('://') ? g : g.replace(':', '/', 1)).split('@')")
		key := bind("g", repository, bind("k", celFirstKey("g[size(g) - 1]", "''"), bind("k", "k.replace('.git/', '/', 1)", "k.endsWith('.git') ? k.substring(0, size(k) - 4) : k")))
		return bind("k", key, "k == '' ? '' : "+celPath("k + '/' + "+with(0)))
	case flow.Store:
		return bind("k", celFirstKey(celShort("v"), "''"), "k == '' ? '' : "+celPath("k + '/' + "+with(0)))
	case flow.Endpoint:
		return bind("q", celShort("v")+".find('[^/].*').find('^(?:.*[^.])?')", bind("w", with(0), "q == '' ? '' : w in ['', '0', '443', '80'] ? q : q + ':' + w"))
	case flow.Cluster:
		return celPath("'cluster/' + " + with(0) + " + '/' + " + celShort("v"))
	}
	return "''"
}

// celJoin is Const, With[0], v and With[1], or nothing if one that is named is missing.
func celJoin(f *flow.Field, with func(int) string) string {
	var parts []string
	if f.Const != "" {
		parts = append(parts, quote(f.Const))
	}
	if len(f.With) > 0 && f.With[0] != "" {
		parts = append(parts, with(0))
	}
	parts = append(parts, celShort("v"))
	if len(f.With) > 1 && f.With[1] != "" {
		parts = append(parts, with(1))
	}
	return bind("j", "["+strings.Join(parts, ", ")+"]", "j.exists(x, x == '') ? '' : "+celPath("j.join('/')"))
}

// celPrefixes are the first n segments of the key named k, for every depth n that occurs.
const celPrefixes = `params.spec.depths.map(n, [k.split('/', n + 1)].map(p, size(p) > n ? k.substring(0, size(k) - size(p[n]) - 1) : k)[0])`

// celSuffixes are the wildcards that the host named h may fall under.
const celSuffixes = `[size(h.split('.'))].map(l, params.spec.suffixLabels.filter(n, n < l).map(n, '*.' + h.split('.', l - n + 1)[l - n]))[0]`

// celNetworks are the networks that k, or its host h, may lie in.
const celNetworks = `(size(params.spec.prefixLengths) == 0 ? [] : [isIP(k) ? k : isIP(h) ? h : ''].map(i, i == '' ? [] : ` +
	`params.spec.prefixLengths.filter(n, n <= (ip(i).family() == 4 ? 32 : 128)).map(n, string(cidr(i + '/' + string(n)).masked()))` +
	`.map(m, m in params.spec.addresses ? m : params.spec.cluster.datacenter + '/' + m))[0])`

// celMatches are the addresses that hold the key named k, most specific first, in the order
// in which Book.Owner tries them.
const celMatches = `[k.find('^[^/:]*')].map(h, ` + celPrefixes + ` + [h] + ` + celSuffixes + ` + ` + celNetworks + `)[0].filter(m, m in params.spec.addresses)`

// celSuspect is Book.knowsHead of the head named h.
const celSuspect = `(h in params.spec.hosts || size(params.spec.suffixLabels) > 0 && ` +
	`[size(h.split('.'))].exists(l, params.spec.suffixLabels.exists(n, n < l && '*.' + h.split('.', l - n + 1)[l - n] in params.spec.addresses)) || ` +
	`size(params.spec.prefixLengths) > 0 && h.matches('^[0-9.]+$') || ` +
	`'aws' in params.spec.hosts && (h.startsWith('s3://') || h.endsWith('.amazonaws.com')) || ` +
	`'gcs' in params.spec.hosts && (h.startsWith('gs://') || h == 'storage.googleapis.com'))`
