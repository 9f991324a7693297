// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// usage of a process so far.
type usage struct {
	cpu time.Duration
	rss int64 // bytes
	at  time.Time
}

// ticks of the kernel in a second, as it tells user space.
const ticks = 100

// usageOf reads /proc.
func usageOf(pid int) (usage, error) {
	u := usage{at: time.Now()}
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	_, rest, _ := strings.Cut(string(content), ") ")
	fields := strings.Fields(rest)
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	pages, _ := strconv.ParseInt(fields[21], 10, 64)
	u.cpu, u.rss = time.Duration(user+system)*time.Second/ticks, pages*int64(os.Getpagesize())
	return u, nil
}

// share of one core that was used between two looks, in percent.
func share(from, to usage) float64 {
	return 100 * float64(to.cpu-from.cpu) / float64(to.at.Sub(from.at))
}

// authorOf finds out which of some processes is at the other end of a connection.
func authorOf(remote net.Addr, pids map[string]int) string {
	_, port, err := net.SplitHostPort(remote.String())
	if err != nil {
		return ""
	}
	n, _ := strconv.Atoi(port)
	f, err := os.Open("/proc/net/tcp")
	if err != nil {
		return ""
	}
	defer f.Close()
	local := fmt.Sprintf(":%04X", n)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || !strings.HasSuffix(fields[1], local) || fields[9] == "0" {
			continue
		}
		for name, pid := range pids {
			if holds(pid, "socket:["+fields[9]+"]") {
				return name
			}
		}
	}
	return ""
}

func holds(pid int, what string) bool {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if link, err := os.Readlink(dir + "/" + e.Name()); err == nil && link == what {
			return true
		}
	}
	return false
}
