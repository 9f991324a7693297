package testenv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// readyTimeout is generous because several control planes may start at once on a small, loaded machine.
	readyTimeout = 90 * time.Second
	// pollInterval is the pause between two looks at a condition that has not come true yet.
	pollInterval = 100 * time.Millisecond
	// stopTimeout bounds the wait for a killed process to be gone.
	stopTimeout = 10 * time.Second
	// tailBytes is how much of a log an error repeats.
	tailBytes = 3000
)

// process is one child that can be started again with the same arguments. Each run is the leader of its own session,
// and so of its own process group, which is what is signalled.
type process struct {
	name    string // unique in its environment; names the log and pid files
	binary  string
	args    []string
	env     []string
	logFile string
	pidFile string
	// detached leaves the child running when this program ends; otherwise the kernel kills it then.
	detached bool

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has been reaped
}

// start runs the program. It returns as soon as the process exists; awaitReady tells when it serves.
func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		return fmt.Errorf("cannot start %s: it runs already", p.name)
	}
	for _, file := range []string{p.logFile, p.pidFile} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return fmt.Errorf("cannot start %s: %w", p.name, err)
		}
	}
	log, err := os.OpenFile(p.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("cannot start %s: %w", p.name, err)
	}
	defer log.Close() // the child holds its own descriptor

	cmd := exec.Command(p.binary, p.args...)
	cmd.Stdout, cmd.Stderr = log, log
	// A short environment keeps proxies and credentials of the caller out of the control plane. GOGC trades a
	// little CPU for about 50 MB of each kube-apiserver.
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Dir(p.logFile), "GOGC=50"}, p.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if !p.detached {
		// The kernel sends this when the starting thread ends. Go ends a thread only when a goroutine locked to
		// it returns, so do not start servers from such a goroutine.
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start %s: %w", p.name, err)
	}
	done := make(chan struct{})
	p.cmd, p.done = cmd, done
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(done)
	}()
	if err := os.WriteFile(p.pidFile, fmt.Appendf(nil, "%d\n", cmd.Process.Pid), 0o644); err != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		return fmt.Errorf("cannot start %s: %w", p.name, err)
	}
	return nil
}

// running must be called with the lock held.
func (p *process) running() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// pid is 0 when the process does not run.
func (p *process) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running() {
		return 0
	}
	return p.cmd.Process.Pid
}

// signal reaches the whole process group.
func (p *process) signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running() {
		return fmt.Errorf("cannot signal %s: it does not run", p.name)
	}
	if err := syscall.Kill(-p.cmd.Process.Pid, sig); err != nil {
		return fmt.Errorf("cannot signal %s: %w", p.name, err)
	}
	return nil
}

// stop kills the process group and waits until it is gone. Killing loses nothing: etcd writes its log before it
// answers, and an API server keeps no state. Stopping a stopped process is no error.
func (p *process) stop() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("cannot stop %s: %w", p.name, err)
		}
		select {
		case <-p.done:
		case <-time.After(stopTimeout):
			return fmt.Errorf("cannot stop %s: still there %s after SIGKILL", p.name, stopTimeout)
		}
	}
	p.cmd = nil
	if err := os.Remove(p.pidFile); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("cannot stop %s: %w", p.name, err)
	}
	return nil
}

// startReady starts the process and waits until check succeeds. On failure it stops the process again and returns the
// tail of its log, which is where the reason stands.
func (p *process) startReady(ctx context.Context, check func(context.Context) error) error {
	if err := p.start(); err != nil {
		return err
	}
	err := p.awaitReady(ctx, check)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s did not become ready: %w; its log ends:\n%s", p.name, err, tail(p.logFile))
	return errors.Join(err, p.stop())
}

// awaitReady polls check until it succeeds, the process ends or readyTimeout passes.
func (p *process) awaitReady(ctx context.Context, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	p.mu.Lock()
	done := p.done
	p.mu.Unlock()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-done:
			return errors.New("it ended")
		case <-ctx.Done():
			return fmt.Errorf("%w (last: %w)", ctx.Err(), err)
		case <-time.After(pollInterval):
		}
	}
}

// tail returns the end of a log, or why it cannot be read.
func tail(file string) string {
	f, err := os.Open(file)
	if err != nil {
		return err.Error()
	}
	defer f.Close() // only read
	if info, err := f.Stat(); err == nil && info.Size() > tailBytes {
		_, _ = f.Seek(-tailBytes, io.SeekEnd)
	}
	content, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(content))
}
