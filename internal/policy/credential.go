// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"github.com/skott-dev/skott/internal/address"
	"github.com/skott-dev/skott/internal/flow"
)

// credentials judges the values of a Secret by their fingerprints. Of a Secret that another
// object names nothing is judged: to refuse the pods of a Secret that was there before would
// stop what runs, and the Secret itself is reported.
func (r *reading) credentials(secret map[string]any) {
	if r.e.fingerprints == nil || r.e.policies || r.via != nil || r.scattered != nil || !r.e.book.HoldsCredentials() {
		return
	}
	paths := map[string]bool{}
	for _, c := range flow.CredentialCandidates(secret) {
		m := mention{key: r.e.fingerprints.Fingerprint(c.Value).String(), typ: address.Credential, direction: flow.From}
		v, crosses := r.e.crosses(m, r.here, r.there)
		if !crosses || paths[c.Path] {
			continue
		}
		paths[c.Path] = true
		// Neither the value nor its fingerprint is shown: the path is all that helps.
		v.Path, v.Address, v.phrase = r.outer+c.Path, "", "holds a credential"
		r.exact = append(r.exact, v)
	}
}
