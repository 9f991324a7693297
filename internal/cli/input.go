// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// stdinName is how standard input is called in what is printed.
const stdinName = "stdin"

// problem is something that could not be read, and where.
type problem struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`
	Message string `json:"message"`
}

func (p problem) Error() string {
	if p.Line == 0 {
		return p.File + ": " + p.Message
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Message)
}

// input is what the flags -f name. It is read twice, first for what objects say of each
// other, then object by object, so that it need not be held.
type input struct {
	sources  []source
	problems []problem
	// skipped are files of folders that hold no Kubernetes object.
	skipped []string
}

// source is one file.
type source struct {
	name string
	open func() (io.ReadCloser, error)
	// named: somebody gave this very file, so that it must hold objects.
	named bool
}

// newInput finds the files of names: files, folders, or "-" for stdin.
func newInput(names []string, stdin io.Reader) (*input, error) {
	in := &input{}
	seen := false
	for _, name := range names {
		switch {
		case name == "-" && seen:
			return nil, errors.New("-f -: standard input can be read once only")
		case name == "-":
			seen = true
			if err := in.buffer(stdinName, stdin); err != nil {
				return nil, err
			}
		case strings.HasPrefix(name, "http://"), strings.HasPrefix(name, "https://"):
			return nil, fmt.Errorf("-f %s: URLs are not read; download the file, or pipe it to -f -", name)
		default:
			if err := in.add(name); err != nil {
				return nil, err
			}
		}
	}
	return in, nil
}

// buffer holds what can be read once only.
func (in *input) buffer(name string, r io.Reader) error {
	content, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", name, err)
	}
	in.sources = append(in.sources, source{name: name, named: true, open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}})
	return nil
}

func (in *input) add(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return fmt.Errorf("-f: %w", err)
	}
	switch {
	case info.IsDir():
		return in.folder(name)
	case info.Mode().IsRegular():
		in.sources = append(in.sources, source{name: name, named: true, open: func() (io.ReadCloser, error) { return os.Open(name) }})
		return nil
	}
	file, err := os.Open(name) // a pipe, such as <(helm template .)
	if err != nil {
		return fmt.Errorf("-f: %w", err)
	}
	defer func() { _ = file.Close() }()
	return in.buffer(name, file)
}

// extensions of the files that a folder is searched for.
var extensions = []string{".yaml", ".yml", ".json"}

// folder adds the files below a folder, in the order of their names. Links are followed
// inside the folder only: what somebody puts into a repository must not make this command
// read, and print, what lies elsewhere.
func (in *input) folder(name string) error {
	root, err := os.OpenRoot(name)
	if err != nil {
		return fmt.Errorf("-f: %w", err)
	}
	defer func() { _ = root.Close() }()
	return fs.WalkDir(root.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		full := filepath.Join(name, filepath.FromSlash(path))
		if err != nil {
			in.problems = append(in.problems, problem{File: full, Message: reason(err)})
			return nil
		}
		if entry.IsDir() || !slices.Contains(extensions, strings.ToLower(filepath.Ext(path))) {
			return nil
		}
		info, err := root.Stat(path)
		switch {
		case err != nil && entry.Type()&fs.ModeSymlink != 0:
			in.problems = append(in.problems, problem{File: full, Message: "is a link that leads nowhere, or out of " + name + ", where it is not followed; name the file with -f"})
		case err != nil:
			in.problems = append(in.problems, problem{File: full, Message: reason(err)})
		case info.Mode().IsRegular():
			in.sources = append(in.sources, source{name: full, open: func() (io.ReadCloser, error) { return openIn(name, path) }})
		case !info.IsDir():
			in.problems = append(in.problems, problem{File: full, Message: "is no regular file"})
		}
		return nil
	})
}

// openIn opens a file without leaving its folder.
func openIn(folder, path string) (io.ReadCloser, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	return root.Open(path)
}

// reason is what went wrong, without the path that stands before it already.
func reason(err error) string {
	var of *fs.PathError
	if errors.As(err, &of) {
		return of.Err.Error()
	}
	return err.Error()
}

// read hands every document to visit. What cannot be opened is a problem of its own.
func (in *input) read(visit func(*source, *document), broken func(problem)) {
	for i := range in.sources {
		s := &in.sources[i]
		file, err := s.open()
		if err != nil {
			broken(problem{File: s.name, Message: reason(err)})
			continue
		}
		split := newSplitter(s.name, file)
		for {
			d, err := split.next()
			if err != nil {
				if !errors.Is(err, io.EOF) {
					broken(problem{File: s.name, Line: split.line, Message: reason(err)})
				}
				break
			}
			visit(s, d)
		}
		_ = file.Close()
	}
}

// splitter cuts a file into documents. A document keeps the line that separates it from the
// one before, so that the numbers of its lines count from there.
type splitter struct {
	file string
	r    *bufio.Reader
	line int    // lines read
	held []byte // a separator that begins the next document
}

func newSplitter(file string, r io.Reader) *splitter {
	return &splitter{file: file, r: bufio.NewReaderSize(r, 64<<10)}
}

// next is the next document, or io.EOF.
func (s *splitter) next() (*document, error) {
	d := &document{file: s.file, line: s.line + 1}
	if s.held != nil {
		d.raw, d.line, s.held = s.held, s.line, nil
	}
	for {
		line, err := s.r.ReadBytes('\n')
		if len(line) > 0 {
			s.line++
			if separates(line) {
				if line[0] == '.' { // nothing may begin with the end of something
					line = []byte{'\n'}
				}
				if len(d.raw) > 0 {
					s.held = line
					return d, nil
				}
			}
			d.raw = append(d.raw, line...)
		}
		if err != nil {
			if errors.Is(err, io.EOF) && len(d.raw) > 0 {
				return d, nil
			}
			return nil, err
		}
	}
}

// separates reports whether a document begins at a line. Like kubectl this takes every line
// that starts so, whatever stands behind: what it held together would be read as one object
// of which the last part counts. Bare documents after an end marker count too, which kubectl
// drops and other tools read.
func separates(line []byte) bool {
	if bytes.HasPrefix(line, []byte("---")) {
		return true
	}
	rest, ended := bytes.CutPrefix(line, []byte("..."))
	return ended && (len(bytes.TrimSpace(rest)) == 0 || rest[0] == ' ' || rest[0] == '\t')
}
