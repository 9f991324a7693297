// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// licence is one that may be linked into the programs: its SPDX identifier, and sentences
// of its text of which all must be there, in their order.
type licence struct {
	id        string
	sentences []string
}

const (
	bsdHead       = "redistribution and use in source and binary forms, with or without modification, are permitted provided that the following conditions are met:"
	noEndorsement = "may be used to endorse or promote products derived from this software without specific prior written permission."
	bsdTail       = "even if advised of the possibility of such damage."
)

// allowed are the licences that ask for no more than to be named.
var allowed = []licence{
	{"Apache-2.0", []string{
		"apache license version 2.0, january 2004", "terms and conditions for use, reproduction, and distribution", "2. grant of copyright license.",
		"3. grant of patent license.", "4. redistribution.", "7. disclaimer of warranty.", "9. accepting warranty or additional liability.",
	}},
	{"BSD-3-Clause", []string{
		bsdHead, "redistributions of source code must retain the above copyright notice", "redistributions in binary form must reproduce the above copyright notice",
		noEndorsement, bsdTail,
	}},
	{"BSD-2-Clause", []string{
		bsdHead, "redistributions of source code must retain the above copyright notice", "redistributions in binary form must reproduce the above copyright notice", bsdTail,
	}},
	{"MIT", []string{
		"permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files",
		"to deal in the software without restriction", "the above copyright notice and this permission notice shall be included in all copies or substantial portions of the software.",
		`the software is provided "as is", without warranty of any kind`,
	}},
	{"ISC", []string{
		"permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted, provided that the above copyright notice and this permission notice appear in all copies.",
		`the software is provided "as is" and the author disclaims all warranties`,
	}},
}

// foreign are words of licences that are not allowed, and of riders to those that are. A
// file that has one is looked at by a person, whatever else is in it.
var foreign = regexp.MustCompile(`\b(gnu|gpl|lgpl|agpl|copyleft|mozilla|mpl|eclipse public|epl|cddl|server side public|sspl|business source|elastic license|commons clause|` +
	`non-?commercial|creative commons|cc-by|european union public|eupl|common public|source code must be made available|must be released under)\b`)

// bothWays is what the words "GNU" and the like may stand in without meaning anything.
var bothWays = strings.NewReplacer("derivative works shall not include works that remain separable", "")

// isLicenceFile tells files with a licence from others by their name.
func isLicenceFile(name string) bool {
	base, _, _ := strings.Cut(strings.ToLower(name), ".")
	base, _, _ = strings.Cut(base, "-")
	switch base {
	case "license", "licence", "copying", "unlicense":
		return !strings.HasSuffix(name, ".go")
	}
	return false
}

var (
	space  = regexp.MustCompile(`[\s/#*]+`)
	quotes = strings.NewReplacer("“", `"`, "”", `"`, "''", `"`, "``", `"`)
)

// classify finds the licences that a file holds. It fails where none is whole, and where a
// word says that there is another one.
func classify(text string) ([]string, error) {
	text = bothWays.Replace(space.ReplaceAllString(quotes.Replace(strings.ToLower(text)), " "))
	if word := foreign.FindString(text); word != "" {
		return nil, fmt.Errorf("speaks of %q: a person has to decide", word)
	}
	var out []string
	for _, l := range allowed {
		if l.id == "BSD-2-Clause" && strings.Count(text, bsdHead) <= strings.Count(text, noEndorsement) {
			continue // each was a licence of three clauses
		}
		if l.in(text) {
			out = append(out, l.id)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("is no licence that is allowed")
	}
	return out, nil
}

// in reports whether all sentences are in the text, one after the other.
func (l *licence) in(text string) bool {
	for _, s := range l.sentences {
		_, after, found := strings.Cut(text, space.ReplaceAllString(s, " "))
		if !found {
			return false
		}
		text = after
	}
	return true
}
