// SPDX-License-Identifier: Apache-2.0

// Command clock runs a program whose clock is told by whoever listens on a Unix socket: clock SOCKET PROGRAM ARGUMENT...
// Each question of the program for the time of day is put to the listener, which gets the right to answer over the socket.
// The program must ask the kernel, see testenv.Clock. Nothing else on the machine notices.
package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

func main() {
	fmt.Fprintln(os.Stderr, "cannot run a program with a clock of its own:", run(os.Args[1:]))
	os.Exit(1)
}

// run returns only if it fails.
func run(args []string) error {
	if len(args) < 2 {
		return errors.New("it needs a socket and a program")
	}
	socket, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: args[0], Net: "unix"})
	if err != nil {
		return err
	}
	runtime.LockOSThread() // the filter is of the thread that becomes the program
	listener, err := filter()
	if err != nil {
		return err
	}
	if _, _, err := socket.WriteMsgUnix([]byte{0}, unix.UnixRights(listener), nil); err != nil {
		return err
	}
	return unix.Exec(args[1], args[1:], os.Environ()) // the socket and the listener close
}

// filter has every clock_gettime(CLOCK_REALTIME) of this thread, and of what it becomes, answered by who has the listener.
func filter() (listener int, err error) {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return 0, err
	}
	// Offsets are those of struct seccomp_data: the number of the call, and the lower half of its first argument.
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 3, K: unix.SYS_CLOCK_GETTIME},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 16},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: unix.CLOCK_REALTIME},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	whole := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&whole)))
	if errno != 0 {
		return 0, errno
	}
	unix.CloseOnExec(int(fd))
	return int(fd), nil
}
