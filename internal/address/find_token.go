// SPDX-License-Identifier: Apache-2.0

package address

import "bytes"

// token is a match of TokenPattern in bytes of either case, taken apart.
type token struct {
	// start is that of the scheme or the host; hostEnd is behind the host without trailing
	// dots and dashes, portEnd behind the port, end behind the path.
	start, hostEnd, port, portEnd, end int
	// provider of an s3:// or gs:// URL, whose host is the bucket.
	provider string
}

// nextToken finds the next token that has a key, from an index on; end is 0 if there is none.
func nextToken(t []byte, from, limit int) token {
	for i := from; i < limit; i++ {
		start := i
		for i < limit && kinds[t[i]]&labelByte != 0 {
			i++
		}
		var k token
		switch {
		case i == limit:
			return token{}
		case i == start:
			continue
		case t[i] == '.':
			k = tokenFrom(t, start, i+1, limit)
			if k.hostEnd <= i+1 { // no host, as in "etc."
				i = k.end - 1
				continue
			}
		default:
			provider := schemeAt(t[start:limit], i-start)
			if provider == "" {
				continue
			}
			k = tokenFrom(t, i-2, i+len("://"), limit)
			k.provider = provider
		}
		return k
	}
	return token{}
}

// schemeAt is the provider that the two bytes before the colon at i stand for, if this is a
// URL of an object store.
func schemeAt(t []byte, i int) string {
	if i < 2 || i+3 >= len(t) || t[i] != ':' || t[i+1] != '/' || t[i+2] != '/' || !isAlphanumeric(t[i+3]) {
		return ""
	}
	switch [2]byte{t[i-2] | 0x20, t[i-1] | 0x20} {
	case [2]byte{'s', '3'}:
		return "aws"
	case [2]byte{'g', 's'}:
		return "gcs"
	}
	return ""
}

// tokenFrom reads host, port and path of a token whose host is known to reach to at.
func tokenFrom(t []byte, start, at, limit int) token {
	k := token{start: start}
	for at < limit && kinds[t[at]]&hostByte != 0 {
		at++
	}
	k.hostEnd = at
	for k.hostEnd > start && !isAlphanumeric(t[k.hostEnd-1]) {
		k.hostEnd--
	}
	k.port, k.portEnd = at, at
	if at+1 < limit && t[at] == ':' && isDigit(t[at+1]) {
		at++
		for at < limit && isDigit(t[at]) {
			at++
		}
		k.portEnd = at
	}
	if at < limit && t[at] == '/' {
		for at < limit && kinds[t[at]]&pathByte != 0 {
			at++
		}
	}
	k.end = at
	return k
}

// appendKey appends the TokenKey of a token.
func appendKey(dst, t []byte, k *token) []byte {
	if k.provider != "" {
		dst = append(dst, k.provider...)
		return appendPath(dst, t[k.start+len("s3://"):k.end])
	}
	dst = appendLower(dst, t[k.start:k.hostEnd])
	var plain bool
	if dst, plain = provided(dst); plain {
		dst = appendPort(dst, t[k.port:k.portEnd])
	}
	return appendPath(dst, t[k.portEnd:k.end])
}

// appendPort appends a port that is no default one.
func appendPort(dst, port []byte) []byte {
	if isDefaultPort(port) {
		return dst
	}
	return append(dst, port...)
}

func isDefaultPort(port []byte) bool { return string(port) == ":443" || string(port) == ":80" }

// gitLike reports whether a token is as git writes repositories, and TokenKey does not: a
// colon may take the place of the first slash, a segment may end in ".git" and the port may
// be that of ssh.
func gitLike(t []byte, k *token, limit int) bool {
	if k.hostEnd+1 < limit && t[k.hostEnd] == ':' && !isDefaultPort(t[k.port:k.portEnd]) {
		return true
	}
	for path := t[k.portEnd:k.end]; ; {
		i := bytes.IndexByte(path, '.')
		if i < 0 || i+len("git") >= len(path) {
			return false
		}
		if path = path[i+1:]; path[0]|0x20 == 'g' && path[1]|0x20 == 'i' && path[2]|0x20 == 't' {
			return true
		}
	}
}

// appendGitKey appends the key of a token that is like that.
func appendGitKey(dst, t []byte, k *token, limit int) []byte {
	path := t[k.portEnd:k.end]
	dst = appendLower(dst, t[k.start:k.hostEnd])
	switch port := t[k.port:k.portEnd]; {
	case string(port) == ":22" || isDefaultPort(port):
	case k.hostEnd+1 < limit && t[k.hostEnd] == ':' && !isPort(port, path):
		end := k.hostEnd + 1
		for end < limit && kinds[t[end]]&pathByte != 0 {
			end++
		}
		path = t[k.hostEnd+1 : end]
	default:
		dst = append(dst, port...)
	}
	head := len(dst)
	return trimGit(appendPath(dst, path), head)
}

// isPort reports whether digits behind a host are a port, with a path behind it.
func isPort(port, path []byte) bool { return len(port) > 0 && len(path) > 0 }

// trimGit drops the ".git" at the end of the segments behind an index.
func trimGit(key []byte, from int) []byte {
	out := key[:from]
	for i := from; i < len(key); {
		end := len(key)
		if n := bytes.IndexByte(key[i+1:], '/'); n >= 0 {
			end = i + 1 + n
		}
		segment := key[i:end] // with the slash before it
		if n := len(segment) - len(".git"); n > 1 && string(segment[n:]) == ".git" && segment[n-1] != '.' {
			segment = segment[:n]
		}
		out = append(out, segment...)
		i = end
	}
	return out
}

func appendLower(dst, s []byte) []byte {
	for _, c := range s {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// appendPath appends the segments of a path, each behind a slash, in lower case.
func appendPath(dst, path []byte) []byte {
	eachSegment(path, func(segment []byte) bool {
		dst = appendLower(append(dst, '/'), segment)
		return true
	})
	return dst
}

// eachSegment yields the segments of a path as Path keeps them, and without the dots at the
// end of the whole.
func eachSegment(path []byte, yield func([]byte) bool) {
	for len(path) > 0 && path[len(path)-1] == '.' {
		path = path[:len(path)-1]
	}
	for len(path) > 0 {
		segment := path
		if i := bytes.IndexByte(path, '/'); i >= 0 {
			segment, path = path[:i], path[i+1:]
		} else {
			path = nil
		}
		if len(segment) > 0 && string(segment) != "." && !yield(segment) {
			return
		}
	}
}

// hasProvider reports whether a host may be one of an object store that has a name of its
// own.
func hasProvider(host []byte) bool {
	return hasSuffixFold(host, awsDomain) || hasSuffixFold(host, gcsHost)
}

// hasSuffixFold reports whether host ends in a suffix that is in lower case.
func hasSuffixFold(host []byte, suffix string) bool {
	if len(host) < len(suffix) {
		return false
	}
	for i, c := range host[len(host)-len(suffix):] {
		if c|0x20 != suffix[i] {
			return false
		}
	}
	return true
}

// provided does to a host in lower case what providerHost does. plain tells that it did
// nothing, and that a port counts.
func provided(host []byte) (out []byte, plain bool) {
	n := len(host)
	switch {
	case !hasProvider(host):
		return host, true
	case string(host) == gcsHost:
		return append(host[:0], "gcs"...), false
	case n > len(gcsHost) && host[n-len(gcsHost)-1] == '.' && hasSuffixFold(host, gcsHost):
		return behind("gcs/", host[:n-len(gcsHost)-1]), false
	case !hasSuffixFold(host, awsDomain):
		return host, true
	case bytes.HasPrefix(host, []byte("s3.")) || bytes.HasPrefix(host, []byte("s3-")):
		return append(host[:0], "aws"...), false
	case bytes.Contains(host, []byte(".s3.")) || bytes.Contains(host, []byte(".s3-")):
		return behind("aws/", host[:bytes.Index(host, []byte(".s3"))]), false
	}
	return host, true
}

// behind moves a host behind a prefix, in place.
func behind(prefix string, host []byte) []byte {
	n := len(host)
	host = append(host, prefix...)
	copy(host[len(prefix):], host[:n])
	copy(host, prefix)
	return host
}
