// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/skott-dev/skott/internal/flow"
)

// counts are the expressions that count the elements a policy walks in an object.
func counts(k *flow.Kind) []string {
	var out []string
	for i := range k.Fields {
		if n := countOf(&k.Fields[i]); n != "" && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// lengths are those that count the characters of lists and maps, without free text. Other
// fields hold one text each.
func lengths(k *flow.Kind) []string {
	var out []string
	for i := range k.Fields {
		if f := &k.Fields[i]; isExact(f) && walks(f.Steps()) >= 0 {
			out = append(out, lengthOf(k, f))
		}
	}
	return out
}

// maxSum is the length of a sum that stands in the expression that asks for it.
const maxSum = 2 << 10

// atMost is true when the terms together come to no more than most. Where they are many, they
// stand in variables of their own.
func (c *compiler) atMost(name string, terms []string, most int) string {
	if len(terms) == 0 {
		return "true"
	}
	if sum := strings.Join(terms, " + "); len(sum) <= maxSum {
		return sum + " <= " + strconv.Itoa(most)
	}
	var parts []string
	for len(terms) > 0 {
		n, size := 1, len(terms[0])
		for n < len(terms) && size+len(terms[n]) <= maxSum {
			size += len(terms[n])
			n++
		}
		part := fmt.Sprintf("%s_%d", name, len(parts))
		c.add(part, strings.Join(terms[:n], " + "))
		parts, terms = append(parts, "variables."+part), terms[n:]
	}
	return strings.Join(parts, " + ") + " <= " + strconv.Itoa(most)
}
