// SPDX-License-Identifier: Apache-2.0

package address

import (
	"net/netip"
	"regexp"
	"strings"
	"unicode/utf8"
)

// The regular expressions below are shared with the compiled policies. They are written for
// lower-case text, so that both sides lower the text once and match without case.
const (
	// TokenPattern finds what may be an address in free text: a dotted name, or an s3://
	// or gs:// URL, with port and path.
	TokenPattern = `(?:(?:s3|gs)://[a-z0-9]|[a-z0-9-]+[.])[a-z0-9.-]*(?::[0-9]+)?(?:/[a-z0-9._~%=+/-]*)?`
	// HeadPattern finds the host part of the same tokens. A text in which no head belongs
	// to anybody needs no closer look.
	HeadPattern = `(?:(?:s3|gs)://|[a-z0-9-]+[.])[a-z0-9.-]*[a-z0-9]`
	// HostPattern is the host of a token, without trailing dots and dashes: the head of all
	// tokens that are no URL of an object store.
	HostPattern = `^[a-z0-9-]+[.][a-z0-9.-]*[a-z0-9]`
	// UserPattern is what stands before the host in a URL: the scheme, and who logs in.
	UserPattern = `^(?:[a-z0-9+.-]*://)?[^/?#]*@`
	// PortPattern is the port of a token.
	PortPattern = `:[0-9]+`
	// ImagePattern is an image reference without its tag and digest.
	ImagePattern = `^(?:[^/]*/)*[^/:@]+`
	// GitPrefixPattern is what stands before the host of a repository.
	GitPrefixPattern = `^(?:[^/:@]*://)?(?:[^/@]*@)*`
	// BucketPattern is the bucket of what follows s3:// in a URL, without the region that some
	// tools put behind it, and ObjectPattern the path in it, without a query.
	BucketPattern = `^[^/@?#]*`
	ObjectPattern = `/[^?#]*`
	// GitSuffixPattern matches a segment that git writes with ".git" or without.
	GitSuffixPattern = `[^.][.]git$`
)

var (
	tokenRegexp = regexp.MustCompile(TokenPattern)
	hostRegexp  = regexp.MustCompile(HostPattern)
	portRegexp  = regexp.MustCompile(PortPattern)
	userRegexp  = regexp.MustCompile(UserPattern)
	imageRegexp = regexp.MustCompile(ImagePattern)
	bucketName  = regexp.MustCompile(BucketPattern)
	objectPath  = regexp.MustCompile(ObjectPattern)
	gitPrefix   = regexp.MustCompile(GitPrefixPattern)
	gitSuffix   = regexp.MustCompile(GitSuffixPattern)
)

const (
	clusterPrefix = "cluster/"
	awsDomain     = ".amazonaws.com"
	gcsHost       = "storage.googleapis.com"
)

// Lower lowers the ASCII letters of s and nothing else, as CEL's lowerAscii does.
func Lower(s string) string {
	for i := 0; i < len(s); i++ {
		if c := s[i]; 'A' <= c && c <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if c := b[i]; 'A' <= c && c <= 'Z' {
					b[i] = c + 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

// Short is s in lower case without tabs and line breaks, or "" if it is longer than
// MaxLength: what a field that should hold one address is reduced to first.
func Short(s string) string {
	if len(s) > MaxLength && utf8.RuneCountInString(s) > MaxLength {
		return ""
	}
	s = Lower(s)
	if strings.ContainsAny(s, "\t\n") {
		s = strings.NewReplacer("\t", "", "\n", "").Replace(s)
	}
	return s
}

// Path drops empty and "." segments of a "/"-separated text.
func Path(s string) string {
	if !needsPath(s) {
		return s
	}
	out := make([]string, 0, strings.Count(s, "/")+1)
	for seg := range strings.SplitSeq(s, "/") {
		if seg != "" && seg != "." {
			out = append(out, seg)
		}
	}
	return strings.Join(out, "/")
}

// needsPath reports whether s holds a segment that Path would drop.
func needsPath(s string) bool {
	return s == "" || s == "." || s[0] == '/' || s[len(s)-1] == '/' || strings.Contains(s, "//") ||
		strings.Contains(s, "/./") || strings.HasPrefix(s, "./") || strings.HasSuffix(s, "/.")
}

// Authority is a URL in lower case without the user and the password in front of its host,
// which may look like hosts themselves. They are also never shown to anybody.
func Authority(url string) string { return url[len(userRegexp.FindString(url)):] }

// FindToken is the first token of a text in lower case, or "".
func FindToken(lower string) string { return tokenRegexp.FindString(lower) }

// Tokens are the tokens of a text in lower case.
func Tokens(lower string) []string { return tokenRegexp.FindAllString(lower, -1) }

// nextHead finds the next match of HeadPattern in s, from an index on; end is 0 if there is
// none. Most texts hold no address, and this is what it takes to see that.
func nextHead(s string, from int) (start, end int) {
	for i := from; i < len(s); i++ {
		var before int
		start = i
		for i < len(s) && class[s[i]]&inLabel != 0 {
			i++
		}
		switch {
		case i == start:
			continue
		case i < len(s) && s[i] == '.':
			before = i
		case strings.HasPrefix(s[i:], "://") && (strings.HasSuffix(s[start:i], "s3") || strings.HasSuffix(s[start:i], "gs")):
			start, before = i-2, i+2
		default:
			continue
		}
		end := 0
		for i = before + 1; i < len(s) && class[s[i]] != 0; i++ {
			if class[s[i]]&inWord != 0 {
				end = i + 1
			}
		}
		if end > 0 {
			return start, end
		}
	}
	return 0, 0
}

// What a byte may be in a host: letters and digits are in words and labels, dashes in
// labels, dots between them.
const (
	inWord = 1 << iota
	inLabel
	inHost
)

var class = func() (out [256]byte) {
	for _, c := range "abcdefghijklmnopqrstuvwxyz0123456789" {
		out[c] = inWord | inLabel | inHost
	}
	out['-'], out['.'] = inLabel|inHost, inHost
	return out
}()

// TokenKey is the key of a token: host, port if it is not a default one, and path. S3 and
// Google storage are one place each, whatever their spelling: "aws/bucket", "gcs/bucket".
func TokenKey(token string) string {
	if scheme, rest, ok := strings.Cut(token, "://"); ok {
		provider := "aws"
		if scheme == "gs" {
			provider = "gcs"
		}
		return Path(provider + "/" + strings.TrimRight(rest, "."))
	}
	host := hostRegexp.FindString(token)
	if host == "" {
		return ""
	}
	rest := token[len(host):]
	head, tail := rest, ""
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		head, tail = rest[:i], strings.TrimRight(rest[i:], ".")
	}
	return Path(providerHost(host, portRegexp.FindString(head)) + tail)
}

// providerHost is host and port, or the name of the object store that the host is.
func providerHost(host, port string) string {
	switch {
	case host == gcsHost:
		return "gcs"
	case strings.HasSuffix(host, "."+gcsHost):
		return "gcs/" + strings.TrimSuffix(host, "."+gcsHost)
	case strings.HasSuffix(host, awsDomain) && (strings.HasPrefix(host, "s3.") || strings.HasPrefix(host, "s3-")):
		return "aws"
	case strings.HasSuffix(host, awsDomain) && (strings.Contains(host, ".s3.") || strings.Contains(host, ".s3-")):
		return "aws/" + host[:strings.Index(host, ".s3")]
	case port == ":443" || port == ":80":
		return host
	}
	return host + port
}

// BucketARN is what the ARN of a bucket has in front of its name.
const BucketARN = "arn:aws:s3:::"

// BucketKey is the key of a bucket, by its name or ARN, from the fields it is usually spread
// over. An empty endpoint means that of the provider, "aws" or "gcs".
func BucketKey(endpoint, provider, bucket, prefix string) string {
	bucket = Short(bucket)
	if name, ok := strings.CutPrefix(bucket, BucketARN); ok && name != "" {
		bucket = name
	}
	if bucket == "" {
		return ""
	}
	return Path(endpointOr(endpoint, provider) + "/" + bucket + "/" + Short(prefix))
}

func endpointOr(endpoint, provider string) string {
	if key := TokenKey(FindToken(Authority(Short(endpoint)))); key != "" {
		return key
	}
	return provider
}

// ObjectKey is the key of an object store URL such as s3://bucket/path, at the endpoint
// if one is given. Longhorn writes s3://bucket@region/path.
func ObjectKey(url, endpoint string) string {
	url = Short(url)
	if rest, ok := strings.CutPrefix(url, "s3://"); ok && Path(rest) != "" {
		return Path(endpointOr(endpoint, "aws") + "/" + bucketName.FindString(rest) + objectPath.FindString(rest))
	}
	return TokenKey(FindToken(Authority(url)))
}

// pairKey is the key of a handle that its driver gives: "driver/handle".
func pairKey(driver, handle string) string {
	driver, handle = Short(driver), Short(handle)
	if driver == "" || handle == "" {
		return ""
	}
	return Path(driver + "/" + handle)
}

// EndpointKey is the key of an API server.
func EndpointKey(host, port string) string {
	host = strings.TrimRight(strings.TrimLeft(Short(host), "/"), ".")
	if host == "" {
		return ""
	}
	if port == "" || port == "0" || port == "443" || port == "80" {
		return host
	}
	return host + ":" + port
}

// ClusterKey is the key of a Cluster API Cluster by name.
func ClusterKey(namespace, name string) string {
	return Path(clusterPrefix + Short(namespace) + "/" + Short(name))
}

// IPKey is the key of a field that holds an IP, or a host name in its place.
func IPKey(text string) string {
	s := Short(text)
	if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" && !ip.Is4In6() {
		return s
	}
	return TokenKey(FindToken(Authority(s)))
}

// ImageKey is the key of an image: registry and repository, without tag and digest. An
// image without a registry is one of docker.io.
func ImageKey(image string) string {
	name := imageRegexp.FindString(Short(image))
	if name == "" {
		return ""
	}
	first, _, multiple := strings.Cut(name, "/")
	if !multiple || !strings.ContainsAny(first, ".:") {
		name = "docker.io/" + name
	}
	return Path(strings.Replace(name, ":443/", "/", 1))
}

// GitKey is the key of a repository and a path in it, which may stand behind it in one
// text.
func GitKey(repository, path string) string {
	r := Short(repository)
	rest := r[len(gitPrefix.FindString(r)):]
	if !strings.Contains(r, "://") {
		// git@host:org/repo is host/org/repo.
		rest = strings.Replace(rest, ":", "/", 1)
	}
	key := strings.Replace(TokenKey(FindToken(rest)), ":22/", "/", 1)
	if key == "" {
		return ""
	}
	segments := strings.Split(key, "/")
	for i, s := range segments {
		if s != segments[0] && gitSuffix.MatchString(s) {
			segments[i] = strings.TrimSuffix(s, ".git")
		}
	}
	return Path(strings.Join(segments, "/") + "/" + Short(path))
}

// SecretKey is the key of a path in a secret store.
func SecretKey(server, path string) string {
	key := TokenKey(FindToken(Authority(Short(server))))
	if key == "" {
		return ""
	}
	return Path(key + "/" + Short(path))
}
