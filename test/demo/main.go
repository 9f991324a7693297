// SPDX-License-Identifier: Apache-2.0

// Command demo shows Skott at work on real control planes: the Ops Cluster, Management
// Clusters in two datacenters with Cluster API's real core manager, a Workload Cluster under
// each, and the operator with the rights of config/default. It prints what the API servers
// answer, and ends with status 0 only if every answer was the expected one.
//
//	demo run   start, show, stop
//	demo up    start, show, leave running, print the kubeconfigs
//	demo down  stop what "up" left running
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/skott-dev/skott/test/testenv"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	command := "run"
	if len(os.Args) > 1 {
		command = os.Args[1]
	}
	dir := os.Getenv("SKOTT_DEMO_DIR")
	if dir == "" {
		dir = ".demo"
	}
	dir, err := filepath.Abs(dir)
	if err == nil {
		err = dispatch(ctx, command, dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func dispatch(ctx context.Context, command, dir string) error {
	switch command {
	case "run":
		return errors.Join(show(ctx, dir), os.RemoveAll(dir))
	case "up":
		return show(ctx, dir, testenv.Detached())
	case "down":
		if err := testenv.StopAll(dir); err != nil {
			return err
		}
		return os.RemoveAll(dir)
	}
	return fmt.Errorf("unknown command %q: run, up or down", command)
}

// show starts the platform and tells the story. Without options everything ends with it.
func show(ctx context.Context, dir string, options ...testenv.Option) (err error) {
	p, err := startPlatform(ctx, dir, options...)
	if p != nil && (err != nil || len(options) == 0) {
		defer func() { err = errors.Join(err, p.env.Stop()) }()
	}
	if err != nil {
		return err
	}
	if err := p.report(ctx); err != nil {
		return err
	}
	if err := p.tell(ctx); err != nil {
		return err
	}
	if len(options) > 0 {
		p.printKubeconfigs()
	}
	return nil
}
