// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

const (
	group     = "audit.k8s.io/v1"
	kindList  = "EventList"
	kindEvent = "Event"
)

// Decoded is what a text of audit events holds.
type Decoded struct {
	// Denials by Skott, canaries among them, in the order of the text.
	Denials []Denial
	// Events that were read, and Skipped what stood among them and was none.
	Events, Skipped int
}

// attempts are the denials that are no canaries.
func (d *Decoded) attempts() (n int) {
	for i := range d.Denials {
		if !d.Denials[i].Canary {
			n++
		}
	}
	return n
}

// Decode reads audit events: an EventList as the API server's audit webhook sends it, or
// Events one after another as it writes them into its log. One that cannot be read is
// counted and passed by, so that it hides no other. An error says that the text as a whole is
// something else, or ends early; what was read before is returned all the same.
func Decode(text []byte) (Decoded, error) {
	var out Decoded
	decoder := json.NewDecoder(bytes.NewReader(text))
	for {
		var raw json.RawMessage
		err := decoder.Decode(&raw)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, fmt.Errorf("cannot read audit events: %w", err)
		}
		if err := out.document(raw); err != nil {
			return out, err
		}
	}
}

// document reads an Event or an EventList.
func (d *Decoded) document(raw json.RawMessage) error {
	var head struct {
		Kind       string            `json:"kind"`
		APIVersion string            `json:"apiVersion"`
		Items      []json.RawMessage `json:"items"`
	}
	// A wrong type somewhere in an Event is the Event's matter.
	err := json.Unmarshal(raw, &head)
	switch {
	case head.APIVersion != group:
		return fmt.Errorf("cannot read audit events: apiVersion %.64q is not %q", head.APIVersion, group)
	case head.Kind == kindEvent:
		d.add(raw)
		return nil
	case head.Kind != kindList:
		return fmt.Errorf("cannot read audit events: kind %.64q is neither %q nor %q", head.Kind, kindEvent, kindList)
	case err != nil:
		return fmt.Errorf("cannot read audit events: %w", err)
	}
	for _, item := range head.Items {
		d.add(item)
	}
	return nil
}

// add reads one event. Fields of a wrong type are as if they were absent.
func (d *Decoded) add(raw json.RawMessage) {
	var e event
	if err := json.Unmarshal(raw, &e); err != nil {
		var wrong *json.UnmarshalTypeError
		if !errors.As(err, &wrong) || e.Stage == "" {
			d.Skipped++
			return
		}
	} else if e.Stage == "" { // null, or an object of something else
		d.Skipped++
		return
	}
	d.Events++
	if denial, ok := e.denial(); ok {
		d.Denials = append(d.Denials, denial)
	}
}

// Concerns reports, at little cost, whether a line of a log may hold a denial by Skott: most
// lines do not, and need not be decoded. Of one that does it may never say no.
func Concerns(line []byte) bool {
	return bytes.Contains(line, []byte(ownPolicy)) || bytes.Contains(line, []byte(ownWebhook))
}
