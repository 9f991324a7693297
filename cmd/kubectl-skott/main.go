// SPDX-License-Identifier: Apache-2.0

// Command kubectl-skott is the kubectl plugin of Skott: "kubectl skott" runs it when it
// stands in the PATH.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/skott-dev/skott/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Run(ctx, os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	stop()
	os.Exit(code)
}
