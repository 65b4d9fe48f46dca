package reactor

import (
	"sync"
	"sync/atomic"
)

const (
	// How much of its mailbox a loop handles in one turn, so that a busy mailbox
	// doesn't starve the sockets.
	maxTurnItems = 1024
	maxTurnBytes = 256 << 10
	// The size of a batch that several goroutines share.
	maxSharedItems = 1024
	maxSharedBytes = 256 << 10
	// Larger arenas aren't pooled.
	maxPooledArena = 1 << 20
)

// item is an entry of a batch: write the next n bytes of the arena to c, or run fn,
// which holds n bytes of memory. If n < 0, the bytes were dropped, and c must be
// kicked.
type item struct {
	c  *Conn
	fn func(t Turn)
	n  int

	droppable bool // the frame may be dropped, without kicking c
}

// batch is a list of items for a loop, in order, with the bytes of all of them in
// one arena.
type batch struct {
	items  []item
	arena  []byte
	shared bool // any goroutine may append, under the mailbox's lock
	posted int  // bytes that its functions hold
	size   int  // bytes that the mailbox counts for it: the arena and posted

	next, off int // the receiving loop's position in items and arena
}

func (b *batch) send(c *Conn, body []byte) {
	b.arena = append(b.arena, body...)
	b.items = append(b.items, item{c: c, n: len(body)})
}

func (b *batch) post(fn func(t Turn), n int) {
	b.posted += n
	b.items = append(b.items, item{fn: fn, n: n})
}

// dropBytes drops the frames of a batch, but not its functions.
func (b *batch) dropBytes() {
	b.arena = b.arena[:0]
	for i := range b.items {
		if b.items[i].c != nil {
			b.items[i].n = -1
		}
	}
}

// batches is the pool of batches for all loops.
type batches struct{ pool sync.Pool }

func (p *batches) get() *batch {
	if b, ok := p.pool.Get().(*batch); ok {
		return b
	}
	return new(batch)
}

func (p *batches) put(b *batch) {
	if cap(b.arena) > maxPooledArena || cap(b.items) > 16*maxTurnItems {
		return
	}
	clear(b.items) // don't keep connections alive
	*b = batch{items: b.items[:0], arena: b.arena[:0]}
	p.pool.Put(b)
}

// mailbox is the queue of batches from other goroutines to a loop. It is safe for
// concurrent use.
type mailbox struct {
	bytes atomic.Int64 // in the queue, and in batches that the loop hasn't finished

	mu    sync.Mutex
	queue []*batch
	armed bool // the loop has been woken and hasn't found the queue empty since
	open  bool
}

// put appends b, which the caller must no longer use. If wake is true, the caller
// must wake the loop.
func (m *mailbox) put(b *batch) (wake bool, err error) {
	b.size = len(b.arena) + b.posted
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.open {
		return false, ErrStopped
	}
	m.bytes.Add(int64(b.size))
	m.queue = append(m.queue, b)
	wake = !m.armed
	m.armed = true
	return wake, nil
}

// add appends an item to the last batch if that is shared and not full, or to a new
// batch. If wake is true, the caller must wake the loop.
func (m *mailbox) add(it item, body []byte, pool *batches) (wake bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.open {
		return false, ErrStopped
	}
	var b *batch
	if n := len(m.queue); n > 0 {
		b = m.queue[n-1]
	}
	if b == nil || !b.shared || len(b.items) >= maxSharedItems || len(b.arena) >= maxSharedBytes {
		b = pool.get()
		b.shared = true
		m.queue = append(m.queue, b)
	}
	b.items = append(b.items, it)
	b.arena = append(b.arena, body...)
	n := len(body)
	if it.fn != nil {
		n = it.n
		b.posted += n
	}
	b.size += n
	m.bytes.Add(int64(n))
	wake = !m.armed
	m.armed = true
	return wake, nil
}

// take returns all batches, and leaves an empty queue that uses the memory of
// spare. If it returns none, the mailbox is no longer armed.
func (m *mailbox) take(spare []*batch) []*batch {
	m.mu.Lock()
	defer m.mu.Unlock()
	q := m.queue
	m.queue = spare[:0]
	if len(q) == 0 {
		m.armed = false
	}
	return q
}

func (m *mailbox) setOpen(open bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open = open
}

// outboxFor returns this turn's batch for a loop.
func (l *loop) outboxFor(t Turn, to *loop) *batch {
	b := l.outbox[to.idx]
	if b == nil {
		b = l.r.batches.get()
		l.outbox[to.idx] = b
		l.outboxTo = append(l.outboxTo, to)
	}
	return b
}

// sendOutbox puts the batches of this turn into the other loops' mailboxes. It
// takes one lock, and wakes at most once, per loop.
func (l *loop) sendOutbox(t Turn) {
	for _, to := range l.outboxTo {
		b := l.outbox[to.idx]
		l.outbox[to.idx] = nil
		if n := len(b.arena); n > 0 && to.mailboxFull(n) {
			b.dropBytes()
		}
		if wake, err := to.mailbox.put(b); err != nil {
			l.r.batches.put(b)
		} else if wake {
			to.wake()
		}
	}
	l.outboxTo = l.outboxTo[:0]
}

// mailboxFull reports whether n more bytes would exceed Config.MaxMailbox, and
// counts that.
func (l *loop) mailboxFull(n int) bool { return l.mailboxBeyond(n, l.r.cfg.MaxMailbox) }

// mailboxHalfFull is mailboxFull for droppable work. Half of the mailbox is
// reserved for frames: dropping one ends a connection.
func (l *loop) mailboxHalfFull(n int) bool { return l.mailboxBeyond(n, l.r.cfg.MaxMailbox/2) }

func (l *loop) mailboxBeyond(n, limit int) bool {
	if l.mailbox.bytes.Load()+int64(n) <= int64(limit) {
		return false
	}
	l.r.count.mailboxFull.Inc()
	return true
}

// sendFromOutside sends a frame to c, which is on this loop. Any goroutine may
// call it.
func (l *loop) sendFromOutside(c *Conn, body []byte) error {
	it := item{c: c, n: len(body)}
	if l.mailboxFull(len(body)) {
		it.n, body = -1, nil
	}
	return l.enqueue(it, body)
}

// post posts a function. Any goroutine may call it.
func (l *loop) post(fn func(t Turn)) error { return l.enqueue(item{fn: fn}, nil) }

// postSized posts a droppable function that holds n bytes. Any goroutine may
// call it.
func (l *loop) postSized(n int, fn func(t Turn)) error {
	if l.mailboxHalfFull(n) {
		return ErrBusy
	}
	return l.enqueue(item{fn: fn, n: n}, nil)
}

func (l *loop) enqueue(it item, body []byte) error {
	wake, err := l.mailbox.add(it, body, &l.r.batches)
	if wake {
		l.wake()
	}
	return err
}

// readMailbox handles the items in the mailbox, up to the limits for one turn.
func (l *loop) readMailbox(t Turn) {
	items, bytes := maxTurnItems, maxTurnBytes
	for {
		if l.inboxNext == len(l.inbox) {
			clear(l.inbox)
			l.inbox, l.inboxNext = l.mailbox.take(l.inbox), 0
			if len(l.inbox) == 0 {
				return
			}
		}
		b := l.inbox[l.inboxNext]
		for b.next < len(b.items) {
			if items == 0 || bytes <= 0 {
				l.wakeSelf(t)
				return
			}
			it := b.items[b.next]
			b.next++
			items--
			switch {
			case it.fn != nil:
				l.call(t, nil, "posted function", it.fn)
			case it.n < 0 && it.droppable:
				l.r.count.slowDropped.Inc()
			case it.n < 0:
				it.c.kick(t, kickSlow)
			default:
				body := b.arena[b.off : b.off+it.n]
				b.off += it.n
				bytes -= it.n
				if it.droppable {
					it.c.WriteDroppable(t, body)
				} else {
					it.c.Write(t, body)
				}
			}
		}
		l.mailbox.bytes.Add(-int64(b.size))
		l.inbox[l.inboxNext] = nil
		l.inboxNext++
		l.r.batches.put(b)
	}
}
