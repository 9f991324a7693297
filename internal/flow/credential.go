// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/skott-dev/skott/internal/address"
)

// Credentials in Secrets. What is learned are values in places that are known to hold one: a
// key of the Secret, a setting in a file, a private key, a password in a URL. What a request
// is judged by is looser, so that another name for the key hides nothing: every value and
// every word counts. Of neither anything but a fingerprint leaves this package's callers.

// Secrets as they are known to hold no credential of their place.
var commonTypes = []string{
	"kubernetes.io/service-account-token", // every cluster has its own, and makes it anew
	"bootstrap.kubernetes.io/token",       // lives a day
	"helm.sh/release.v1",                  // a copy of manifests, defaults of charts among them
}

const (
	// maxCredential is the longest text that is taken for one credential, and maxScanned how
	// much of one value is looked through: more than a Secret holds.
	maxCredential, maxScanned = 16 << 10, 2 << 20
	// minCredential is how short a credential may be. Whoever has the key can try guesses.
	minCredential = 16
	// minDistinct characters keep "aaaaaaaaaaaaaaaa" and the like out.
	minDistinct = 8
)

// secretNames end names of what is secret, without separators and in lower case.
const secretNames = `password|passwd|passphrase|secretkey|secretaccesskey|token|apikey|accountkey|clientsecret|credentialsecret|sessionkey`

var (
	secretKey = regexp.MustCompile(`(?:` + secretNames + `)$`)
	// stem is in every such name; what has none need not be looked at closely.
	stem = regexp.MustCompile(`(?i)pass|key|token|secret|auth`)
	// A name, a separator, and a value up to its end: quoted, or to the end of the word.
	setting = regexp.MustCompile(`(?i)([a-z][a-z0-9_.-]*)["']?[ \t]*[:=][ \t]*(?:"((?:[^"\\\n]|\\.)*)"|'([^'\n]*)'|([^\s"',;&{}\[\]]+))`)
	// userInfo is the password of a URL.
	userInfo = regexp.MustCompile(`[a-zA-Z][a-zA-Z0-9+.-]*://[^\s/:@"']*:([^\s/@"']+)@`)
	// words of a text, as a value would stand in it.
	words = regexp.MustCompile("[^\\s\"'`,;{}()<>\\[\\]]{16,}")
	// elsewhere is a value that only says where the credential is.
	elsewhere  = regexp.MustCompile(`^(?:/[a-zA-Z0-9._-]+){2,}$|://|^vault:|^\$(?:\(|[A-Z_]+$|[0-9a-z]+\$)`)
	privateKey = regexp.MustCompile(`(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----(.*?)-----END `)
	// template is a value that is put in later.
	template     = regexp.MustCompile(`\$\{[^}]*\}|\{\{.*\}\}|^<.*>$`)
	noSeparators = strings.NewReplacer("-", "", "_", "", ".", "")
)

// placeholders are in values that many have, because they stand in documentation or in charts.
var placeholders = []string{"example", "changeme", "change-me", "change_me", "change me", "placeholder", "replaceme", "replace-me", "replace_me",
	"your-", "your_", "your ", "dummy", "redacted", "insecure", "static-passw0rd", "prom-operator", "0123456789", "abcdefgh"}

// known reports whether a text holds a placeholder.
func known(text string) bool {
	lower := address.Lower(text)
	return slices.ContainsFunc(placeholders, func(p string) bool { return strings.Contains(lower, p) })
}

// Credential is a value that opens something. It must not be kept, nor be shown.
type Credential struct {
	// Path in the Secret.
	Path string
	// Value, canonical: a private key without what only formats it.
	Value string
}

// String keeps the value out of whatever prints a Credential.
func (c Credential) String() string { return c.Path }

// GoString implements fmt.GoStringer.
func (c Credential) GoString() string { return c.Path }

// minLife in seconds is how long a token must live to be learned. Those that are renewed by the
// hour would leave a location each, and open nothing by the time that anybody finds them.
const minLife = 7 * 24 * 3600

// passing reports whether a text is a token that says of itself that it ends soon: a JWT, or
// one of a registry at AWS.
func passing(text string) bool {
	segments := strings.Split(text, ".")
	if len(segments) != 3 || !strings.HasPrefix(text, "eyJ") {
		return strings.HasPrefix(text, awsToken)
	}
	plain, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(segments[1], "="))
	if err != nil {
		return false
	}
	var claims struct{ Exp, Iat float64 }
	return json.Unmarshal(plain, &claims) == nil && claims.Exp > 0 && claims.Iat > 0 && claims.Exp-claims.Iat < minLife
}

// awsToken begins tokens for registries at AWS, which live for half a day: {"payload in base64.
const awsToken = "eyJwYXlsb2Fk"

// Credentials are those in a Secret, decoded JSON, that are learned: in places that hold one,
// long and mixed enough that they cannot be guessed, and not the same everywhere. Absent, null
// and wrongly typed fields hold none.
func Credentials(secret map[string]any) []Credential {
	if kind, _ := secret["type"].(string); slices.Contains(commonTypes, kind) {
		return nil
	}
	return slices.DeleteFunc(collect(secret, (*collector).placed), func(c Credential) bool { return passing(c.Value) })
}

// CredentialCandidates are all texts of a Secret that may be a credential, under whatever name.
func CredentialCandidates(secret map[string]any) []Credential {
	return collect(secret, (*collector).any)
}

type collector struct {
	path string
	seen map[string]bool
	out  []Credential
}

// collect visits the values of a Secret, as the API server stores them or as they were written.
func collect(secret map[string]any, visit func(c *collector, key, value string)) []Credential {
	c := &collector{seen: map[string]bool{}}
	for _, field := range []string{"data", "stringData"} {
		values, _ := secret[field].(map[string]any)
		for _, key := range slices.Sorted(maps.Keys(values)) {
			text, ok := values[key].(string)
			if field == "data" && ok {
				plain, err := base64.StdEncoding.DecodeString(text)
				text, ok = string(plain), err == nil
			}
			if !ok || text == "" {
				continue
			}
			c.path = field + `["` + Shown(key) + `"]`
			visit(c, key, text[:min(len(text), maxScanned)])
		}
	}
	return c.out
}

// placed takes what stands in places that hold a credential.
func (c *collector) placed(key, text string) {
	if isSecretName(key) {
		c.add(text)
	}
	c.privateKeys(text)
	if !utf8.ValidString(text) {
		return
	}
	for line := range strings.Lines(text) {
		if !stem.MatchString(line) {
			continue
		}
		for _, m := range setting.FindAllStringSubmatch(line, -1) {
			if isSecretName(m[1]) || isKeyData(m[1]) {
				c.value(m[1], unescape(m[2])+m[3]+m[4])
			}
		}
	}
	if !strings.Contains(text, "://") {
		return
	}
	for _, m := range userInfo.FindAllStringSubmatch(text, -1) {
		if plain, err := url.PathUnescape(m[1]); err == nil {
			c.add(plain)
		}
	}
}

// any takes everything that may be a credential.
func (c *collector) any(key, text string) {
	c.placed(key, text)
	c.add(text)
	if !utf8.ValidString(text) {
		return
	}
	for _, word := range words.FindAllString(text, -1) {
		c.add(word)
		if plain, err := base64.StdEncoding.DecodeString(word); err == nil && utf8.Valid(plain) { // such as in a Secret in a Secret
			c.privateKeys(string(plain))
			c.add(string(plain))
		}
		if i := strings.IndexAny(word, ":="); i >= 0 {
			c.add(word[i+1:])
		}
	}
}

// value takes what a setting says. Registries and kubeconfigs keep theirs in base64.
func (c *collector) value(name, text string) {
	plain, err := base64.StdEncoding.DecodeString(text)
	switch {
	case err != nil:
	case strings.EqualFold(name, "auth"):
		_, text, _ = strings.Cut(string(plain), ":")
	case c.privateKeys(string(plain)) > 0:
		return
	}
	if !isKeyData(name) || strings.EqualFold(name, "auth") {
		c.add(text)
	}
}

// unescape undoes what JSON escapes in a text that could be one.
func unescape(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	return strings.NewReplacer(`\"`, `"`, `\/`, `/`, `\\`, `\`).Replace(text)
}

// privateKeys takes every private key in PEM, by what it encodes, and counts them. It may be
// indented, as in YAML, or on one line, as in JSON.
func (c *collector) privateKeys(text string) int {
	n := 0
	if !strings.Contains(text, "PRIVATE KEY-----") {
		return n
	}
	for _, m := range privateKey.FindAllStringSubmatch(text, -1) {
		var body strings.Builder
		for _, line := range strings.Split(strings.ReplaceAll(m[1], `\n`, "\n"), "\n") {
			if !strings.Contains(line, ":") { // a header
				body.WriteString(strings.TrimSpace(line))
			}
		}
		if plain, err := base64.StdEncoding.DecodeString(body.String()); err == nil && len(plain) >= minCredential {
			n++
			c.take(string(plain))
		}
	}
	return n
}

// add takes a text if nobody could guess it.
func (c *collector) add(text string) {
	if text = strings.TrimSpace(text); strong(text) {
		c.take(text)
	}
}

func (c *collector) take(value string) {
	if !c.seen[value] {
		c.seen[value] = true
		c.out = append(c.out, Credential{Path: c.path, Value: value})
	}
}

func isSecretName(name string) bool {
	return secretKey.MatchString(address.Lower(noSeparators.Replace(name)))
}

func isKeyData(name string) bool {
	lower := address.Lower(noSeparators.Replace(name))
	return lower == "auth" || strings.HasSuffix(lower, "keydata")
}

// strong says that a text is no word, no placeholder and no default: long, of many different
// characters, and of more than one class of them.
func strong(text string) bool {
	if len(text) < minCredential || len(text) > maxCredential || strings.ContainsAny(text, "\n\r") {
		return false
	}
	var lower, upper, digit, other bool
	var different [256]bool
	n := 0
	for i := 0; i < len(text); i++ {
		b := text[i]
		if !different[b] {
			different[b] = true
			n++
		}
		switch {
		case 'a' <= b && b <= 'z':
			lower = true
		case 'A' <= b && b <= 'Z':
			upper = true
		case '0' <= b && b <= '9':
			digit = true
		default:
			other = true
		}
	}
	letters := lower || upper
	return n >= minDistinct && letters && (digit || other || lower && upper) && !known(text) && !template.MatchString(text) && !elsewhere.MatchString(text)
}
