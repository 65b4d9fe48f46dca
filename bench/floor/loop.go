package floor

import (
	"context"
	"sync"

	"github.com/panjf2000/gnet/v2"
)

// maxKept is what a buffer may have grown to and still be kept.
const maxKept = 1 << 20

// loop is one of gnet's event loops. What is below the line belongs to it.
type loop struct {
	relay  *relay
	index  int
	engine gnet.EventLoop
	box    mailbox

	// ----
	scratch []byte
	spare   letters  // for the mailbox
	dirty   []*conn  // have something pending
	buffers [][]byte // not in use
}

// mailbox is what other loops have for this one. It is armed from the first
// letter until the loop takes them all: whoever arms it wakes the loop.
type mailbox struct {
	mu    sync.Mutex
	in    letters
	armed bool
}

// letters are frames in order, the bytes of all of them one after another.
type letters struct {
	list  []letter
	arena []byte
}

// letter is the next n bytes for each of to.
type letter struct {
	to []*conn
	n  int
}

// leave has l write frames to its connections; for any loop. It is false
// where l has more to do than it may.
func (l *loop) leave(to []*conn, frames []byte) bool {
	l.box.mu.Lock()
	full := len(l.box.in.arena)+len(frames) > l.relay.cfg.MaxMailbox
	wake := !full && !l.box.armed
	if !full {
		l.box.in.arena = append(l.box.in.arena, frames...)
		l.box.in.list = append(l.box.in.list, letter{to, len(frames)})
		l.box.armed = true
	}
	l.box.mu.Unlock()
	if wake {
		_ = l.engine.Execute(context.Background(), l) // shut down: nobody is left to write to
	}
	return !full
}

// Run is gnet's: the loop empties its mailbox.
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
	clear(in.list) // they hold connections
	l.spare = letters{list: in.list[:0]}
	if cap(in.arena) <= maxKept {
		l.spare.arena = in.arena[:0]
	}
	return nil
}

// gather adds frames to what is pending for c. What comes alone isn't copied.
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
