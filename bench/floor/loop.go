package floor

import (
	"context"
	"sync"

	"github.com/panjf2000/gnet/v2"
)

// maxKept is the largest buffer that is kept for reuse.
const maxKept = 1 << 20

// loop is one of gnet's event loops. Only the loop itself uses the fields below
// the line.
type loop struct {
	relay  *relay
	index  int
	engine gnet.EventLoop
	box    mailbox

	// ----
	scratch []byte
	spare   batch    // for the mailbox
	dirty   []*conn  // connections with something pending
	buffers [][]byte // free buffers
}

// mailbox holds frames from other loops for this one. It is armed from the
// first post until the loop takes everything. The post that arms it wakes the
// loop.
type mailbox struct {
	mu    sync.Mutex
	in    batch
	armed bool
}

// batch is a list of posts. arena holds their frames one after another.
type batch struct {
	list  []post
	arena []byte
}

// post is the next n bytes for each of to.
type post struct {
	to []*conn
	n  int
}

// post makes l write frames to some of its connections. Any loop may call it.
// It returns false if the mailbox is full.
func (l *loop) post(to []*conn, frames []byte) bool {
	l.box.mu.Lock()
	full := len(l.box.in.arena)+len(frames) > l.relay.cfg.MaxMailbox
	wake := !full && !l.box.armed
	if !full {
		l.box.in.arena = append(l.box.in.arena, frames...)
		l.box.in.list = append(l.box.in.list, post{to, len(frames)})
		l.box.armed = true
	}
	l.box.mu.Unlock()
	if wake {
		_ = l.engine.Execute(context.Background(), l) // fails after a shutdown, when nobody is left to write to
	}
	return !full
}

// Run implements gnet.Runnable: the loop empties its mailbox.
func (l *loop) Run(context.Context) error {
	l.box.mu.Lock()
	in := l.box.in
	l.box.in, l.box.armed = l.spare, false
	l.box.mu.Unlock()
	at := 0
	for _, lt := range in.list {
		frames := in.arena[at : at+lt.n]
		at += lt.n
		for _, c := range lt.to {
			l.gather(c, frames)
		}
	}
	for i, c := range l.dirty {
		c.write(c.pending)
		if c.copied && cap(c.pending) <= maxKept {
			l.buffers = append(l.buffers, c.pending[:0])
		}
		c.pending, c.copied, l.dirty[i] = nil, false, nil
	}
	l.dirty = l.dirty[:0]
	clear(in.list) // they refer to connections
	l.spare = batch{list: in.list[:0]}
	if cap(in.arena) <= maxKept {
		l.spare.arena = in.arena[:0]
	}
	return nil
}

// gather adds frames to what is pending for c. A single post isn't copied.
func (l *loop) gather(c *conn, frames []byte) {
	switch {
	case len(c.pending) == 0:
		c.pending = frames
		l.dirty = append(l.dirty, c)
		return
	case !c.copied:
		var b []byte
		if n := len(l.buffers); n > 0 {
			b, l.buffers = l.buffers[n-1], l.buffers[:n-1]
		}
		c.pending, c.copied = append(b, c.pending...), true
	}
	c.pending = append(c.pending, frames...)
}
