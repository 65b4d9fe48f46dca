package cluster

import "chatd/service/bus"

// Receive handles a payload on the channel bus.Nodes. Other payloads are
// ignored.
func (c *Cluster) Receive(p *bus.Payload) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case p.Heartbeat != nil:
		c.onHeartbeat(p.Heartbeat)
	case p.RosterDelta != nil:
		c.onDelta(p.RosterDelta)
	case p.RosterChunk != nil:
		c.onChunk(p.RosterChunk)
	case p.RosterRequest != nil && p.RosterRequest.Node == c.id:
		c.out.wantRoster()
	}
	c.updateKnown()
}

// find returns the member with an ID, or a new one. It returns nil for this node,
// for nodes that are leaving, and if there are too many nodes.
func (c *Cluster) find(id bus.NodeID) *member {
	m := c.members[id]
	if m != nil && m.leaving > 0 || id == c.id {
		return nil
	}
	if m != nil {
		return m
	}
	for slot := range c.slots {
		if !c.slots[slot] {
			c.slots[slot] = true
			m = &member{id: id, slot: slot, version: unknown, asked: notAsked}
			c.members[id] = m
			c.names[slot].Store(new(string))
			return m
		}
	}
	c.refused.Inc()
	if !c.full {
		c.full = true
		c.log.Error("too many nodes: users of the others appear offline", "max", maxNodes)
	}
	return nil
}

func (c *Cluster) onHeartbeat(h *bus.Heartbeat) {
	if h.Bye && c.members[h.Node] == nil {
		return
	}
	m := c.find(h.Node)
	if m == nil {
		return
	}
	m.silent, m.confirmed = 0, true
	if *c.names[m.slot].Load() != h.Name {
		c.names[m.slot].Store(&h.Name)
	}
	if h.Bye {
		m.leaving, m.silent = c.grace, -1 // never dead
		return
	}
	if h.Hello {
		c.out.beat()
	} else {
		c.expected = max(c.expected, min(h.Nodes, maxNodes))
	}
	switch {
	case m.version == h.Version:
	case h.Version == 0 && m.version == unknown && m.chunks.count == 0: // it has had no users yet
		m.version = 0
	default:
		c.lost(m)
	}
}

// lost records that this node doesn't have a node's current roster, and asks for
// it.
func (c *Cluster) lost(m *member) {
	m.version = unknown
	if m.asked < c.ticks {
		c.ask(m)
	}
}

func (c *Cluster) onDelta(d *bus.RosterDelta) {
	m := c.find(d.Node)
	switch {
	case m == nil:
	case m.version == unknown || d.Version > m.version+1:
		c.lost(m)
	case d.Version == m.version+1: // otherwise it is a repeated one
		m.version = d.Version
		var gone []int64
		for _, u := range d.Went {
			if c.view.remove(u, m.slot) {
				gone = append(gone, u)
			}
		}
		for _, u := range d.Came {
			if _, ok := c.view.add(u, m.slot); !ok {
				c.refused.Inc()
			}
		}
		if len(gone) > 0 {
			c.listener.Gone(gone)
		}
	}
}

func (c *Cluster) onChunk(r *bus.RosterChunk) {
	m := c.find(r.Node)
	if m == nil || m.version != unknown && r.Version <= m.version { // another node has asked for it
		return
	}
	m.version = unknown // until all chunks are here
	p := &m.chunks
	if p.version != r.Version || p.count != r.Chunks || p.missing == 0 {
		p.version, p.count, p.missing = r.Version, r.Chunks, r.Chunks
		clear(p.got[:])
	}
	word, bit := &p.got[r.Index/64], uint64(1)<<(r.Index%64)
	if *word&bit != 0 {
		return
	}
	found, gone, ok := c.view.replace(m.slot, r)
	if !ok {
		c.refused.Inc()
	}
	*word |= bit
	if p.missing--; p.missing == 0 {
		m.version = r.Version
		m.asked = notAsked // if this roster turns out to be old, ask at once
	}
	if len(gone) > 0 {
		c.listener.Gone(gone)
	}
	if len(found) > 0 {
		c.listener.Found(found)
	}
}
