package floor

import (
	"errors"
	"slices"
	"sync/atomic"
)

// group is a set of senders and receivers.
type group struct {
	number  uint64
	members int // guarded by relay.mu
	// receivers by loop. The slices are immutable: joining and leaving replace
	// them.
	receivers atomic.Pointer[[][]*conn]
}

var errSecondHello = errors.New("second hello on a connection")

// join adds c to a group. It must be called on c's loop.
func (r *relay) join(c *conn, role Role, number uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.group != nil {
		return errSecondHello
	}
	g := r.groups[number]
	if g == nil {
		none := make([][]*conn, r.cfg.Loops)
		g = &group{number: number}
		g.receivers.Store(&none)
		r.groups[number] = g
	}
	g.members++
	c.group, c.role = g, role
	if role == Receiver {
		g.change(c.loop.index, func(list []*conn) []*conn { return append(slices.Clone(list), c) })
	}
	return nil
}

// leave removes c from its group. It must be called on c's loop.
func (r *relay) leave(c *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := c.group
	if g == nil {
		return
	}
	if c.role == Receiver {
		g.change(c.loop.index, func(list []*conn) []*conn {
			return slices.DeleteFunc(slices.Clone(list), func(o *conn) bool { return o == c })
		})
	}
	c.group = nil
	if g.members--; g.members == 0 {
		delete(r.groups, g.number)
	}
}

// change replaces the receivers of one loop.
func (g *group) change(loop int, to func([]*conn) []*conn) {
	all := slices.Clone(*g.receivers.Load())
	all[loop] = to(all[loop])
	g.receivers.Store(&all)
}
