// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

// Sender sends those events of a log that are denials by Skott to a Receiver.
type Sender struct {
	// URL of the receiver, with the path of the cluster.
	URL string
	// TokenFile holds the bearer token. It is read for every request, so that it can change.
	TokenFile string
	Client    *http.Client
}

// Send sends what of some lines is a denial. An error means that it has to be sent again.
func (s *Sender) Send(ctx context.Context, lines [][]byte) error {
	body := Select(lines)
	if len(body) == 0 {
		return nil
	}
	token, err := os.ReadFile(s.TokenFile)
	if err != nil {
		return fmt.Errorf("cannot read the token: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("cannot send audit events: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	response, err := s.Client.Do(request)
	if err != nil {
		return fmt.Errorf("cannot send audit events: %w", err)
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 4096)) // so that the connection is used again
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("cannot send audit events: the receiver answers %s", response.Status)
	}
	return nil
}

// Select returns the events among some lines that are denials by Skott, one in a line,
// without annotations and the objects that a log of a higher level than Metadata holds.
func Select(lines [][]byte) []byte {
	var out bytes.Buffer
	for _, line := range lines {
		if !Concerns(line) {
			continue
		}
		if d, err := Decode(line); err != nil || len(d.Denials) == 0 {
			continue
		}
		var event map[string]json.RawMessage
		if err := json.Unmarshal(line, &event); err != nil {
			continue // a list, which no log holds
		}
		for _, large := range []string{"requestObject", "responseObject", "annotations"} {
			delete(event, large) // nothing of a denial is read there
		}
		content, err := json.Marshal(event)
		if err != nil {
			continue // it was decoded from JSON, so it is some
		}
		out.Write(append(content, '\n'))
	}
	return out.Bytes()
}
