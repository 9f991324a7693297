// SPDX-License-Identifier: Apache-2.0

package main

import "testing"

// TestStory is "make demo": the demo is a promise to the reader, so it is kept by a test.
func TestStory(t *testing.T) {
	if err := show(t.Context(), t.TempDir()); err != nil {
		t.Fatal(err)
	}
}
