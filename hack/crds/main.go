// SPDX-License-Identifier: Apache-2.0

// Command crds writes the CRDs of the catalogue of movement kinds into a directory, one
// JSON file each, for the tests. It takes them from the Go modules in modules.yaml, which
// the module proxy serves, and keeps nothing else of these. What is there already, of the
// same version and edited alike, is not fetched again.
package main

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"sigs.k8s.io/yaml"

	"github.com/skott-dev/skott/hack/crds/module"
)

const (
	// batch is how many modules are on disk at the same time: all of them are some 3 GB.
	batch = 8
	// format changes when the same module would be written differently.
	format = "1"
	// indexFile says of which origin each CRD in the directory is.
	indexFile = "index"
)

//go:embed modules.yaml
var list []byte

// source is one entry of modules.yaml.
type source struct {
	Module  string `json:"module"`
	Version string `json:"version"`
	Sum     string `json:"sum"`
	// Annotations are added to each CRD.
	Annotations map[string]string `json:"annotations,omitempty"`
	// Cut is removed wherever it stands in a file: a template's action.
	Cut string `json:"cut,omitempty"`
	// CRDs are the names of those to take, by file.
	CRDs map[string][]string `json:"crds"`
}

func (s *source) module() module.Module {
	return module.Module{Path: s.Module, Version: s.Version, Sum: s.Sum}
}

// origin identifies what is taken from a file and how.
func (s *source) origin(file string) string {
	described, _ := json.Marshal([]any{format, s.Sum, file, s.Cut, s.Annotations}) // texts always marshal
	sum := sha256.Sum256(described)
	return s.module().String() + " " + hex.EncodeToString(sum[:8])
}

func main() {
	out := flag.String("o", "bin/crds", "directory to write to")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out string) error {
	sources, err := parse(list)
	if err != nil {
		return fmt.Errorf("cannot read modules.yaml: %w", err)
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	wanted := map[string]string{}
	for i := range sources {
		for file, names := range sources[i].CRDs {
			for _, name := range names {
				wanted[name] = sources[i].origin(file)
			}
		}
	}
	present, err := prune(out, wanted)
	if err != nil {
		return err
	}
	var missing []source
	for _, s := range sources {
		for file, names := range s.CRDs {
			if slices.ContainsFunc(names, func(name string) bool { return present[name] != s.origin(file) }) {
				missing = append(missing, s)
				break
			}
		}
	}
	done := 0
	for some := range slices.Chunk(missing, batch) {
		if err := fetch(ctx, out, some, present); err != nil {
			return err
		}
		done += len(some)
		fmt.Fprintf(os.Stderr, "CRDs of %d of %d modules\n", done, len(missing))
	}
	return nil
}

// parse reads the list. A CRD stands in it once.
func parse(content []byte) ([]source, error) {
	var sources []source
	if err := yaml.UnmarshalStrict(content, &sources); err != nil {
		return nil, err
	}
	seen := map[string]string{}
	for _, s := range sources {
		if s.Module == "" || s.Version == "" || !strings.HasPrefix(s.Sum, "h1:") || len(s.CRDs) == 0 {
			return nil, fmt.Errorf("module %q: module, version, sum and crds are required", s.Module)
		}
		for _, names := range s.CRDs {
			for _, name := range names {
				if other := seen[name]; other != "" {
					return nil, fmt.Errorf("CRD %q: both in %s and in %s", name, other, s.Module)
				}
				seen[name] = s.Module
			}
		}
	}
	return sources, nil
}

// prune removes what nobody wants from a directory, and returns the origins of what is left.
func prune(out string, wanted map[string]string) (map[string]string, error) {
	present := map[string]string{}
	content, err := os.ReadFile(filepath.Join(out, indexFile))
	if err == nil {
		err = json.Unmarshal(content, &present)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot read %s: %w: remove it", filepath.Join(out, indexFile), err)
	}
	files, err := filepath.Glob(filepath.Join(out, "*.json"))
	if err != nil {
		return nil, err
	}
	there := map[string]bool{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		if there[name] = wanted[name] != "" && wanted[name] == present[name]; !there[name] {
			if err := os.Remove(file); err != nil {
				return nil, err
			}
		}
	}
	maps.DeleteFunc(present, func(name, _ string) bool { return !there[name] })
	return present, nil
}

// fetch downloads modules, writes their CRDs and forgets the modules again: nothing else
// here needs them, and they are large. What the user's module cache holds is taken from
// there.
func fetch(ctx context.Context, out string, sources []source, present map[string]string) error {
	cache, err := os.MkdirTemp(out, ".modules-") // not in /tmp, which may be small
	if err != nil {
		return err
	}
	defer os.RemoveAll(cache)
	if cache, err = filepath.Abs(cache); err != nil {
		return err
	}
	proxies, err := proxies(ctx)
	if err != nil {
		return err
	}
	modules := make([]module.Module, len(sources))
	for i := range sources {
		modules[i] = sources[i].module()
	}
	dirs, err := module.Download(ctx, modules, "GOFLAGS=-mod=mod -modcacherw", "GOMODCACHE="+cache, "GOPROXY="+proxies)
	if err != nil {
		return err
	}
	for i := range sources {
		if err := sources[i].write(dirs[i], out, present); err != nil {
			return fmt.Errorf("cannot read the CRDs of %s: %w", modules[i], err)
		}
	}
	index, err := json.MarshalIndent(present, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, indexFile), index, 0o644)
}

// proxies are the user's own, after the user's own module cache.
func proxies(ctx context.Context) (string, error) {
	output, err := exec.CommandContext(ctx, "go", "env", "GOMODCACHE", "GOPROXY").Output()
	if err != nil {
		return "", fmt.Errorf("cannot read go env: %w", err)
	}
	cache, proxy, _ := strings.Cut(strings.TrimSpace(string(output)), "\n")
	return "file://" + filepath.ToSlash(filepath.Join(cache, "cache", "download")) + "," + proxy, nil
}
