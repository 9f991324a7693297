// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"fmt"
	"io"
	"net"
	"sync"
)

// Wire is a network path to an API server that can be cut. TLS passes through it.
type Wire struct {
	target   string
	listener net.Listener

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]bool
}

// NewWire leads to a server until Close.
func NewWire(s *Server) (*Wire, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", fmt.Sprintf("%s:%d", loopback, port))
	if err != nil {
		return nil, err
	}
	w := &Wire{target: fmt.Sprintf("%s:%d", s.Host(), s.Port()), listener: listener, conns: map[net.Conn]bool{}}
	go w.serve()
	return w, nil
}

func (w *Wire) serve() {
	for {
		near, err := w.listener.Accept()
		if err != nil {
			return
		}
		if !w.hold(near) {
			continue // packets go nowhere: the connection is open and nothing answers
		}
		far, err := net.Dial("tcp", w.target)
		if err != nil {
			_ = near.Close()
			continue
		}
		w.hold(far)
		go pipe(near, far)
		go pipe(far, near)
	}
}

// hold remembers a connection and says whether it may carry anything.
func (w *Wire) hold(c net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns[c] = true
	return !w.cut
}

func pipe(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_ = to.Close()
	_ = from.Close()
}

// Cut ends every connection, and lets new ones be opened on which nothing ever answers.
func (w *Wire) Cut() { w.set(true) }

// Heal undoes Cut.
func (w *Wire) Heal() { w.set(false) }

func (w *Wire) set(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
	for c := range w.conns {
		_ = c.Close()
	}
	clear(w.conns)
}

// URL is where clients find the server.
func (w *Wire) URL() string { return "https://" + w.listener.Addr().String() }

// Close ends it.
func (w *Wire) Close() error {
	w.Heal()
	return w.listener.Close()
}
