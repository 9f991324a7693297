// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Guard is the guard webhook of one API server, run as a process beside it.
type Guard struct {
	process *process
	// Port of the webhook, on loopback.
	Port  int
	ports [2]int // metrics, probes
}

// FreePort is a port on loopback that nobody listens on and that was not given out before.
func FreePort() (int, error) { return freePort() }

// NewGuard builds the manager from the working tree and prepares to run it as the webhook of
// a cluster, with a kubeconfig of its account there. name tells processes apart.
func (e *Env) NewGuard(ctx context.Context, name string, kubeconfig []byte, port int, flags ...string) (*Guard, error) {
	binary, err := e.buildManager(ctx)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(e.dir, name+".kubeconfig")
	if err := os.WriteFile(file, kubeconfig, 0o600); err != nil {
		return nil, err
	}
	g := &Guard{Port: port}
	for i := range g.ports {
		if g.ports[i], err = freePort(); err != nil {
			return nil, err
		}
	}
	g.process = e.newProcess(name, binary, append([]string{
		"guard", "--kubeconfig=" + file,
		fmt.Sprintf("--bind-address=%s:%d", loopback, port),
		fmt.Sprintf("--metrics-bind-address=%s:%d", loopback, g.ports[0]),
		fmt.Sprintf("--health-probe-bind-address=%s:%d", loopback, g.ports[1]),
	}, flags...)...)
	e.mu.Lock()
	e.guards = append(e.guards, g)
	e.mu.Unlock()
	return g, nil
}

// Start runs a stopped webhook, and waits until it is ready.
func (g *Guard) Start(ctx context.Context) error { return g.process.startReady(ctx, g.Ready) }

// Begin runs a stopped webhook and does not wait.
func (g *Guard) Begin() error { return g.process.start() }

// Ready is nil when the webhook says that it is.
func (g *Guard) Ready(ctx context.Context) error {
	return healthy(ctx, http.DefaultClient, fmt.Sprintf("http://%s:%d/readyz", loopback, g.ports[1]))
}

// Stop kills the webhook, as a crash would.
func (g *Guard) Stop() error { return g.process.stop() }

// End asks the webhook to end, as a kubelet does, and waits until it has.
func (g *Guard) End(within time.Duration) error {
	if err := g.process.signal(syscall.SIGTERM); err != nil {
		return err
	}
	for ends := time.Now().Add(within); g.process.pid() != 0; time.Sleep(pollInterval) {
		if time.Now().After(ends) {
			return fmt.Errorf("%s did not end in %s", g.process.name, within)
		}
	}
	return g.process.stop()
}

// MetricsURL is where the webhook serves its metrics.
func (g *Guard) MetricsURL() string { return fmt.Sprintf("http://%s:%d/metrics", loopback, g.ports[0]) }

// PID is the process number, or 0 when the webhook is stopped.
func (g *Guard) PID() int { return g.process.pid() }

// LogFile holds everything that the webhook printed.
func (g *Guard) LogFile() string { return g.process.logFile }
