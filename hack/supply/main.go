// SPDX-License-Identifier: Apache-2.0

// Command supply says what the programs of the project are made of. "licences" lists the
// licence of every module that is linked into them and fails where one is not allowed;
// "sbom" writes a CycloneDX document beside each of the programs it is given.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

func main() {
	out := flag.String("o", "dist", "directory that sbom writes to")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out string, args []string) error {
	modules, err := linked(ctx, "./cmd/...")
	if err != nil {
		return err
	}
	switch {
	case len(args) == 1 && args[0] == "licences":
		for _, m := range modules {
			fmt.Printf("%-70s %s\n", m.path+" "+m.version, strings.Join(m.licences, ", "))
		}
		return problems(modules)
	case len(args) > 1 && args[0] == "sbom":
		if err := problems(modules); err != nil {
			return err
		}
		for _, program := range args[1:] {
			if err := writeSBOM(program, out, modules); err != nil {
				return fmt.Errorf("cannot describe %s: %w", program, err)
			}
		}
		return nil
	}
	return errors.New("usage: supply [-o DIR] licences | sbom PROGRAM [PROGRAM ...]")
}

// linkedModule is a module of which packages are linked in.
type linkedModule struct {
	path, version string
	licences      []string
	// unknown are the files that hold no licence that is allowed, with the reason.
	unknown []string
}

// problems are the modules whose licence is missing, unknown or not allowed.
func problems(modules []*linkedModule) error {
	var errs []error
	for _, m := range modules {
		if len(m.licences) == 0 && len(m.unknown) == 0 {
			errs = append(errs, fmt.Errorf("%s %s has no licence file", m.path, m.version))
		}
		for _, u := range m.unknown {
			errs = append(errs, fmt.Errorf("%s %s: %s", m.path, m.version, u))
		}
	}
	return errors.Join(errs...)
}

// linked finds the modules, other than the project's own, that packages depend on, and reads
// the licence files beside every package and above it: a module may hold code of others.
func linked(ctx context.Context, patterns ...string) ([]*linkedModule, error) {
	list := exec.CommandContext(ctx, "go", append([]string{"list", "-deps", "-json=Dir,Module"}, patterns...)...)
	list.Stderr = os.Stderr
	output, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("cannot list packages: %w", err)
	}
	type listed struct {
		Dir    string
		Module *struct {
			Path, Version, Dir string
			Main               bool
		}
	}
	modules, seen := map[string]*linkedModule{}, map[string]bool{}
	for decoder := json.NewDecoder(strings.NewReader(string(output))); decoder.More(); {
		var p listed
		if err := decoder.Decode(&p); err != nil {
			return nil, fmt.Errorf("cannot read the list of packages: %w", err)
		}
		if p.Module == nil || p.Module.Main {
			continue
		}
		m := modules[p.Module.Path]
		if m == nil {
			m = &linkedModule{path: p.Module.Path, version: p.Module.Version}
			modules[m.path] = m
		}
		for dir := p.Dir; strings.HasPrefix(dir, p.Module.Dir) && !seen[dir]; dir = filepath.Dir(dir) {
			seen[dir] = true
			if err := m.read(p.Module.Dir, dir); err != nil {
				return nil, err
			}
		}
	}
	out := make([]*linkedModule, 0, len(modules))
	for _, m := range modules {
		slices.Sort(m.licences)
		m.licences = slices.Compact(m.licences)
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b *linkedModule) int { return cmp.Compare(a.path, b.path) })
	return out, nil
}

// read adds the licences of the files in one directory of a module.
func (m *linkedModule) read(root, dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot look for licences: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() || !isLicenceFile(e.Name()) {
			continue
		}
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return fmt.Errorf("cannot read a licence: %w", err)
		}
		found, err := classify(string(content))
		if err != nil {
			name, _ := filepath.Rel(root, filepath.Join(dir, e.Name())) // it is below root
			m.unknown = append(m.unknown, name+": "+err.Error())
		}
		m.licences = append(m.licences, found...)
	}
	return nil
}
