// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// numbered is a denial of its own.
func numbered(n int) Denial {
	return want(func(d *Denial) { d.AuditID = strconv.Itoa(n) })
}

// There are two files at most, lines are whole, and a restart goes on where it was.
func TestRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "decisions.jsonl")
	for from := range 2 {
		r, err := OpenRecord(path, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			if _, err := r.Append([]Denial{numbered(10*from + i)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) != 2 {
		t.Fatalf("files %q: %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) == 0 || len(text) > 1000 || text[len(text)-1] != '\n' {
			t.Errorf("%s has %d bytes", file, len(text))
		}
	}
}

// What was recorded is not recorded again, after a restart neither; a request that differs is,
// if it was given the same Audit-ID too.
func TestRecordOnce(t *testing.T) {
	later := want(func(d *Denial) { d.Time = "2026-01-02T03:04:05.000001Z" })
	for name, path := range map[string]string{"File": filepath.Join(t.TempDir(), "decisions.jsonl"), "NoFile": ""} {
		t.Run(name, func(t *testing.T) {
			r, err := OpenRecord(path, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			for i, step := range []struct {
				restart   bool
				add, want []Denial
			}{
				{false, []Denial{want(nil), want(nil)}, []Denial{want(nil)}},
				{false, []Denial{want(nil), later}, []Denial{later}},
				{true, []Denial{later, numbered(1), want(nil)}, []Denial{numbered(1)}},
			} {
				if step.restart && path != "" {
					if err := errors.Join(r.Close(), appendTo(path, `{"half":`)); err != nil {
						t.Fatal(err)
					}
					if r, err = OpenRecord(path, 1<<20); err != nil {
						t.Fatal(err)
					}
				}
				got, err := r.Append(step.add)
				if diff := cmp.Diff(step.want, got); err != nil || diff != "" {
					t.Errorf("step %d: %v (-want +got):\n%s", i, err, diff)
				}
			}
			if path == "" {
				return
			}
			text, err := os.ReadFile(path)
			if n := strings.Count(string(text), "\n"); err != nil || n != 3 || strings.Contains(string(text), "half") {
				t.Errorf("%d lines: %v\n%s", n, err, text)
			}
		})
	}
}

func appendTo(path, text string) error {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}

// What cannot be written is not remembered as if it were.
func TestRecordFull(t *testing.T) {
	r, err := OpenRecord(filepath.Join(t.TempDir(), "decisions.jsonl"), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	file := r.file
	r.file = os.NewFile(^uintptr(0), "none")
	if _, err := r.Append([]Denial{want(nil)}); err == nil {
		t.Error("no error")
	}
	r.file = file
	if got, err := r.Append([]Denial{want(nil)}); err != nil || len(got) != 1 {
		t.Errorf("%d recorded when it is sent again: %v", len(got), err)
	}
}
