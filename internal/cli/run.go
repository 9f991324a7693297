// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// Exit codes, as those of kubectl diff.
const (
	// exitClean: nothing was found, or there was nothing to find.
	exitClean = 0
	// exitCrossings: at least one object crosses a boundary.
	exitCrossings = 1
	// exitError: something could not be read or decided, whatever else was found.
	exitError = 2
)

// errCrossings ends a command that worked, and found something.
var errCrossings = errors.New("crossings found")

// errReported ends a command whose errors have been printed already.
var errReported = errors.New("errors were reported")

// Streams are where a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Run runs one command line, without the name of the program, and returns its exit code.
func Run(ctx context.Context, args []string, streams Streams) int {
	root := newRoot(streams)
	root.SetArgs(args)
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.Err)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitClean
	case errors.Is(err, errCrossings):
		return exitCrossings
	case !errors.Is(err, errReported):
		_, _ = fmt.Fprintln(streams.Err, "error: "+err.Error())
	}
	return exitError
}

func newRoot(streams Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "kubectl-skott",
		Short: "Ask what Skott would refuse, and why",
		Long: `Ask what Skott would refuse, and why.

The answers are those of the API servers that Skott guards: the same decision, the same
code, the same words. They come from the hub (the cluster of the kubeconfig context), from
a snapshot that "kubectl skott export" wrote, or from the Guards of a cluster.`,
		Example: `  # Would these manifests be refused in a staging cluster?
  kubectl skott check -f deploy/ --environment staging

  # The same in a pull request, without any cluster
  kubectl skott export > snapshot.yaml
  kustomize build overlays/staging | kubectl skott check -f - --snapshot snapshot.yaml --environment staging

  # What does a refusal mean?
  kubectl skott explain SKOTT-D102`,
		Annotations:       map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl skott"},
		Version:           version(),
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		Args:              cobra.NoArgs,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError(cmd, err) })
	cmd.AddCommand(newCheck(streams), newExplain(streams), newExport(streams), newAddresses(streams), newCoverage(streams))
	for _, c := range cmd.Commands() {
		validate := c.Args
		c.Args = func(cmd *cobra.Command, args []string) error { return usageError(cmd, validate(cmd, args)) }
	}
	return cmd
}

// usageError says where to read how a command is used, as kubectl does.
func usageError(cmd *cobra.Command, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w\nSee '%s --help' for usage", err, cmd.CommandPath())
}

// version is what the module was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}

// oneOf is an error unless value is one of those allowed.
func oneOf(flag, value string, allowed ...string) error {
	for _, a := range allowed {
		if value == a {
			return nil
		}
	}
	return fmt.Errorf("--%s %q: must be one of %s", flag, value, strings.Join(allowed, ", "))
}
