// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// claims decides which of several names of one API server stands for it. Two loops that
// wrote the same Guard for different clusters would undo each other for ever.
type claims struct {
	mu    sync.Mutex
	byUID map[types.UID][]claim
}

// claim is one name of an API server.
type claim struct {
	key     string
	station *station
	// member: a ManagementCluster, which says more about an API server than a Cluster that
	// happens to lead to it.
	member  bool
	created time.Time
}

// before orders claims: the first one wins, whatever order they were made in.
func (c claim) before(d claim) int {
	if c.member != d.member {
		if c.member {
			return -1
		}
		return 1
	}
	if order := c.created.Compare(d.created); order != 0 {
		return order
	}
	return strings.Compare(c.key, d.key)
}

// put adds a claim and returns the one that stands for the API server, and whether that
// took it from another one.
func (c *claims) put(uid types.UID, added claim) (owner claim, moved bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if held := c.byUID[uid]; !slices.Contains(held, added) {
		c.remove(added.key)
		held = append(c.byUID[uid], added)
		before := held[0].key
		slices.SortFunc(held, claim.before)
		c.byUID[uid] = held
		moved = held[0].key != before
	}
	return c.byUID[uid][0], moved
}

// drop removes every claim of a key, and says whether another one takes its place.
func (c *claims) drop(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.remove(key)
}

func (c *claims) remove(key string) (moved bool) {
	for uid, held := range c.byUID {
		first := held[0].key
		held = slices.DeleteFunc(held, func(h claim) bool { return h.key == key })
		if len(held) == 0 {
			delete(c.byUID, uid)
			continue
		}
		c.byUID[uid] = held
		moved = moved || held[0].key != first
	}
	return moved
}
