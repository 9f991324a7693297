package testenv

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// loopback is the only address anything here listens on.
const loopback = "127.0.0.1"

// Ports are taken below the range from which Linux gives ports to outgoing connections (32768 and up by default):
// a server that is stopped must find its port free when it comes back.
const firstPort, lastPort = 20000, 32000

var (
	portsMu sync.Mutex
	ports   = map[int]bool{} // given out by this program, whether in use yet or not
)

// freePort returns a port that nobody listens on and that was not given out before.
func freePort() (int, error) {
	portsMu.Lock()
	defer portsMu.Unlock()
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		if ports[port] {
			continue
		}
		listener, err := net.Listen("tcp", fmt.Sprintf("%s:%d", loopback, port))
		if err != nil {
			continue
		}
		ports[port] = true
		return port, listener.Close()
	}
	return 0, errors.New("cannot find a free port")
}
