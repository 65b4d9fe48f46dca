package reactor

import (
	"sync"
	"sync/atomic"
)

// How much of its mailbox a loop takes in one turn, so that sockets are read
// and written in between however much comes.
const (
	sliceItems = 1024
	sliceBytes = 256 << 10
	// A batch that several goroutines fill is closed at these, so that taking
	// a slice is possible.
	sharedItems = 1024
	sharedBytes = 256 << 10
	// Arenas above it aren't kept.
	maxArena = 1 << 20
)

// item is one thing for a loop to do: to write the next n bytes of the arena
// to c, or to run fn, which holds n bytes. With n < 0 the bytes were lost, and c
// has to go.
type item struct {
	c  *Conn
	fn func(t Turn)
	n  int
}

// batch is what one sender gathered for one loop: items in order, and the
// bytes of all of them one after another.
type batch struct {
	items  []item
	arena  []byte
	shared bool // any goroutine may append, under the mailbox's lock
	posted int  // bytes that its functions hold
	size   int  // bytes the mailbox counts for it: the arena, and posted

	next, off int // how far the loop is
}

func (b *batch) send(c *Conn, body []byte) {
	b.arena = append(b.arena, body...)
	b.items = append(b.items, item{c: c, n: len(body)})
}

func (b *batch) post(fn func(t Turn), n int) {
	b.posted += n
	b.items = append(b.items, item{fn: fn, n: n})
}

// lose gives up the bytes and keeps what must happen all the same.
func (b *batch) lose() {
	b.arena = b.arena[:0]
	for i := range b.items {
		if b.items[i].c != nil {
			b.items[i].n = -1
		}
	}
}

// batches pools batches for all loops.
type batches struct{ pool sync.Pool }

func (p *batches) get() *batch {
	if b, ok := p.pool.Get().(*batch); ok {
		return b
	}
	return new(batch)
}

func (p *batches) put(b *batch) {
	if cap(b.arena) > maxArena || cap(b.items) > 16*sliceItems {
		return
	}
	clear(b.items) // they hold connections
	*b = batch{items: b.items[:0], arena: b.arena[:0]}
	p.pool.Put(b)
}

// mailbox is what other goroutines have for a loop to do, in order. It is
// armed from the first entry until the loop finds it empty; whoever arms it
// wakes the loop, once.
type mailbox struct {
	bytes atomic.Int64 // waiting, those of the batch at hand included

	mu    sync.Mutex
	queue []*batch
	armed bool
	open  bool
}

// put appends b, which is no longer the caller's. wake: the caller must wake
// the loop.
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

// add appends one item to the batch at the end if that is shared and has
// room, else to a new one. wake: the caller must wake the loop.
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
	if b == nil || !b.shared || len(b.items) >= sharedItems || len(b.arena) >= sharedBytes {
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

// take has all that waits. Nothing: the mailbox is no longer armed. spare is
// an emptied list to go on with.
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

// outgoing is this turn's batch for another loop.
func (l *loop) outgoing(t Turn, to *loop) *batch {
	b := l.out[to.idx]
	if b == nil {
		b = l.r.batches.get()
		l.out[to.idx] = b
		l.outTo = append(l.outTo, to)
	}
	return b
}

// handOver gives the other loops what this turn gathered for them: one lock
// and at most one wake each.
func (l *loop) handOver(t Turn) {
	for _, to := range l.outTo {
		b := l.out[to.idx]
		l.out[to.idx] = nil
		if n := len(b.arena); n > 0 && to.full(n) {
			b.lose()
		}
		if wake, err := to.box.put(b); err != nil {
			l.r.batches.put(b)
		} else if wake {
			to.wake()
		}
	}
	l.outTo = l.outTo[:0]
}

// send leaves bytes for c, which is on this loop; for any goroutine.
func (l *loop) send(c *Conn, body []byte) error {
	it := item{c: c, n: len(body)}
	if l.full(len(body)) {
		it.n, body = -1, nil
	}
	return l.enqueue(it, body)
}

// full says whether n bytes more are too many for the mailbox, and counts that.
func (l *loop) full(n int) bool { return l.beyond(n, l.r.cfg.MaxMailbox) }

// crowded is full for what may be left out: half of the room is kept for what
// would cost connections.
func (l *loop) crowded(n int) bool { return l.beyond(n, l.r.cfg.MaxMailbox/2) }

func (l *loop) beyond(n, most int) bool {
	if l.box.bytes.Load()+int64(n) <= int64(most) {
		return false
	}
	l.r.count.mailboxFull.Inc()
	return true
}

// post leaves a function to run; for any goroutine.
func (l *loop) post(fn func(t Turn)) error { return l.enqueue(item{fn: fn}, nil) }

// postSized is post of a function that holds n bytes. ErrBusy: these are too
// many.
func (l *loop) postSized(n int, fn func(t Turn)) error {
	if l.crowded(n) {
		return ErrBusy
	}
	return l.enqueue(item{fn: fn, n: n}, nil)
}

func (l *loop) enqueue(it item, body []byte) error {
	wake, err := l.box.add(it, body, &l.r.batches)
	if wake {
		l.wake()
	}
	return err
}

// drain does what waits in the mailbox, at most a slice of it.
func (l *loop) drain(t Turn) {
	items, bytes := sliceItems, sliceBytes
	for {
		if l.inNext == len(l.in) {
			clear(l.in)
			l.in, l.inNext = l.box.take(l.in), 0
			if len(l.in) == 0 {
				return
			}
		}
		b := l.in[l.inNext]
		for b.next < len(b.items) {
			if items == 0 || bytes <= 0 {
				l.again(t)
				return
			}
			it := b.items[b.next]
			b.next++
			items--
			switch {
			case it.fn != nil:
				l.call(t, nil, "posted function", it.fn)
			case it.n < 0:
				it.c.kick(t, slow)
			default:
				body := b.arena[b.off : b.off+it.n]
				b.off += it.n
				bytes -= it.n
				it.c.Write(t, body)
			}
		}
		l.box.bytes.Add(-int64(b.size))
		l.in[l.inNext] = nil
		l.inNext++
		l.r.batches.put(b)
	}
}
