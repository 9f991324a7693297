// SPDX-License-Identifier: Apache-2.0

package policy

// Codes of the rules that have no address, in the order in which they are tried.
func RuleCodes() []Code {
	out := make([]Code, len(rules))
	for i := range rules {
		out[i] = rules[i].code
	}
	return out
}

// WithoutRule takes a rule away while do runs.
func WithoutRule(i int, do func()) {
	refuses := rules[i].refuses
	rules[i].refuses = func(*Evaluator, *Request) bool { return false }
	defer func() { rules[i].refuses = refuses }()
	do()
}
