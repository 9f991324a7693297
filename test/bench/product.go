// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/skott-dev/skott/test/testenv"
)

// product is one way to refuse objects that name addresses. It acts in its own namespace.
type product struct {
	name, namespace string
	// refuse makes it refuse every object that names one of the addresses.
	refuse func(ctx context.Context, list list) error
	// pids are its own processes.
	pids func() []int
	// begin starts its processes again, if it has any, and end kills them, as a crash would.
	begin, end func() error
	// remove takes it away.
	remove func(ctx context.Context) error
}

// productTime bounds each call of an executable.
const productTime = 2 * time.Minute

// executable is a product that somebody else wrote: start, apply FILE, stop.
func executable(env *testenv.Env, server *testenv.Server, file, namespace string) (*product, error) {
	path, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	call := func(ctx context.Context, args ...string) ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, productTime)
		defer cancel()
		command := exec.CommandContext(ctx, path, args...)
		command.Env = append(os.Environ(), "KUBECONFIG="+server.KubeconfigFile(), "KUBECTL="+env.Binaries.Kubectl, "BENCH_NAMESPACE="+namespace)
		command.WaitDelay = time.Second // what it left running may hold its output open
		var out, said bytes.Buffer
		command.Stdout, command.Stderr = &out, &said
		if err := command.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
			return nil, fmt.Errorf("%s %s: %w: %.300s", name, args[0], err, strings.TrimSpace(said.String()))
		}
		return out.Bytes(), nil
	}
	p := &product{name: name, namespace: namespace, begin: nothing, end: nothing}
	var pids []int
	p.pids = func() []int { return pids }
	p.remove = func(ctx context.Context) error { _, err := call(ctx, "stop"); return err }
	p.refuse = func(ctx context.Context, l list) error {
		file := filepath.Join(env.Dir(), name+".addresses")
		if err := os.WriteFile(file, []byte(strings.Join(l.lines(), "\n")), 0o600); err != nil {
			return err
		}
		_, err := call(ctx, "apply", file)
		return err
	}
	out, err := call(context.Background(), "start")
	if err != nil {
		return nil, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		if pid, err := strconv.Atoi(strings.TrimSpace(lines.Text())); err == nil {
			pids = append(pids, pid)
		}
	}
	return p, nil
}

func nothing() error { return nil }

// usage is what processes took of the machine.
type usage struct {
	cpu time.Duration
	rss int64
}

// ticks a second, in which Linux counts the time of processes.
const ticks = 100

// used adds up what processes used so far, and what memory they hold.
func used(pids ...int) usage {
	var u usage
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue // it has ended
		}
		// The name of the program, in parentheses, may hold anything.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		for _, i := range []int{11, 12} { // utime and stime
			n, _ := strconv.ParseInt(fields[i], 10, 64)
			u.cpu += time.Duration(n) * time.Second / ticks
		}
		pages, _ := strconv.ParseInt(fields[21], 10, 64)
		u.rss += pages * int64(os.Getpagesize())
	}
	return u
}
