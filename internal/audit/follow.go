// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// chunk is how much of a file is read, and handled, at a time.
	chunk = 1 << 20
	// maxLine is the longest line that is handled. An event of level Metadata has a few KiB;
	// one of level RequestResponse may hold an object twice.
	maxLine = 8 << 20
	// slowest is the longest pause between two tries to have lines handled.
	slowest = 30 * time.Second
)

// Follower reads the lines that are appended to a log file. It goes on where it stopped when
// it is started again, and with the next file when the log is rotated: lines that were
// handled are remembered in the checkpoint only afterwards, so that a crash may repeat some
// and loses none.
type Follower struct {
	// Path of the log. Rotated files stand beside it, named as kube-apiserver names them:
	// audit-TIME.log beside audit.log.
	Path string
	// Checkpoint is the file that remembers how far the log was read.
	Checkpoint string
	// Poll is the pause between two looks for new lines.
	Poll time.Duration
	// Handle is given whole lines, without what ends them. What it returns an error for it is
	// given again, until the context ends.
	Handle func(ctx context.Context, lines [][]byte) error
	// Lost hears of what could not be read: lines that are too long, files that are gone.
	Lost func(what string)
	// Failed hears of errors that Handle returns, before it is asked again.
	Failed func(error)

	file     *os.File
	position position
	carry    []byte // the beginning of a line whose end is not written yet
	skipping bool   // the line that carry began is too long
}

// Run follows the log until the context ends, or until the checkpoint cannot be read or
// written.
func (f *Follower) Run(ctx context.Context) error {
	defer func() {
		if f.file != nil {
			_ = f.file.Close() // only read
		}
	}()
	if err := f.resume(); err != nil {
		return err
	}
	for {
		more, err := f.pass(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if more {
			continue
		}
		if !sleep(ctx, f.Poll) {
			return nil
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// resume opens the file that the checkpoint speaks of, wherever rotation has moved it.
func (f *Follower) resume() error {
	stored, err := readPosition(f.Checkpoint)
	if err != nil || stored.Inode == 0 {
		return err // there is none yet: the log is read from where it begins
	}
	for _, name := range append(f.rotated(), f.Path) {
		file, err := os.Open(name)
		if err != nil {
			continue
		}
		if stored.is(file) {
			f.file, f.position = file, stored
			return nil
		}
		_ = file.Close() // another one
	}
	f.lost("the file that was read last is gone, with what was appended to it since")
	if names := f.rotated(); len(names) > 0 { // it was older than all of these
		return f.open(names[0])
	}
	return nil
}

func (f *Follower) lost(what string) {
	if f.Lost != nil {
		f.Lost(what)
	}
}

// rotated are the files that the log was renamed to, oldest first.
func (f *Follower) rotated() []string {
	extension := filepath.Ext(f.Path)
	names, err := filepath.Glob(strings.TrimSuffix(f.Path, extension) + "-*" + extension)
	if err != nil {
		return nil // the path is no pattern that could match anything
	}
	slices.Sort(names)
	return names
}

// open begins with a file. One that does not exist yet is no error.
func (f *Follower) open(name string) error {
	file, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read the log: %w", err)
	}
	f.begin(file)
	return nil
}

// pass reads one chunk. more says that there is something to read at once.
func (f *Follower) pass(ctx context.Context) (more bool, err error) {
	if f.file == nil {
		if err := f.open(f.Path); err != nil || f.file == nil {
			return false, err
		}
	}
	if err := f.truncated(); err != nil {
		return false, err
	}
	// Who writes the log has closed a file before it renames it: after this, what is read to
	// its end is all of it.
	next := f.next()
	buffer := make([]byte, chunk)
	n, err := f.file.ReadAt(buffer, f.position.Offset+int64(len(f.carry)))
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("cannot read the log: %w", err)
	}
	if n > 0 {
		return true, f.take(ctx, buffer[:n])
	}
	if next == "" {
		return false, nil
	}
	return true, f.advance(next)
}

// advance goes on with the next file. By the time it is opened it may have been renamed, and
// its name be that of a later one: then it is looked for again.
func (f *Follower) advance(next string) error {
	file, err := os.Open(next)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read the log: %w", err)
	}
	opened, err := file.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("cannot look at the log: %w", err), file.Close())
	}
	if expected, err := os.Stat(f.next()); err != nil || !os.SameFile(opened, expected) {
		return file.Close()
	}
	if len(f.carry) > 0 {
		f.lost("the last line of a rotated file has no end")
	}
	f.begin(file)
	return nil
}

// begin reads a file from where it begins.
func (f *Follower) begin(file *os.File) {
	if f.file != nil {
		_ = f.file.Close() // only read
	}
	f.file, f.position, f.carry, f.skipping = file, position{}, nil, false
}

// truncated begins anew with a file that is not what it was.
func (f *Follower) truncated() error {
	info, err := f.file.Stat()
	if err != nil {
		return fmt.Errorf("cannot look at the log: %w", err)
	}
	if info.Size() < f.position.Offset+int64(len(f.carry)) || !f.position.is(f.file) {
		f.position, f.carry, f.skipping = position{}, nil, false
	}
	return nil
}

// next is the file that follows the open one, "" while that is the log itself.
func (f *Follower) next() string {
	mine, err := f.file.Stat()
	if err != nil {
		return ""
	}
	names := f.rotated()
	current, err := os.Stat(f.Path)
	switch {
	case err == nil && os.SameFile(mine, current):
		return ""
	case err == nil:
		names = append(names, f.Path)
	} // else it was renamed, and is not made anew yet
	for i, name := range names {
		if info, err := os.Stat(name); err == nil && os.SameFile(mine, info) {
			return first(names[i+1:])
		}
	}
	return first(names) // the open one was deleted, being the oldest
}

func first(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

// take handles the whole lines of what was read, and remembers that.
func (f *Follower) take(ctx context.Context, read []byte) error {
	lines, used := f.split(read)
	for pause := f.Poll; len(lines) > 0; pause = min(2*pause, slowest) {
		err := f.Handle(ctx, lines)
		if err == nil {
			break
		}
		if f.Failed != nil && ctx.Err() == nil {
			f.Failed(err)
		}
		if !sleep(ctx, pause) {
			return ctx.Err()
		}
	}
	if used == 0 {
		return nil
	}
	f.position.Offset += used
	if err := f.position.identify(f.file); err != nil {
		return err
	}
	return f.position.write(f.Checkpoint)
}

// split cuts what was read into lines. used is how far the file is behind it then.
func (f *Follower) split(read []byte) (lines [][]byte, used int64) {
	data := append(f.carry, read...)
	end := bytes.LastIndexByte(data, '\n') + 1
	for line := range bytes.Lines(data[:end]) {
		if f.skipping {
			f.skipping = false
			continue
		}
		lines = append(lines, bytes.TrimRight(line, "\r\n"))
	}
	f.carry = bytes.Clone(data[end:])
	used = int64(end)
	if len(f.carry) > maxLine {
		f.lost("a line is too long")
		used += int64(len(f.carry))
		f.carry, f.skipping = nil, true
	}
	return lines, used
}
