package reactor

import "slices"

// unsentOnLoop are the connections of a loop for which bytes wait that the kernel
// hasn't taken, and how many in all: as of when they were last looked at, which
// is at most a tick ago. It belongs to the loop.
type unsentOnLoop struct {
	conns []*Conn
	bytes int
	most  int // the loop's part of Config.MaxWaitingAll
}

// spareShare is how much is free of the bound after it was hit: a part of it,
// so that not every turn has to look for somebody to end.
const spareShare = 8

func newUnsent(cfg *Config) unsentOnLoop {
	return unsentOnLoop{most: max(cfg.MaxWaitingAll/cfg.Loops, cfg.MaxWaiting)}
}

// note counts what waits for a connection after a write. One that is ending
// will have nothing soon.
func (g *unsentOnLoop) note(t Turn, c *Conn) {
	n := c.buffered
	if !c.open || c.finishing {
		n = 0
	}
	g.bytes += n - c.lags
	c.lags = n
	if n > 0 && !c.lagging {
		c.lagging = true
		g.conns = append(g.conns, c)
	}
}

// look counts again: what the kernel takes by itself, nobody tells.
func (g *unsentOnLoop) look(t Turn) {
	kept := g.conns[:0]
	for _, c := range g.conns {
		if c.open {
			c.buffered = c.gc.OutboundBuffered()
		}
		if g.note(t, c); c.lags > 0 {
			kept = append(kept, c)
		} else {
			c.lagging = false
		}
	}
	clear(g.conns[len(kept):])
	g.conns = kept
}

// relieve ends those for which most waits where too much waits for all.
func (g *unsentOnLoop) relieve(t Turn) {
	if g.bytes <= g.most {
		return
	}
	if g.look(t); g.bytes <= g.most {
		return
	}
	slowest := slices.Clone(g.conns)
	slices.SortFunc(slowest, func(a, b *Conn) int { return b.lags - a.lags })
	for _, c := range slowest {
		if g.bytes <= g.most-g.most/spareShare {
			break
		}
		c.kick(t, slowAll)
		g.note(t, c)
	}
}
