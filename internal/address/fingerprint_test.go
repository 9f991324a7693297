// SPDX-License-Identifier: Apache-2.0

package address

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestFingerprint(t *testing.T) {
	if NewKey(nil) != nil || NewKey(make([]byte, KeyLength-1)) != nil {
		t.Error("a short key is one")
	}
	one, other := NewKey(bytes.Repeat([]byte{1}, KeyLength)), NewKey(bytes.Repeat([]byte{2}, KeyLength))
	a := one.Fingerprint("value")
	if a != one.Fingerprint("value") || a == one.Fingerprint("Value") || a == other.Fingerprint("value") {
		t.Error("a fingerprint is not of one value and one key")
	}
	if parsed, err := Parse(Credential, a.String()); err != nil || parsed != a {
		t.Errorf("Parse(%q) = %v, %v", a, parsed, err)
	}
	for _, format := range []string{"%v", "%s", "%+v", "%#v"} {
		if text := fmt.Sprintf(format, one); strings.Contains(text, "1") {
			t.Errorf("%s prints the key: %s", format, text)
		}
	}
	book := NewBook([]Entry{{Address: a, Place: "production", Production: true}})
	if m, ok := book.Owner(a.String(), ""); !ok || m.Place != "production" || !book.HoldsCredentials() {
		t.Errorf("the book does not know the fingerprint: %v", m)
	}
	if _, ok := book.Owner(one.Fingerprint("Value").String(), ""); ok || NewBook(nil).HoldsCredentials() {
		t.Error("the book knows another fingerprint")
	}
}
