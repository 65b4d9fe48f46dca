package reactor

import "slices"

// unsentOnLoop counts the bytes that the kernel hasn't accepted yet, for all
// connections of a loop, and enforces the loop's share of Config.MaxWaitingAll.
// The counts are as of the last write or tick.
type unsentOnLoop struct {
	conns []*Conn
	bytes int
	limit int
}

// relief is how far the limit is undercut once it was exceeded: by 1/relief of
// it, so that not every turn has to look for connections to end.
const relief = 8

func newUnsent(cfg *Config) unsentOnLoop {
	return unsentOnLoop{limit: max(cfg.MaxWaitingAll/cfg.Loops, cfg.MaxWaiting)}
}

// update counts the unsent bytes of a connection after a write. A connection
// that is finishing counts as 0, as it will have none soon.
func (u *unsentOnLoop) update(t Turn, c *Conn) {
	n := c.buffered
	if !c.open || c.finishing {
		n = 0
	}
	u.bytes += n - c.unsentCounted
	c.unsentCounted = n
	if n > 0 && !c.inUnsent {
		c.inUnsent = true
		u.conns = append(u.conns, c)
	}
}

// recount counts again: gnet doesn't report what the kernel accepts later.
func (u *unsentOnLoop) recount(t Turn) {
	kept := u.conns[:0]
	for _, c := range u.conns {
		if c.open {
			c.buffered = c.gc.OutboundBuffered()
		}
		if u.update(t, c); c.unsentCounted > 0 {
			kept = append(kept, c)
		} else {
			c.inUnsent = false
		}
	}
	clear(u.conns[len(kept):])
	u.conns = kept
}

// enforce kicks the connections with the most unsent bytes if the loop exceeds
// its limit.
func (u *unsentOnLoop) enforce(t Turn) {
	if u.bytes <= u.limit {
		return
	}
	if u.recount(t); u.bytes <= u.limit {
		return
	}
	slowest := slices.Clone(u.conns)
	slices.SortFunc(slowest, func(a, b *Conn) int { return b.unsentCounted - a.unsentCounted })
	for _, c := range slowest {
		if u.bytes <= u.limit-u.limit/relief {
			break
		}
		c.kick(t, kickSlowAll)
		u.update(t, c)
	}
}
