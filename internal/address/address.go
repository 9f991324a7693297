// SPDX-License-Identifier: Apache-2.0

package address

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Type is the kind of place that an address is. The values are those of the API.
type Type string

// The types of addresses.
const (
	Bucket          Type = "Bucket"
	Host            Type = "Host"
	CIDR            Type = "CIDR"
	Volume          Type = "Volume"
	Snapshot        Type = "Snapshot"
	ClusterEndpoint Type = "ClusterEndpoint"
	Registry        Type = "Registry"
	Git             Type = "Git"
	SecretPath      Type = "SecretPath"
	Project         Type = "Project"
	Credential      Type = "Credential"
)

// MaxLength is the longest text, in characters, that is taken for an address. Longer
// values cannot be one; they are not looked up, by policies and by Evaluate alike.
const MaxLength = 1024

// minLength is that of the shortest address, "a.b".
const minLength = 3

// ErrInvalid is wrapped by every error of Parse.
var ErrInvalid = errors.New("not an address")

// Address is a place in canonical form. It is comparable; the zero value is no address.
type Address struct {
	kind Type
	text string
}

// Type of the address.
func (a Address) Type() Type { return a.kind }

// String is the canonical text, without the type.
func (a Address) String() string { return a.text }

// IsValid reports whether the address came from a successful Parse.
func (a Address) IsValid() bool { return a.text != "" }

// The grammar of values, by type, in lower case and before anything is canonicalised. The
// CRD of DataLocation holds the same expressions; a test compares them.
const (
	label  = `[a-z0-9]([a-z0-9-]*[a-z0-9])?`
	domain = label + `([.]` + label + `)+`
	number = `:(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})`
	port   = `(` + number + `)?`
	server = label + `([.]` + label + `)*[.]?`
	path   = `[a-z0-9._~%=+/-]*[a-z0-9_~%=+-][a-z0-9._~%=+/-]*`
)

var grammar = map[Type]*regexp.Regexp{
	Bucket: regexp.MustCompile(`^((s3|gs)://|aws/|gcs/|(https?://)?` + domain + `[.]?` + port + `/)[a-z0-9][a-z0-9._-]*(/[a-z0-9._~%=+/-]*)?$`),
	Host:   regexp.MustCompile(`^([*][.]|` + label + `[.])(` + label + `[.])*[a-z]([a-z0-9-]*[a-z0-9])?[.]?$`),
	CIDR:   regexp.MustCompile(`^(` + label + `/)?([0-9]{1,3}[.][0-9.]+|[0-9a-f]*:[0-9a-f:]*)(/[0-9]{1,3})?$`),
	Volume: regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]*[a-z0-9])?/[!-~]*[!--0-~][!-~]*$`),
	ClusterEndpoint: regexp.MustCompile(`^((https?://)?` + server + number + `|https?://` + server + `)/?$` +
		`|^(` + domain + `[.]?|(cluster/)?` + label + `/` + label + `([.]` + label + `)*)$`),
	Registry:   regexp.MustCompile(`^(https?://|oci://)?` + domain + `[.]?` + port + `/[a-z0-9][a-z0-9._/-]*$`),
	Git:        regexp.MustCompile(`^(([a-z+]+://)?([^/@]+@)?` + domain + `[.]?` + port + `/|git@` + domain + `[.]?:)` + path + `$`),
	SecretPath: regexp.MustCompile(`^(https?://)?` + domain + `[.]?` + port + `/` + path + `$`),
	Project:    regexp.MustCompile(`^[a-z][a-z0-9-]*/[a-z0-9][a-z0-9._:-]*$`),
	Credential: regexp.MustCompile(`^hmac-sha256:[0-9a-f]{64}$`),
}

// hints say, per type, what a value must look like.
var hints = map[Type]string{
	Bucket:          "must be ENDPOINT/BUCKET[/PREFIX], s3://BUCKET[/PREFIX] or gs://BUCKET[/PREFIX]; an endpoint alone is not an address",
	Host:            "must be a DNS name with at least two labels, or *.SUFFIX; an IP belongs into type CIDR",
	CIDR:            "must be an IP or a CIDR; a private range needs its datacenter: DATACENTER/CIDR",
	Volume:          "must be DRIVER/HANDLE",
	Snapshot:        "must be DRIVER/HANDLE",
	ClusterEndpoint: "must be HOST[:PORT] or a URL of an API server, or NAMESPACE/NAME of a Cluster",
	Registry:        "must be REGISTRY/PROJECT; a registry alone is shared, name Host for it instead",
	Git:             "must be a Git URL, with the path in the repository behind it if any",
	SecretPath:      "must be STORE/PATH, the store by its host",
	Project:         "must be PROVIDER/ID",
	Credential:      "must be hmac-sha256: and 64 hexadecimal digits, never a credential itself",
}

// printable is what a value of any type is made of, and localName matches names that mean
// nothing outside one cluster or one machine.
var (
	printable = regexp.MustCompile(`^[!-~]+$`)
	localName = regexp.MustCompile(`^(.*[.])?(svc|cluster[.]local|localhost)[.]?$`)
)

// Parse returns the address that value, of type t, names. It accepts every usual
// spelling, and a canonical text as well: parsing what String returns yields the same
// address. The error wraps ErrInvalid and repeats no more of the value than its author
// wrote.
func Parse(t Type, value string) (Address, error) {
	grammarType := t
	if t == Snapshot {
		grammarType = Volume
	}
	rule, known := grammar[grammarType]
	if !known {
		return Address{}, fmt.Errorf("%w: unknown type %q", ErrInvalid, t)
	}
	if n := utf8.RuneCountInString(value); n < minLength || n > MaxLength {
		return Address{}, fmt.Errorf("%w: %d characters, not %d to %d", ErrInvalid, n, minLength, MaxLength)
	}
	lower := Lower(value)
	text := ""
	if printable.MatchString(lower) && rule.MatchString(lower) {
		text = settled(t, lower)
	}
	if text == "" {
		return Address{}, fmt.Errorf("%w: %q %s", ErrInvalid, value, hints[t])
	}
	return Address{kind: t, text: text}, nil
}

// settled is the canonical text of lower. What is dropped from a text may lay bare another
// thing to drop, such as the second of two ".git".
func settled(t Type, lower string) string {
	for {
		text := canonical(t, lower)
		if text == lower || text == "" {
			return text
		}
		lower = text
	}
}

// canonical turns a value that fits the grammar of its type, in lower case, into its
// canonical text, or "" where the grammar could not tell that it is none.
func canonical(t Type, lower string) string {
	switch t {
	case Bucket:
		if strings.HasPrefix(lower, "aws/") || strings.HasPrefix(lower, "gcs/") {
			return Path(strings.TrimRight(lower, "."))
		}
		if rest, ok := strings.CutPrefix(lower, "s3://"); ok {
			return Path("aws/" + strings.TrimRight(rest, "."))
		}
		if rest, ok := strings.CutPrefix(lower, "gs://"); ok {
			return Path("gcs/" + strings.TrimRight(rest, "."))
		}
		return withPath(TokenKey(FindToken(lower)))
	case Host:
		if localName.MatchString(lower) {
			return ""
		}
		return strings.TrimSuffix(lower, ".")
	case CIDR:
		return canonicalNetwork(lower)
	case ClusterEndpoint:
		return canonicalEndpoint(lower)
	case Registry, SecretPath:
		return canonicalPath(lower)
	case Git:
		if !strings.Contains(lower, "://") && !strings.Contains(lower, "@") {
			lower = "https://" + lower // with a port, it would be git@host:path else
		}
		return withPath(GitKey(lower, ""))
	case Credential:
		return lower
	default:
		return withPath(Path(lower))
	}
}

// withPath is key if it has a second segment, else "": the first alone is a host that
// several environments may share.
func withPath(key string) string {
	if !strings.Contains(key, "/") {
		return ""
	}
	return key
}

// canonicalPath is a host and a path on it. It is no object store, whatever the host.
func canonicalPath(lower string) string {
	if _, rest, ok := strings.Cut(lower, "://"); ok {
		lower = rest
	}
	host := hostRegexp.FindString(lower)
	port, path, _ := strings.Cut(strings.TrimPrefix(lower[len(host):], "."), "/")
	if port == ":443" || port == ":80" {
		port = ""
	}
	return withPath(Path(host + port + "/" + strings.TrimRight(path, ".")))
}

// canonicalEndpoint is "host:port", or the host alone at a default port if it has a dot:
// else nobody could tell it from a name.
func canonicalEndpoint(lower string) string {
	_, rest, isURL := strings.Cut(lower, "://")
	switch {
	case isURL:
		lower = rest
	case strings.Contains(lower, "/") && !strings.Contains(lower, ":"):
		return canonicalClusterName(lower)
	}
	host, port, _ := strings.Cut(strings.TrimRight(lower, "/"), ":")
	host = strings.TrimSuffix(host, ".")
	if port == "" || port == "443" || port == "80" {
		if strings.Contains(host, ".") {
			return host
		}
		port = "443"
	}
	return host + ":" + port
}

// canonicalClusterName is "cluster/namespace/name". Of "cluster/name" nobody can tell
// whether the namespace is missing.
func canonicalClusterName(lower string) string {
	switch rest, prefixed := strings.CutPrefix(lower, clusterPrefix); {
	case !prefixed:
		return clusterPrefix + lower
	case strings.Contains(rest, "/"):
		return lower
	}
	return ""
}

// Key is the text under which a Book holds the address: what is computed from an object
// that names it. It differs from String where a reader cannot tell the type: an endpoint
// at a default port is its host, and the host of an object store is the store.
func (a Address) Key() string {
	switch a.kind {
	case ClusterEndpoint:
		return strings.TrimSuffix(a.text, ":443")
	case Host:
		if !strings.HasPrefix(a.text, "*.") {
			return TokenKey(a.text)
		}
	}
	return a.text
}

// private are the networks that every site uses for itself: without its datacenter such a
// range names nothing.
var private = prefixes("10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.168.0.0/16", "172.16.0.0/12",
	"100.64.0.0/10", "::1/128", "fc00::/7", "fe80::/10")

func prefixes(texts ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(texts))
	for i, t := range texts {
		out[i] = netip.MustParsePrefix(t)
	}
	return out
}

// canonicalNetwork is "192.0.2.0/24", or "datacenter/10.1.0.0/16" for a private range.
func canonicalNetwork(lower string) string {
	site, text := "", lower
	if i := strings.IndexByte(lower, '/'); i > 0 && !strings.ContainsAny(lower[:i], ".:") {
		site, text = lower[:i+1], lower[i+1:]
	}
	network, err := netip.ParsePrefix(text)
	if err != nil {
		ip, err := netip.ParseAddr(text)
		if err != nil {
			return ""
		}
		network = netip.PrefixFrom(ip, ip.BitLen())
	}
	if network.Addr().Is4In6() || network.Addr().Zone() != "" {
		return ""
	}
	network = network.Masked()
	if site == "" {
		for _, p := range private {
			if p.Overlaps(network) {
				return ""
			}
		}
	}
	return site + network.String()
}
