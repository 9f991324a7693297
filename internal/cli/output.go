// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf8"

	"sigs.k8s.io/yaml"
)

// width of lines for people, where they can be broken.
const width = 100

// maxCell is how many characters of a value stand in a table; its middle goes first, since
// ends of paths tell things apart.
const maxCell = 60

// printJSON writes indented JSON in which what people wrote stays readable.
func printJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// printAs writes JSON or YAML.
func printAs(format string, w io.Writer, v any) error {
	if format == "json" {
		return printJSON(w, v)
	}
	raw, err := yaml.Marshal(v)
	if err != nil {
		return fmt.Errorf("cannot write YAML: %w", err)
	}
	_, err = w.Write(raw)
	return err
}

// grid is a table for people.
type grid struct {
	header []string
	rows   [][]string
}

func newGrid(header ...string) *grid { return &grid{header: header} }

// row adds a row. Empty cells are shown as such.
func (g *grid) row(cells ...string) {
	for i, c := range cells {
		cells[i] = cell(c)
	}
	g.rows = append(g.rows, cells)
}

func cell(s string) string {
	if s == "" {
		return "-"
	}
	s = printable(s)
	if n := utf8.RuneCountInString(s); n > maxCell {
		r := []rune(s)
		s = string(r[:maxCell/2-1]) + "..." + string(r[n-maxCell/2+2:])
	}
	return s
}

// printable keeps what a file holds from steering a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}

func (g *grid) print(w io.Writer) error {
	out := tabwriter.NewWriter(&trimmer{w: w}, 0, 8, 3, ' ', 0)
	for _, row := range append([][]string{g.header}, g.rows...) {
		if _, err := fmt.Fprintln(out, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return out.Flush()
}

// trimmer drops blanks at the ends of lines.
type trimmer struct {
	w    io.Writer
	held []byte
}

// Write holds blanks until something follows them.
func (t *trimmer) Write(p []byte) (int, error) {
	var out []byte
	for _, b := range p {
		switch b {
		case ' ':
			t.held = append(t.held, b)
			continue
		case '\n':
			t.held = t.held[:0]
		default:
			out = append(out, t.held...)
			t.held = t.held[:0]
		}
		out = append(out, b)
	}
	if _, err := t.w.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// wrap breaks a text at blanks into lines of the usual width, each indented. A word that is
// longer, such as a URL, is left whole.
func wrap(s, indent string) string {
	var b strings.Builder
	n := 0
	for word := range strings.FieldsSeq(printable(s)) {
		size := utf8.RuneCountInString(word)
		switch {
		case n == 0:
			b.WriteString(indent)
			n = len(indent)
		case n+1+size > width:
			b.WriteString("\n" + indent)
			n = len(indent)
		default:
			b.WriteByte(' ')
			n++
		}
		b.WriteString(word)
		n += size
	}
	if n > 0 {
		b.WriteByte('\n')
	}
	return b.String()
}
