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

// relief is how far below the limit enforce goes once it is exceeded: by 1/relief of
// it, so that it needn't kick connections again in the next turn.
const relief = 8

func newUnsent(cfg *Config) unsentOnLoop {
	return unsentOnLoop{limit: max(cfg.MaxWaitingAll/cfg.Loops, cfg.MaxWaiting)}
}

// update counts the unsent bytes of a connection after a write. A connection that
// is closed or finishing counts as 0.
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

// recount updates all counts, because gnet doesn't report when the kernel accepts
// bytes later.
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
