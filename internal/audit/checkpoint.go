// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// prefix is how much of a file tells it from another one that was given its inode.
const prefix = 512

// position is how far a file was read, and which file that is.
type position struct {
	// Offset of what is not handled yet.
	Offset int64 `json:"offset"`
	// Device and Inode; zero while nothing was handled.
	Device uint64 `json:"device"`
	Inode  uint64 `json:"inode"`
	// Begins is a digest of the first Length bytes.
	Begins string `json:"begins"`
	Length int64  `json:"length"`
}

// readPosition reads a checkpoint; the zero position if there is none.
func readPosition(name string) (position, error) {
	var p position
	content, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return p, fmt.Errorf("cannot read the checkpoint: %w", err)
	}
	if err := json.Unmarshal(content, &p); err != nil || p.Offset < 0 || p.Length < 0 || p.Length > prefix {
		return p, fmt.Errorf("cannot read the checkpoint %q: it is damaged; without it the log is read from where it begins", name)
	}
	return p, nil
}

// write stores a checkpoint, so that a crash leaves the old one or the new one.
func (p position) write(name string) error {
	content, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("cannot encode the checkpoint: %w", err)
	}
	if err := os.WriteFile(name+".new", content, 0o600); err != nil {
		return fmt.Errorf("cannot write the checkpoint: %w", err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		return fmt.Errorf("cannot write the checkpoint: %w", err)
	}
	return nil
}

// identify remembers which file was read.
func (p *position) identify(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("cannot look at the log: %w", err)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		p.Device, p.Inode = stat.Dev, stat.Ino
	}
	if p.Length < prefix {
		p.Length = min(p.Offset, prefix)
		p.Begins, err = begins(file, p.Length)
	}
	return err
}

// is reports whether a file is the one that was read. Every file is while none was.
func (p position) is(file *os.File) bool {
	if p.Inode == 0 {
		return true
	}
	info, err := file.Stat()
	if err != nil || info.Size() < p.Offset {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || stat.Dev != p.Device || stat.Ino != p.Inode {
		return false
	}
	digest, err := begins(file, p.Length)
	return err == nil && digest == p.Begins
}

// begins is a digest of how a file begins.
func begins(file *os.File, length int64) (string, error) {
	content, err := io.ReadAll(io.NewSectionReader(file, 0, length))
	if err != nil {
		return "", fmt.Errorf("cannot read the log: %w", err)
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:]), nil
}
