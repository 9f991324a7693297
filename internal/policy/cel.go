// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/skott-dev/skott/internal/address"
)

// The functions of this file are templates: each returns a CEL expression that computes
// what the function of the same purpose in internal/address or internal/flow computes. They
// keep to what Kubernetes 1.30 accepts. CEL has no let, so a value that is used twice is
// bound by a list of one element: [value].map(name, …).
//
// Bounds: an expression that exceeds its cost limit refuses an innocent object, so nothing
// is walked before it was counted. The numbers were found by test/integration/policy, "large
// objects": texts of the worst kinds at and beyond each bound, read with a Guard of the
// corpus and with one that is as wide as its schema allows. With these no expression comes
// to its limit of a million, and no policy to more than 60 % of its budget of ten million.
const (
	// maxItems is how many list elements a policy walks in one object.
	maxItems = 1000
	// maxText is how many characters of free text a policy reads in one object.
	maxText = 106496
	// maxExact is how many it reads in lists of fields that hold one address each.
	maxExact = 65536
	// maxHeads is how many dotted names it looks up in them, in a Guard without wildcards.
	maxHeads = 8000
	// maxWide is how many characters it compares with wildcards: text times their lengths.
	maxWide = 524288
	// maxLookups is how many times it looks in the Guard for the owners of references.
	maxLookups = 20000
	// maxRows is how many characters of references, with all that is said of them, it takes
	// apart, and maxSegments how many segments of paths.
	maxRows     = 200000
	maxSegments = 10000
)

// celWidth is how many times the owner of one reference is looked for in a Guard, and what
// a reference costs besides.
const celWidth = `(8 + size(params.spec.depths) + size(params.spec.suffixLabels) + size(params.spec.prefixLengths))`

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

// celAuthority is address.Authority of the string v.
func celAuthority(v string) string {
	return bind("u", v, "u.contains('@') ? u.substring(size(u.find("+quote(address.UserPattern)+"))) : u")
}

// celCut is flow.Cut of the string v.
func celCut(v string, most int) string {
	return fmt.Sprintf("(size(%[1]s) > %[2]d ? %[1]s.substring(0, %[2]d) + '...' : %[1]s)", v, most)
}

// celPath is address.Path of the string v.
func celPath(v string) string {
	return "(" + v + ").split('/').filter(s, s != '' && s != '.').join('/')"
}

// celHost is providerHost of the strings h and p, named so.
const celHost = `(h == 'storage.googleapis.com' ? 'gcs' : h.endsWith('.storage.googleapis.com') ? 'gcs/' + h.substring(0, size(h) - 23) : h.endsWith('.amazonaws.com') && (h.startsWith('s3.') || h.startsWith('s3-')) ? 'aws' : ` +
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

// celGit is the token key v as address.GitKey leaves it, without port 22 and ".git".
func celGit(v string) string {
	return bind("k", v+".replace(':22/', '/', 1).split('/')", "k.map(s, s != k[0] && s.matches("+quote(address.GitSuffixPattern)+") ? s.substring(0, size(s) - 4) : s).join('/')")
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
const celSuspect = `(h in params.spec.hosts || ` + celWide + `)`

// celOwnedToken is celSuspect for the head h of the token t: a host with nothing behind it
// has an owner only if it is an address itself.
const celOwnedToken = `((t == h ? h in params.spec.addresses : h in params.spec.hosts) || ` + celWide + `)`

// celWide is true for heads that may have an owner without standing in the Guard.
const celWide = `(size(params.spec.suffixLabels) > 0 && ` +
	`[size(h.split('.'))].exists(l, params.spec.suffixLabels.exists(n, n < l && '*.' + h.split('.', l - n + 1)[l - n] in params.spec.addresses)) || ` +
	`size(params.spec.prefixLengths) > 0 && h.matches('^[0-9.]+$') || ` +
	`'aws' in params.spec.hosts && (h.startsWith('s3://') || h.endsWith('.amazonaws.com')) || ` +
	`'gcs' in params.spec.hosts && (h.startsWith('gs://') || h.endsWith('storage.googleapis.com')))`
