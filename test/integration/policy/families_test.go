// SPDX-License-Identifier: Apache-2.0

package policy_test

import "github.com/skott-dev/skott/test/corpus"

// families are the policies that the suite's clusters hold.
var families = corpus.Families()
