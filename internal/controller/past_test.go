// SPDX-License-Identifier: Apache-2.0

package controller

import "testing"

func TestPast(t *testing.T) {
	p := &past{}
	for _, step := range []struct {
		version string
		want    bool
	}{{"100", false}, {"100", false}, {"", false}, {"x", false}, {"-1", false}, {"18446744073709551616", false}, {"250", false}, {"249", true}, {"99", true}, {"251", false}} {
		if got := p.back(step.version); got != step.want {
			t.Errorf("after %d, %q is of the past: %t", p.highest, step.version, got)
		}
	}
}
