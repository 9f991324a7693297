// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// maxSeen is how many denials are remembered at least, so that none is recorded twice.
const maxSeen = 65_536

// Record is the decision record: denials as JSON lines in a file. A file that is full
// becomes FILE.1, and what was there before is gone, so that there are never more than two.
//
// What is recorded is not recorded again: who sends events sends them again when it did not
// hear the answer, and an event may be replayed by whoever has read it. Two denials are one
// when everything in them is the same, the time at which the API server received the request
// too: a client may choose an Audit-ID, and must not hide a request behind one of before.
type Record struct {
	path string // "" for none: then only what was there is remembered
	max  int64

	mu   sync.Mutex
	file *os.File
	size int64
	// young and old are digests of denials. When young is full it becomes old.
	young, old map[digest]struct{}
}

type digest [16]byte

func digestOf(line []byte) digest {
	sum := sha256.Sum256(line)
	return digest(sum[:])
}

// OpenRecord opens the file at path, or makes it, and remembers what is in it. limit is its
// size in bytes at which another is begun. Without a path nothing is written.
func OpenRecord(path string, limit int64) (*Record, error) {
	r := &Record{path: path, max: limit, young: map[digest]struct{}{}}
	if path == "" {
		return r, nil
	}
	if err := r.recall(path + ".1"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("cannot read the decision record: %w", err)
	}
	if err := r.recall(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("cannot read the decision record: %w", err)
	}
	if err := r.open(); err != nil {
		return nil, err
	}
	return r, nil
}

// recall remembers the lines of a file, and cuts off one that has no end: it was being
// written when the operator was killed, and is sent again.
func (r *Record) recall(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // what is cut off would be again
	lines, whole := bufio.NewReader(file), int64(0)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			if len(line) == 0 {
				return nil
			}
			return file.Truncate(whole)
		}
		if err != nil {
			return err
		}
		whole += int64(len(line))
		r.remember(digestOf(line))
	}
}

func (r *Record) remember(d digest) {
	if len(r.young) >= maxSeen {
		r.old, r.young = r.young, map[digest]struct{}{}
	}
	r.young[d] = struct{}{}
}

func (r *Record) seen(d digest) bool {
	_, young := r.young[d]
	_, old := r.old[d]
	return young || old
}

func (r *Record) open() error {
	file, err := os.OpenFile(r.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("cannot open the decision record: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		_ = file.Close() // nothing was written
		return fmt.Errorf("cannot open the decision record: %w", err)
	}
	r.file, r.size = file, info.Size()
	return nil
}

// Append writes those denials that it does not hold yet, all of them or none, and returns them.
func (r *Record) Append(denials []Denial) ([]Denial, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var lines bytes.Buffer
	var fresh []Denial
	digests := map[digest]struct{}{}
	for i := range denials {
		line, err := json.Marshal(&denials[i])
		if err != nil {
			return nil, fmt.Errorf("cannot write the decision record: %w", err)
		}
		line = append(line, '\n')
		d := digestOf(line)
		if _, twice := digests[d]; twice || r.seen(d) {
			continue
		}
		digests[d] = struct{}{}
		fresh = append(fresh, denials[i])
		lines.Write(line)
	}
	if len(fresh) == 0 {
		return nil, nil
	}
	if err := r.write(lines.Bytes()); err != nil {
		return nil, err
	}
	for d := range digests {
		r.remember(d)
	}
	return fresh, nil
}

func (r *Record) write(lines []byte) error {
	if r.path == "" {
		return nil
	}
	if r.size > 0 && r.size+int64(len(lines)) > r.max {
		if err := r.rotate(); err != nil {
			return err
		}
	}
	n, err := r.file.Write(lines)
	if err != nil {
		// Half a line would spoil the next one, and be written again.
		_ = r.file.Truncate(r.size)
		return fmt.Errorf("cannot write the decision record: %w", err)
	}
	r.size += int64(n)
	return nil
}

func (r *Record) rotate() error {
	// A try before may have come no further than this.
	if err := os.Rename(r.path, r.path+".1"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("cannot rotate the decision record: %w", err)
	}
	full := r.file
	if err := r.open(); err != nil {
		return err
	}
	return full.Close()
}

// Close closes the file.
func (r *Record) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}
