// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/test/testenv"
)

// longest is how long anything is waited for.
const longest = 5 * time.Minute

const platform = `
apiVersion: skott.dev/v1alpha1
kind: Environment
metadata: {name: production}
spec: {stage: production}
---
apiVersion: skott.dev/v1alpha1
kind: Environment
metadata: {name: staging}
spec: {stage: staging}
---
apiVersion: skott.dev/v1alpha1
kind: DataLocation
metadata: {name: production}
spec:
  environmentRef: {name: production}
  addresses: [{type: Host, value: "*.db.prod.example"}]
---
apiVersion: skott.dev/v1alpha1
kind: DataLocation
metadata: {name: staging}
spec:
  environmentRef: {name: staging}
  addresses: [{type: Host, value: "*.db.stage.example"}]
---
apiVersion: skott.dev/v1alpha1
kind: DataBoundary
metadata: {name: customer-data}
spec: {action: Audit}
`

const member = `
apiVersion: skott.dev/v1alpha1
kind: ManagementCluster
metadata: {name: cluster}
spec:
  environmentRef: {name: staging}
  datacenter: sto2
  role: Management
  connection: {kubeconfigSecretRef: {namespace: skott-system, name: cluster}}
`

// bench is an Ops Cluster with an operator, and a cluster to scan.
type bench struct {
	settings
	env          *testenv.Env
	ops, cluster *testenv.Server
	hub          client.Client
	operator     *testenv.Operator
}

// start runs the operator, which knows the platform and no cluster yet.
func (b *bench) start(ctx context.Context) error {
	var err error
	if b.hub, err = b.ops.HubClient(longest); err != nil {
		return err
	}
	kubeconfig, err := b.env.InstallOperator(ctx, b.ops)
	if err != nil {
		return err
	}
	if err := b.ops.ApplyYAML(ctx, []byte(platform)); err != nil {
		return err
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "skott-system", Name: "cluster"}, Data: map[string][]byte{"value": b.cluster.Kubeconfig()}}
	if err := b.hub.Create(ctx, secret); err != nil {
		return err
	}
	b.operator, err = b.env.StartOperator(ctx, "operator", kubeconfig, "--zap-log-level=debug")
	return err
}

// measure connects the cluster, and prints what happens.
func (b *bench) measure(ctx context.Context) error {
	idle, err := b.peak()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := b.ops.ApplyYAML(ctx, []byte(member)); err != nil {
		return err
	}
	if err := b.until(ctx, func(s skottv1.DataBoundaryStatus) bool { return count(s.Violations) == b.crossing }); err != nil {
		return fmt.Errorf("cannot find all that crosses: %w", err)
	}
	fmt.Printf("connected, guarded and scanned until the status of the boundary counts all %d: %s\n", b.crossing, seconds(time.Since(began)))
	if err := b.round("the first round", 1); err != nil {
		return err
	}
	if err := b.corrected(ctx); err != nil {
		return err
	}
	if err := b.again(ctx); err != nil {
		return err
	}
	peak, err := b.peak()
	if err != nil {
		return err
	}
	fmt.Printf("peak memory of the operator: %d MiB, before it had a cluster %d MiB\n", peak>>20, idle>>20)
	return nil
}

// corrected measures a correction between two rounds.
func (b *bench) corrected(ctx context.Context) error {
	began := time.Now()
	if err := b.cluster.Client().Delete(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespaceOf(0), Name: podName(0)}}, client.GracePeriodSeconds(0)); err != nil {
		return err
	}
	if err := b.until(ctx, func(s skottv1.DataBoundaryStatus) bool { return count(s.Violations) == b.crossing-1 }); err != nil {
		return fmt.Errorf("cannot see a correction: %w", err)
	}
	fmt.Printf("one is corrected, until the status says so: %s\n", seconds(time.Since(began)))
	return nil
}

// again measures a round after a change of the rules.
func (b *bench) again(ctx context.Context) error {
	before := len(b.rounds())
	began := time.Now()
	boundary := &skottv1.DataBoundary{ObjectMeta: metav1.ObjectMeta{Name: "customer-data"}}
	if err := b.hub.Patch(ctx, boundary, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"draft":{"action":"Deny"}}}`))); err != nil {
		return err
	}
	if err := b.until(ctx, func(s skottv1.DataBoundaryStatus) bool {
		return s.Draft != nil && count(s.Draft.NewlyRefused) == b.crossing-1
	}); err != nil {
		return fmt.Errorf("cannot see what a draft finds: %w", err)
	}
	fmt.Printf("a draft is added, until the status says what it would refuse: %s\n", seconds(time.Since(began)))
	return b.round("that round", before+1)
}

// until waits for a status of the boundary.
func (b *bench) until(ctx context.Context, holds func(skottv1.DataBoundaryStatus) bool) error {
	return wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, longest, true, func(ctx context.Context) (bool, error) {
		boundary := &skottv1.DataBoundary{}
		err := b.hub.Get(ctx, client.ObjectKey{Name: "customer-data"}, boundary)
		return err == nil && holds(boundary.Status), err
	})
}

func count(n *int32) int {
	if n == nil {
		return -1
	}
	return int(*n)
}

// scanned is what the operator logs of a round.
type scanned struct {
	Message string  `json:"msg"`
	Objects int     `json:"objects"`
	Seconds float64 `json:"seconds"`
}

// rounds are those that were logged.
func (b *bench) rounds() (out []scanned) {
	f, err := os.Open(b.operator.LogFile())
	if err != nil {
		return nil
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var s scanned
		if json.Unmarshal(lines.Bytes(), &s) == nil && s.Message == "Scanned" {
			out = append(out, s)
		}
	}
	return out
}

// round prints how long a round took by itself.
func (b *bench) round(name string, n int) error {
	rounds := b.rounds()
	if len(rounds) < n {
		return fmt.Errorf("the operator has logged %d rounds, not %d", len(rounds), n)
	}
	r := rounds[n-1]
	fmt.Printf("%s by itself: %d objects in %.1f s, %.0f a second\n", name, r.Objects, r.Seconds, float64(r.Objects)/r.Seconds)
	return nil
}

// peak is the most memory that the operator had, in bytes.
func (b *bench) peak() (int64, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.operator.PID()))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(content)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmHWM:" {
			n, err := strconv.ParseInt(fields[1], 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("cannot find the peak memory of process %d", b.operator.PID())
}
