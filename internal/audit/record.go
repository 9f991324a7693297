// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"sync"
)

// Record is the decision record: denials as JSON lines in a file. A file that is full
// becomes FILE.1, and what was there before is gone, so that there are never more than two.
type Record struct {
	path string
	max  int64

	mu   sync.Mutex
	file *os.File
	size int64
}

// OpenRecord opens the file at path, or makes it. max is its size in bytes at which another is begun.
func OpenRecord(path string, max int64) (*Record, error) {
	r := &Record{path: path, max: max}
	return r, r.open()
}

func (r *Record) open() error {
	file, err := os.OpenFile(r.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("cannot open the decision record: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		_ = file.Close()
		return fmt.Errorf("cannot open the decision record: %w", err)
	}
	r.file, r.size = file, info.Size()
	return nil
}

// Append writes denials, all of them or none.
func (r *Record) Append(denials []Denial) error {
	var lines bytes.Buffer
	encoder := json.NewEncoder(&lines)
	for i := range denials {
		if err := encoder.Encode(&denials[i]); err != nil {
			return fmt.Errorf("cannot write the decision record: %w", err)
		}
	}
	if lines.Len() == 0 {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.size > 0 && r.size+int64(lines.Len()) > r.max {
		if err := r.rotate(); err != nil {
			return err
		}
	}
	n, err := r.file.Write(lines.Bytes())
	if err != nil {
		// Half a line would spoil the next one, and be written again.
		_ = r.file.Truncate(r.size)
		return fmt.Errorf("cannot write the decision record: %w", err)
	}
	r.size += int64(n)
	return nil
}

func (r *Record) rotate() error {
	if err := os.Rename(r.path, r.path+".1"); err != nil {
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
	return r.file.Close()
}
