// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Clock is a clock of its own for a program of Go, which can jump while it runs. The machine's is not touched.
//
// A program asks the vDSO for the time, in which nobody can interfere. One that does not find it there asks the kernel
// instead, and the kernel asks this process, by seccomp. So the program is a copy in which the name of the function of the
// vDSO is spelt wrongly, and is the same in all else.
type Clock struct {
	env      *Env
	offset   atomic.Int64
	launcher string
	socket   *net.UnixListener
	answered atomic.Int64
}

// NewClock makes a clock that is right.
func (e *Env) NewClock(ctx context.Context) (*Clock, error) {
	launcher, err := e.build(ctx, "clock", "./test/clock")
	if err != nil {
		return nil, err
	}
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(e.dir, "clock.socket"), Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("cannot make a clock: %w", err)
	}
	c := &Clock{env: e, launcher: launcher, socket: socket}
	go func() {
		for {
			program, err := socket.AcceptUnix()
			if err != nil {
				return // closed
			}
			go c.serve(program)
		}
	}()
	return c, nil
}

// Jump moves the clock of every program that runs by it, now.
func (c *Clock) Jump(by time.Duration) { c.offset.Add(int64(by)) }

// Answered is how often it was asked.
func (c *Clock) Answered() int64 { return c.answered.Load() }

// Close ends it, after the programs have ended.
func (c *Clock) Close() error { return c.socket.Close() }

// StartOperator is Env.StartOperatorOf with this clock.
func (c *Clock) StartOperator(ctx context.Context, program, name string, kubeconfig []byte, flags ...string) (*Operator, error) {
	content, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	asking := program + "-asking"
	replaced := bytes.ReplaceAll(bytes.ReplaceAll(content, []byte("__vdso_clock_gettime"), []byte("__vdso_xxxxx_gettime")),
		[]byte("__kernel_clock_gettime"), []byte("__kernel_xxxxx_gettime"))
	if bytes.Equal(replaced, content) {
		return nil, fmt.Errorf("cannot give %s a clock: it does not ask the vDSO", program)
	}
	if err := os.WriteFile(asking, replaced, 0o700); err != nil {
		return nil, err
	}
	return c.env.startOperator(ctx, []string{c.launcher, c.socket.Addr().String(), asking}, name, kubeconfig, flags...)
}

// serve answers one program until it has ended.
func (c *Clock) serve(program *net.UnixConn) {
	rights := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := program.ReadMsgUnix(make([]byte, 1), rights)
	_ = program.Close()
	if err != nil {
		return
	}
	messages, err := unix.ParseSocketControlMessage(rights[:n])
	if err != nil || len(messages) != 1 {
		return
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return
	}
	defer unix.Close(fds[0])
	for err == nil {
		err = c.answer(fds[0])
	}
}

// question and reply are seccomp_notif and seccomp_notif_resp of the kernel.
type question struct {
	id         uint64
	pid, flags uint32
	call       int32
	arch       uint32
	address    uint64
	args       [6]uint64
}

type reply struct {
	id    uint64
	value int64
	err   int32
	flags uint32
}

// answer answers one question. An error means that nobody will ask any more.
func (c *Clock) answer(listener int) error {
	ready := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
	switch _, err := unix.Poll(ready, -1); {
	case errors.Is(err, unix.EINTR):
		return nil
	case err != nil:
		return err
	case ready[0].Revents&unix.POLLIN == 0: // the last thread has ended
		return unix.EPIPE
	}
	q := question{}
	if control(listener, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&q)) != nil {
		return nil //nolint:nilerr // a signal came between, and it will be asked again
	}
	c.answered.Add(1)
	r := reply{id: q.id}
	if err := c.tell(int(q.pid), int64(q.args[1])); err != nil {
		r.flags = unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE // it ended meanwhile, or asks with a wrong address
	}
	_ = control(listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r)) // likewise
	return nil
}

// tell writes the time where a thread wants to have it.
func (c *Clock) tell(thread int, address int64) error {
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", thread), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer memory.Close()
	now := time.Now().Add(time.Duration(c.offset.Load()))
	text := binary.NativeEndian.AppendUint64(nil, uint64(now.Unix()))
	text = binary.NativeEndian.AppendUint64(text, uint64(now.Nanosecond()))
	_, err = memory.WriteAt(text, address)
	return err
}

func control(fd int, request uint, argument unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(argument)); errno != 0 {
		return errno
	}
	return nil
}

// build builds a command of the working tree.
func (e *Env) build(ctx context.Context, name, command string, flags ...string) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	program := filepath.Join(e.dir, name)
	build := exec.CommandContext(ctx, "go", append(append([]string{"build", "-o", program}, flags...), command)...)
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build %s: %w: %s", command, err, output)
	}
	return program, nil
}
