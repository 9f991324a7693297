package testenv

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// pidDir is the folder of an environment's directory that holds one pid file per running process.
const pidDir = "pids"

// StopAll ends the processes that an earlier program left running under dir (see Detached). A pid file alone is not
// believed, because numbers are used again: the process must name a path under dir on its command line. Pid files of
// processes that are gone are removed. A directory without any is no error.
func StopAll(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("cannot stop the processes of %q: %w", dir, err)
	}
	files, err := filepath.Glob(filepath.Join(dir, pidDir, "*.pid"))
	if err != nil {
		return fmt.Errorf("cannot stop the processes of %q: %w", dir, err)
	}
	var errs []error
	for _, file := range files {
		if err := stopByFile(dir, file); err != nil {
			errs = append(errs, fmt.Errorf("cannot stop the process of %q: %w", file, err))
		}
	}
	return errors.Join(errs...)
}

// stopByFile kills the process group that a pid file names, waits for its end, and removes the file.
func stopByFile(dir, file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return err
	}
	if pid <= 1 {
		return fmt.Errorf("%d is no process of ours", pid)
	}
	if belongsTo(pid, dir) {
		if err := syscall.Kill(-pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	for deadline := time.Now().Add(stopTimeout); belongsTo(pid, dir); time.Sleep(pollInterval) {
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d is still there %s after SIGKILL", pid, stopTimeout)
		}
	}
	return os.Remove(file)
}

// belongsTo tells whether a live process names a path under dir on its command line. A process that is gone, or that
// nobody reaped yet, has an empty command line.
func belongsTo(pid int, dir string) bool {
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && strings.Contains(string(cmdline), dir+string(filepath.Separator))
}
