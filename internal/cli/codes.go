// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/skott-dev/skott/docs"
	"github.com/skott-dev/skott/internal/policy"
)

// section is what docs/denials.md says of a code.
type section struct {
	way     string // "pulled"
	first   string // what is refused
	instead string
	whole   string
}

// sectionOf finds the section of a code; every code has one, as a test of the
// documentation holds.
func sectionOf(c policy.Code) section {
	var s section
	way := ""
	inside := false
	var body []string
	for line := range strings.Lines(docs.Denials) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "## ") {
			_, way, _ = strings.Cut(line, ": ")
		}
		if strings.HasPrefix(line, "## ") || strings.HasPrefix(line, "### ") {
			if inside {
				break
			}
			if inside = line == "### "+string(c); inside {
				s.way = way
			}
			continue
		}
		if inside {
			body = append(body, line)
		}
	}
	s.whole = strings.Trim(strings.Join(body, "\n"), "\n")
	s.first, _, _ = strings.Cut(s.whole, "\n\n")
	for _, line := range body {
		if instead, ok := strings.CutPrefix(line, "**Instead:** "); ok {
			s.instead = plain(instead)
		}
	}
	s.first = plain(s.first)
	return s
}

var linkRegexp = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)

// plain is Markdown without the marks that say nothing in a terminal.
func plain(s string) string {
	s = linkRegexp.ReplaceAllString(s, "$1")
	return strings.ReplaceAll(strings.ReplaceAll(s, "**", ""), "`", "")
}

var codeRegexp = regexp.MustCompile(`(?i)^(?:skott-)?d?([0-9]{3})$`)

// parseCode takes "SKOTT-D102", "d102" or "102".
func parseCode(s string) (policy.Code, error) {
	if m := codeRegexp.FindStringSubmatch(s); m != nil {
		if c := policy.Code("SKOTT-D" + m[1]); slices.Contains(policy.Codes(), c) {
			return c, nil
		}
	}
	return "", fmt.Errorf("%q is no code of a refusal, such as SKOTT-D102; without arguments this command lists them", s)
}

// explainCode prints the section of a code.
func explainCode(w io.Writer, c policy.Code) error {
	s := sectionOf(c)
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\n", c, s.way)
	code := false
	for line := range strings.SplitSeq(s.whole, "\n") {
		switch {
		case strings.HasPrefix(line, "```"):
			code = !code
		case code && len(line) > width && !strings.HasPrefix(line, " "):
			b.WriteString(wrap(line, "    "))
		case code:
			b.WriteString(strings.TrimRight("    "+line, " ") + "\n")
		case line == "":
			b.WriteByte('\n')
		default:
			b.WriteString(wrap(plain(line), ""))
		}
	}
	fmt.Fprintf(&b, "\nMore: %s\n", help(c))
	_, err := io.WriteString(w, b.String())
	return err
}

// listCodes prints what codes there are. Reserved ones are not among them.
func listCodes(w io.Writer) error {
	t := newGrid("CODE", "WAY", "REFUSED")
	for _, c := range policy.Codes() {
		s := sectionOf(c)
		if strings.HasPrefix(s.first, "Reserved.") {
			continue
		}
		sentence, _, _ := strings.Cut(s.first, ". ")
		t.rows = append(t.rows, []string{string(c), s.way, strings.TrimSuffix(sentence, ".")})
	}
	return t.print(w)
}
