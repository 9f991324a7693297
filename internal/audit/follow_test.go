// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// journal is a log as an API server writes it, and everything that was written to it.
type journal struct {
	t       *testing.T
	path    string
	written []string
	rotated int
}

func newJournal(t *testing.T) *journal {
	return &journal{t: t, path: filepath.Join(t.TempDir(), "audit.log")}
}

func (j *journal) append(text string) {
	j.t.Helper()
	file, err := os.OpenFile(j.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		j.t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString(text); err != nil {
		j.t.Fatal(err)
	}
}

func (j *journal) lines(n int) {
	j.t.Helper()
	var text strings.Builder
	for range n {
		line := fmt.Sprintf("line %d %s", len(j.written), strings.Repeat("x", len(j.written)%300))
		j.written = append(j.written, line)
		text.WriteString(line + "\n")
	}
	j.append(text.String())
}

// rotate does what the API server does with a log that is full.
func (j *journal) rotate() {
	j.t.Helper()
	j.rotated++
	to := strings.TrimSuffix(j.path, ".log") + fmt.Sprintf("-2026-01-02T03-04-05.%03d.log", j.rotated)
	if err := os.Rename(j.path, to); err != nil && !errors.Is(err, os.ErrNotExist) {
		j.t.Fatal(err)
	}
}

// reader is a Follower that remembers what it was given.
type reader struct {
	*Follower
	mu     sync.Mutex
	got    []string
	lost   []string
	refuse bool
	cancel context.CancelFunc
	done   chan error
}

func (j *journal) follow(got []string) *reader {
	r := &reader{got: got, done: make(chan error, 1)}
	r.Follower = &Follower{Path: j.path, Checkpoint: j.path + ".checkpoint", Poll: time.Millisecond, Handle: r.handle, Lost: func(what string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.lost = append(r.lost, what)
	}}
	ctx, cancel := context.WithCancel(j.t.Context())
	r.cancel = cancel
	go func() { r.done <- r.Run(ctx) }()
	return r
}

func (r *reader) handle(_ context.Context, lines [][]byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse {
		return errors.New("nobody listens")
	}
	for _, line := range lines {
		r.got = append(r.got, string(line))
	}
	return nil
}

func (r *reader) set(refuse bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuse = refuse
}

func (r *reader) has() (got, lost []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got), slices.Clone(r.lost)
}

// end stops the follower and returns what it got.
func (r *reader) end(t *testing.T) []string {
	t.Helper()
	r.cancel()
	if err := <-r.done; err != nil {
		t.Fatal(err)
	}
	got, _ := r.has()
	return got
}

// await waits until a follower got what was written.
func (j *journal) await(r *reader) {
	j.t.Helper()
	var got []string
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if got, _ = r.has(); slices.Equal(got, j.written) {
			return
		}
	}
	at := 0
	for at < min(len(got), len(j.written)) && got[at] == j.written[at] {
		at++
	}
	j.t.Fatalf("got %d of %d lines, the first difference is at %d", len(got), len(j.written), at)
}

func TestFollow(t *testing.T) {
	j := newJournal(t)
	r := j.follow(nil)
	j.lines(10) // the log did not exist before
	j.await(r)

	j.append("half of ")
	time.Sleep(5 * time.Millisecond)
	j.append("a line\nand")
	j.written = append(j.written, "half of a line")
	j.await(r)
	j.append(" the other\n")
	j.written = append(j.written, "and the other")
	j.await(r)

	j.rotate()
	j.lines(5)
	j.await(r)
	if err := os.Truncate(j.path, 0); err != nil { // copytruncate
		t.Fatal(err)
	}
	j.await(r)
	j.lines(1)
	j.await(r)
	if got := r.end(t); len(got) != len(j.written) {
		t.Errorf("got %d lines, want %d", len(got), len(j.written))
	}
}

// Rotations and restarts in any order lose nothing and repeat nothing.
func TestFollowThroughRotationsAndRestarts(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random, j := rand.New(rand.NewPCG(seed, 1)), newJournal(t)
			j.lines(1)
			r := j.follow(nil)
			j.await(r)
			for range 40 {
				switch random.IntN(6) {
				case 0:
					j.rotate()
				case 1:
					r = j.follow(r.end(t))
				case 2:
					got := r.end(t) // it is away for a while
					for range random.IntN(4) {
						j.lines(1 + random.IntN(20))
						j.rotate()
					}
					r = j.follow(got)
				case 3:
					r.set(random.IntN(2) == 0)
				default:
					j.lines(1 + random.IntN(2000))
				}
			}
			r.set(false)
			j.await(r)
			if _, lost := r.has(); len(lost) > 0 {
				t.Errorf("lost %q", lost)
			}
			r.end(t)
		})
	}
}

// What is handled at the time of a crash is given again, and only that.
func TestFollowRepeatsWhatWasNotHandled(t *testing.T) {
	j := newJournal(t)
	j.lines(3)
	r := j.follow(nil)
	j.await(r)
	r.set(true)
	j.lines(2)
	time.Sleep(10 * time.Millisecond)
	if got := r.end(t); len(got) != 3 {
		t.Fatalf("got %q", got)
	}
	r = j.follow(slices.Clone(j.written[:3]))
	j.await(r)
	r.end(t)
}

// When rotation deletes what was not read yet, that is told, and the rest is read.
func TestFollowTellsWhatIsGone(t *testing.T) {
	j := newJournal(t)
	j.lines(3)
	r := j.follow(nil)
	j.await(r)
	got := r.end(t)
	j.rotate()
	old, err := filepath.Glob(filepath.Join(filepath.Dir(j.path), "audit-*"))
	if err != nil || len(old) != 1 {
		t.Fatal(old, err)
	}
	if err := os.Remove(old[0]); err != nil {
		t.Fatal(err)
	}
	j.lines(2)
	j.rotate()
	j.lines(2)
	r = j.follow(got)
	j.await(r)
	if _, lost := r.has(); len(lost) != 1 || !strings.Contains(lost[0], "gone") {
		t.Errorf("lost = %q", lost)
	}
	r.end(t)
}

// A line without end must not fill the memory, nor hide the next.
func TestFollowSkipsHugeLines(t *testing.T) {
	j := newJournal(t)
	r := j.follow(nil)
	j.append(strings.Repeat("y", maxLine+2*chunk) + "\n")
	j.lines(2)
	j.await(r)
	if _, lost := r.has(); len(lost) != 1 || !strings.Contains(lost[0], "too long") {
		t.Errorf("lost = %q", lost)
	}
	r.end(t)
}

func TestFollowRefusesDamagedCheckpoint(t *testing.T) {
	for name, content := range map[string]string{"NoJSON": "x", "Negative": `{"offset":-1,"inode":1}`, "Length": `{"length":100000,"inode":1}`} {
		t.Run(name, func(t *testing.T) {
			j := newJournal(t)
			if err := os.WriteFile(j.path+".checkpoint", []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			err := (&Follower{Path: j.path, Checkpoint: j.path + ".checkpoint", Poll: time.Millisecond}).Run(t.Context())
			if err == nil || !strings.Contains(err.Error(), "damaged") {
				t.Errorf("error %v, want one that says that it is damaged", err)
			}
		})
	}
}

func BenchmarkFollow(b *testing.B) {
	line := []byte(strings.Repeat("x", 1500) + "\n")
	path := filepath.Join(b.TempDir(), "audit.log")
	if err := os.WriteFile(path, bytes.Repeat(line, 10000), 0o600); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(10000 * len(line)))
	for b.Loop() {
		_ = os.Remove(path + ".checkpoint")
		ctx, cancel := context.WithCancel(b.Context())
		seen := 0
		f := &Follower{Path: path, Checkpoint: path + ".checkpoint", Poll: time.Millisecond, Handle: func(_ context.Context, lines [][]byte) error {
			if seen += len(lines); seen == 10000 {
				cancel()
			}
			return nil
		}}
		if err := f.Run(ctx); err != nil {
			b.Fatal(err)
		}
	}
}
