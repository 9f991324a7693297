// SPDX-License-Identifier: Apache-2.0

// Package module downloads Go modules for what stands in them beside Go code. Reading the
// CRDs of a project there keeps them exactly as published, and keeps copies of other
// people's files out of this repository.
package module

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// Module names one version of a module and its content.
type Module struct {
	// Path and Version name the module for the module proxy.
	Path, Version string
	// Sum is the expected h1 hash of the module's content.
	Sum string
}

// String is the module as the go command writes it.
func (m Module) String() string { return m.Path + "@" + m.Version }

// Download downloads modules, unless the module cache has them, and returns the directory of
// each, after comparing its hash. Variables such as GOMODCACHE=... are added to the
// environment of the go command.
func Download(ctx context.Context, modules []Module, variables ...string) ([]string, error) {
	outside, err := os.MkdirTemp("", "skott-modules-")
	if err != nil {
		return nil, fmt.Errorf("cannot download modules: %w", err)
	}
	defer os.RemoveAll(outside) // empty
	args := []string{"mod", "download", "-json"}
	for _, m := range modules {
		args = append(args, m.String())
	}
	// Outside any module and workspace, so that neither our go.mod nor a vendor flag has a say.
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = outside
	cmd.Env = append(append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off"), variables...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, runErr := cmd.Output() // an error of one module is in its JSON
	dirs, err := read(stdout, modules)
	if err == nil && (runErr != nil || len(dirs) != len(modules)) {
		err = fmt.Errorf("cannot download modules: %w: %s", runErr, stderr.Bytes())
	}
	if err != nil {
		return nil, err
	}
	return dirs, nil
}

// read reads what the go command says of each module, in their order.
func read(output []byte, modules []Module) ([]string, error) {
	var dirs []string
	var problems []error
	decoder := json.NewDecoder(bytes.NewReader(output))
	for i := 0; ; i++ {
		var got struct{ Path, Version, Error, Dir, Sum string }
		if err := decoder.Decode(&got); errors.Is(err, io.EOF) {
			return dirs, errors.Join(problems...)
		} else if err != nil {
			return nil, fmt.Errorf("cannot download modules: %w", err)
		}
		if i == len(modules) {
			return nil, fmt.Errorf("cannot download modules: nobody asked for %s@%s", got.Path, got.Version)
		}
		want := modules[i]
		switch {
		case got.Error != "":
			problems = append(problems, fmt.Errorf("cannot download %s: %s", want, got.Error))
		case got.Path != want.Path || got.Version != want.Version:
			return nil, fmt.Errorf("cannot download %s: got %s@%s", want, got.Path, got.Version)
		case got.Sum != want.Sum:
			problems = append(problems, fmt.Errorf("cannot use %s: its hash is %s, not %s", want, got.Sum, want.Sum))
		}
		dirs = append(dirs, got.Dir)
	}
}
