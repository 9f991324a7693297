// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"io"
	"net/http"
)

// piece is how much of a request's body is sent at once. A connection of HTTP/2 keeps a
// buffer as large as the largest piece that was ever sent on it, half a megabyte after a
// Guard in one, for as long as it lives; and there is a connection for every cluster.
const piece = 32 << 10

// inPieces sends the bodies of requests in small pieces.
type inPieces struct{ base http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t inPieces) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength >= 0 && r.ContentLength <= piece {
		return t.base.RoundTrip(r)
	}
	out := *r
	out.Body = pieces{r.Body}
	if again := r.GetBody; again != nil {
		out.GetBody = func() (io.ReadCloser, error) {
			body, err := again()
			return pieces{body}, err
		}
	}
	return t.base.RoundTrip(&out)
}

// WrappedRoundTripper lets client-go find what is below.
func (t inPieces) WrappedRoundTripper() http.RoundTripper { return t.base }

type pieces struct{ io.ReadCloser }

// Read reads at most a piece.
func (p pieces) Read(b []byte) (int, error) {
	if len(b) > piece {
		b = b[:piece]
	}
	return p.ReadCloser.Read(b)
}
