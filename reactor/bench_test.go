package reactor

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"chatd/proto"
)

// BenchmarkRelay sends messages of 154 bytes from clients of one loop to clients of
// the same or another loop, with window messages in flight per pair. An op is one
// message.
func BenchmarkRelay(b *testing.B) {
	for _, cross := range []bool{false, true} {
		for _, window := range []int{1, 64} {
			name := map[bool]string{false: "same loop", true: "cross loop"}[cross]
			b.Run(fmt.Sprintf("%s/window %d", name, window), func(b *testing.B) { benchRelay(b, cross, window, 8) })
		}
	}
}

func benchRelay(b *testing.B, cross bool, window, pairs int) {
	type end struct {
		*client
		peer *ConnRef
	}
	conns := make(chan *Conn, 4*pairs)
	body := sayBody(fmt.Sprintf("%0120d", 0))
	r := serve(b, &funcs{
		open: func(t Turn, c *Conn) { conns <- c },
		request: func(t Turn, c *Conn, r *proto.Request) bool {
			t.Send(c.Data(t).(*ConnRef), body)
			return true
		},
	}, func(cfg *Config) { cfg.LoginTimeout = time.Hour })
	ends := map[int][]end{}
	for range 2 * pairs {
		c := dial(b, r)
		if err := c.SetDeadline(noTime); err != nil {
			b.Fatal(err)
		}
		p := (<-conns).Ref()
		ends[p.Loop()] = append(ends[p.Loop()], end{c, p})
	}
	var from, to []end
	if cross {
		from, to = ends[0], ends[1]
	} else {
		all := append(ends[0][:pairs/2*2:pairs/2*2], ends[1]...)
		for i := 0; i+1 < len(all); i += 2 {
			from, to = append(from, all[i]), append(to, all[i+1])
		}
	}
	for i := range pairs {
		onLoop(b, r, from[i].peer.Loop(), func(t Turn) { from[i].peer.c.SetData(t, to[i].peer) })
	}
	f := frame(chat(fmt.Sprintf("%0100d", 0)))
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range pairs {
		wg.Go(func() { benchPair(b, from[i].Conn, to[i].Conn, f, len(body)+proto.HeaderSize, window, b.N/pairs+1) })
	}
	wg.Wait()
}

// feeder feeds frames to a connection as if its socket had been read. The handler
// sends a frame to another connection for each.
type feeder struct {
	from, to *Conn
	data     []byte // the frames of one read
}

// feedFrames is how many frames one read has.
const feedFrames = 64

// newFeeder returns a feeder whose connections are on the same loop or, if cross is
// true, on two loops.
func newFeeder(tb testing.TB, cross bool) (*feeder, *Reactor) {
	tb.Helper()
	conns := make(chan *Conn, 1)
	var f feeder
	body := sayBody(fmt.Sprintf("%0120d", 0))
	r := serve(tb, &funcs{
		open: func(t Turn, c *Conn) { conns <- c },
		request: func(t Turn, c *Conn, r *proto.Request) bool {
			t.Send(f.to.Ref(), body)
			return true
		},
	}, func(cfg *Config) { cfg.LoginTimeout = time.Hour })
	var all [3]*Conn
	for i := range all { // on two loops
		dial(tb, r)
		all[i] = await(tb, conns, "a connection")
	}
	f.from = all[0]
	for _, c := range all[1:] {
		if (c.l != f.from.l) == cross {
			f.to = c
		}
	}
	for range feedFrames {
		f.data = append(f.data, frame(chat(fmt.Sprintf("%0100d", 0)))...)
	}
	return &f, r
}

// feed simulates one read. It drops the output, so that a benchmark measures only the
// work up to there.
func (f *feeder) feed(t Turn) {
	l := f.from.l
	f.from.feed(t, f.data)
	for _, to := range l.outboxTo {
		l.r.batches.put(l.outbox[to.idx])
		l.outbox[to.idx] = nil
	}
	l.outboxTo = l.outboxTo[:0]
	for _, c := range l.dirty {
		l.r.buffers.put(c.out)
		c.out, c.dirty, c.queued = nil, false, 0
	}
	l.dirty = l.dirty[:0]
}

// BenchmarkFeed measures a request within a loop: from the read of 64 frames, through
// framing, decoder and handler, to the buffer of a connection or the mailbox of
// another loop. An op is one request.
func BenchmarkFeed(b *testing.B) {
	for _, cross := range []bool{false, true} {
		b.Run(map[bool]string{false: "same loop", true: "cross loop"}[cross], func(b *testing.B) {
			f, r := newFeeder(b, cross)
			b.SetBytes(int64(len(f.data) / feedFrames))
			b.ReportAllocs()
			done := make(chan struct{})
			if err := r.Post(f.from.l.idx, func(t Turn) {
				defer close(done)
				b.ResetTimer()
				for i := 0; i < b.N; i += feedFrames {
					f.feed(t)
				}
				b.StopTimer()
			}); err != nil {
				b.Fatal(err)
			}
			<-done
		})
	}
}

// The path from a read to a mailbox doesn't allocate. One allocation per frame would
// keep the garbage collector busy.
func TestFeedDoesNotAllocate(t *testing.T) {
	for _, cross := range []bool{false, true} {
		f, r := newFeeder(t, cross)
		const reads = 100
		var n float64
		onLoop(t, r, f.from.l.idx, func(t Turn) { n = testing.AllocsPerRun(reads, func() { f.feed(t) }) })
		// The pools drop some buffers, under the race detector on purpose. That
		// is far less than one per frame.
		if n >= feedFrames/2 {
			t.Errorf("cross loop %t: %v allocations for a read of %d frames, want fewer than %d", cross, n, feedFrames, feedFrames/2)
		}
	}
}

// benchPair keeps window messages in flight until n have arrived.
func benchPair(b *testing.B, from, to net.Conn, f []byte, size, window, n int) {
	batch := max(1, window/2)
	burst := make([]byte, 0, batch*len(f))
	for range batch {
		burst = append(burst, f...)
	}
	in := bufio.NewReaderSize(to, 64<<10)
	send := func(k int) {
		if _, err := from.Write(burst[:k*len(f)]); err != nil {
			b.Error(err)
		}
	}
	sent := 0
	for range window / batch {
		k := min(batch, n-sent)
		send(k)
		sent += k
	}
	for got := 0; got < n; {
		k := min(batch, n-got)
		if _, err := io.CopyN(io.Discard, in, int64(k*size)); err != nil {
			b.Error(err)
			return
		}
		got += k
		if k := min(batch, n-sent); k > 0 {
			send(k)
			sent += k
		}
	}
}
