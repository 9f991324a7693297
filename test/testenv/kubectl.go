package testenv

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Kubectl runs the real kubectl against a server as its administrator, and returns what it printed on both streams.
// What it prints is what a user reads, so the error repeats it.
func (e *Env) Kubectl(ctx context.Context, server *Server, args ...string) (string, error) {
	return e.KubectlInput(ctx, server, "", args...)
}

// KubectlInput is Kubectl with text on standard input, for "apply -f -".
func (e *Env) KubectlInput(ctx context.Context, server *Server, stdin string, args ...string) (string, error) {
	args = append([]string{"--kubeconfig=" + server.KubeconfigFile()}, args...)
	cmd := exec.CommandContext(ctx, e.Binaries.Kubectl, args...)
	// HOME moves kubectl's discovery cache, which would outlive the server, into the server's directory.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + server.dir}
	cmd.Stdin = strings.NewReader(stdin)
	output, err := cmd.CombinedOutput()
	if err != nil {
		return string(output), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args[1:], " "), err, output)
	}
	return string(output), nil
}
