// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"k8s.io/client-go/rest"
)

// Operator is Skott's own manager, run as a process against the Ops Cluster with the rights
// that config/default gives it, and no others.
type Operator struct {
	process *process
	ports   [2]int // metrics, probes
}

// argoCDNamespace is where Argo CD keeps its cluster Secrets.
const argoCDNamespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: argocd}\n"

// InstallOperator applies config/default to a hub with kubectl, as a user would, and returns
// a kubeconfig of the operator's account. The Deployment it holds is not run: nothing here
// runs pods.
func (e *Env) InstallOperator(ctx context.Context, hub *Server) ([]byte, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	if _, err := e.KubectlInput(ctx, hub, argoCDNamespace, "apply", "-f", "-"); err != nil {
		return nil, err
	}
	if _, err := e.Kubectl(ctx, hub, "apply", "--server-side", "-k", filepath.Join(root, "config/default")); err != nil {
		return nil, err
	}
	if _, err := e.Kubectl(ctx, hub, "apply", "-f", filepath.Join(root, "config/argocd/role.yaml")); err != nil {
		return nil, err
	}
	token, err := e.Kubectl(ctx, hub, "create", "token", "skott-operator", "--namespace=skott-system", "--duration=24h")
	if err != nil {
		return nil, err
	}
	return KubeconfigFor("operator", &rest.Config{
		Host: hub.URL(), BearerToken: strings.TrimSpace(token), TLSClientConfig: rest.TLSClientConfig{CAData: hub.CA()},
	}), nil
}

// StartOperatorOf is StartOperator with a program that was built before.
func (e *Env) StartOperatorOf(ctx context.Context, binary, name string, kubeconfig []byte, flags ...string) (*Operator, error) {
	return e.startOperator(ctx, []string{binary}, name, kubeconfig, flags...)
}

// startOperator runs a command that is the operator, or becomes it.
func (e *Env) startOperator(ctx context.Context, command []string, name string, kubeconfig []byte, flags ...string) (*Operator, error) {
	file := filepath.Join(e.dir, name+".kubeconfig")
	if err := os.WriteFile(file, kubeconfig, 0o600); err != nil {
		return nil, err
	}
	o := &Operator{}
	var err error
	for i := range o.ports {
		if o.ports[i], err = freePort(); err != nil {
			return nil, err
		}
	}
	o.process = e.newProcess(name, command[0], slices.Concat(command[1:], []string{
		"--kubeconfig=" + file,
		fmt.Sprintf("--metrics-bind-address=%s:%d", loopback, o.ports[0]),
		fmt.Sprintf("--health-probe-bind-address=%s:%d", loopback, o.ports[1]),
	}, flags)...)
	o.process.env = []string{"GOGC=100"} // as it is shipped
	e.mu.Lock()
	e.operators = append(e.operators, o)
	e.mu.Unlock()
	return o, o.Start(ctx)
}

// StartOperator builds the operator from the working tree and runs one replica of it with
// the given kubeconfig. name tells replicas apart.
func (e *Env) StartOperator(ctx context.Context, name string, kubeconfig []byte, flags ...string) (*Operator, error) {
	binary, err := e.buildManager(ctx)
	if err != nil {
		return nil, err
	}
	return e.StartOperatorOf(ctx, binary, name, kubeconfig, flags...)
}

// buildManager builds the manager from the working tree and returns where it is.
func (e *Env) buildManager(ctx context.Context) (string, error) {
	return e.BuildManager(ctx, "manager")
}

// BuildManager builds the manager from the working tree under a name, with further flags of "go build".
func (e *Env) BuildManager(ctx context.Context, name string, flags ...string) (string, error) {
	return e.build(ctx, name, "./cmd/manager", flags...)
}

// Start runs a stopped operator again, and waits until it is ready.
func (o *Operator) Start(ctx context.Context) error {
	return o.process.startReady(ctx, func(ctx context.Context) error {
		return healthy(ctx, http.DefaultClient, fmt.Sprintf("http://%s:%d/readyz", loopback, o.ports[1]))
	})
}

// Stop kills the operator, as a crash would.
func (o *Operator) Stop() error { return o.process.stop() }

// Pause freezes the operator: its connections stay open and it does nothing.
func (o *Operator) Pause() error { return o.process.signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (o *Operator) Resume() error { return o.process.signal(syscall.SIGCONT) }

// Running is false once the process has ended.
func (o *Operator) Running() bool { return o.process.pid() != 0 }

// MetricsURL is where the operator serves its metrics.
func (o *Operator) MetricsURL() string {
	return fmt.Sprintf("http://%s:%d/metrics", loopback, o.ports[0])
}

// Metrics are what the operator says there; "" if it does not answer.
func (o *Operator) Metrics() string {
	response, err := http.Get(o.MetricsURL())
	if err != nil {
		return ""
	}
	defer response.Body.Close() // only read
	body, _ := io.ReadAll(response.Body)
	return string(body)
}

// Metric is the value of one series, as it is written; "" if there is none.
func (o *Operator) Metric(series string) string {
	for line := range strings.Lines(o.Metrics()) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), series+" "); ok {
			return value
		}
	}
	return ""
}

// LogFile holds everything that the operator printed.
func (o *Operator) LogFile() string { return o.process.logFile }

// PID is the process number, or 0 when the operator is stopped.
func (o *Operator) PID() int { return o.process.pid() }
