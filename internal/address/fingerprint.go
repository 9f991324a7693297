// SPDX-License-Identifier: Apache-2.0

package address

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
)

// KeyLength is that of a Key, in bytes.
const KeyLength = 32

// Key makes fingerprints of credentials. Without it nobody can tell from a fingerprint what it
// is of; with it one can only try guesses.
type Key struct{ bytes []byte }

// NewKey takes random bytes for a key, KeyLength of them; with any other number there is none.
func NewKey(random []byte) *Key {
	if len(random) != KeyLength {
		return nil
	}
	return &Key{bytes: append([]byte(nil), random...)}
}

// credentialScheme begins the canonical text of every Credential.
const credentialScheme = "hmac-sha256"

// Fingerprint is the address of a credential. The value cannot be told from it.
func (k *Key) Fingerprint(value string) Address {
	mac := hmac.New(sha256.New, k.bytes)
	_, _ = mac.Write([]byte(value)) // a hash never fails
	return Address{kind: Credential, text: credentialScheme + ":" + hex.EncodeToString(mac.Sum(nil))}
}

// String keeps the bytes out of whatever prints a Key.
func (*Key) String() string { return "(key)" }

// GoString implements fmt.GoStringer.
func (*Key) GoString() string { return "(key)" }

// HoldsCredentials reports whether the book has any fingerprint at all.
func (b *Book) HoldsCredentials() bool {
	_, ok := b.Hosts[credentialScheme]
	return ok
}
