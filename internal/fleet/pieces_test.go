// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// A large body arrives whole, in frames that are small, also when it has to be sent twice.
func TestInPieces(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	var got []byte
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got, _ = io.ReadAll(r.Body)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	largest := 0
	base := &measured{base: server.Client().Transport, largest: &largest}
	for _, size := range []int{0, 1, piece, piece + 1, len(content)} {
		request, err := http.NewRequest(http.MethodPut, server.URL, bytes.NewReader(content[:size]))
		if err != nil {
			t.Fatal(err)
		}
		response, err := inPieces{base}.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.ProtoMajor != 2 {
			t.Fatalf("protocol %s", response.Proto)
		}
		if !bytes.Equal(got, content[:size]) {
			t.Errorf("%d bytes arrived of %d, or others", len(got), size)
		}
	}
	if largest > piece {
		t.Errorf("a piece of %d bytes was read", largest)
	}
}

// measured reads the body once before it is sent, as far as it goes at a time.
type measured struct {
	base    http.RoundTripper
	largest *int
}

func (m *measured) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.GetBody != nil {
		body, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		buffer := make([]byte, 512<<10)
		for {
			n, err := body.Read(buffer)
			*m.largest = max(*m.largest, n)
			if err != nil {
				break
			}
		}
	}
	return m.base.RoundTrip(r)
}
