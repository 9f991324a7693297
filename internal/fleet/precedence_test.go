// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestPrecedence(t *testing.T) {
	const longest = time.Minute
	for name, test := range map[string]struct {
		writes []time.Duration // that each writer takes
		cancel time.Duration   // when the context ends; 0 for never
		newer  time.Duration   // when more is published; 0 for never
		want   time.Duration
	}{
		"nobody writes":             {want: 0},
		"one writer":                {writes: []time.Duration{time.Second}, want: time.Second},
		"the last of several":       {writes: []time.Duration{3 * time.Second, time.Second, 2 * time.Second}, want: 3 * time.Second},
		"one that does not end":     {writes: []time.Duration{time.Second, time.Hour}, want: longest},
		"the context ends before":   {writes: []time.Duration{time.Hour}, cancel: time.Second, want: time.Second},
		"more is published before":  {writes: []time.Duration{time.Hour}, newer: time.Second, want: time.Second},
		"the writers end before it": {writes: []time.Duration{time.Second}, cancel: time.Hour, want: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if test.cancel > 0 {
					time.AfterFunc(test.cancel, cancel)
				}
				newer := make(chan struct{})
				if test.newer > 0 {
					time.AfterFunc(test.newer, func() { close(newer) })
				}
				var p precedence
				for _, d := range test.writes {
					time.AfterFunc(d, p.write())
				}
				began := time.Now()
				p.yield(ctx, longest, newer)
				if took := time.Since(began); took != test.want {
					t.Errorf("it waited %s, want %s", took, test.want)
				}
				time.Sleep(2 * time.Hour)
				began = time.Now()
				if p.yield(ctx, longest, newer); time.Since(began) > 0 {
					t.Error("it waited when all had been written")
				}
			})
		})
	}
}

func TestLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, began := make(lanes, 2), time.Now()
		slow, quick := l.enter(t.Context()), l.enter(t.Context())
		time.AfterFunc(10*time.Millisecond, quick)
		third := l.enter(t.Context())
		if took := time.Since(began); took != 10*time.Millisecond {
			t.Errorf("a lane was free after 10 ms, and entered after %s", took)
		}
		fourth := l.enter(t.Context())
		if took := time.Since(began); took != laneTime {
			t.Errorf("one is passed after %s, and was after %s", laneTime, took)
		}
		slow() // late, and leaves nothing
		third()
		fourth()
		quick()
		if len(l) != 0 {
			t.Errorf("%d lanes are taken when all have left", len(l))
		}
		l <- struct{}{}
		l <- struct{}{}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		l.enter(ended)()
		if len(l) != 2 {
			t.Error("who did not wait for a lane has left one")
		}
	})
}
