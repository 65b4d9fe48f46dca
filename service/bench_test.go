package service_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"chatd/proto"
	"chatd/reactor"
	"chatd/service"
	"chatd/service/bus"
)

// tap passes the connection of a client to the benchmark when the client sends
// the event tapEvent.
type tap struct {
	reactor.Handler
	conns chan *reactor.Conn
}

const tapEvent = "tap"

func (h *tap) Request(t service.Turn, c *reactor.Conn, r *proto.Request) bool {
	if r.Op == proto.EVENT && string(r.Event) == tapEvent {
		h.conns <- c
		return true
	}
	return h.Handler.Request(t, c, r)
}

// quietNode returns a node without background work. Its rate limits are on, so
// that their cost is measured, but too high to be reached.
func quietNode(tb testing.TB, loops int) (*node, *tap) {
	h := &tap{conns: make(chan *reactor.Conn, 1)}
	n := serve(tb, func(s *setup) {
		s.reactor.Loops = loops
		s.reactor.IdleTimeout = time.Hour
		const plenty = 1 << 30
		s.reactor.FramesPerSecPerConn, s.reactor.BytesPerSecPerConn, s.reactor.AbuseAfter = plenty, plenty, 1
		s.service.Limits.FramesPerSecPerUser, s.service.Limits.BytesPerSecPerUser = plenty, plenty
		s.service.Delivery.RepairEvery, s.service.Presence.SweepEvery, s.service.Cluster.Tick = time.Hour, time.Hour, time.Hour
		s.handler = func(inner reactor.Handler) reactor.Handler {
			h.Handler = inner
			return h
		}
	})
	return n, h
}

// raw returns a Reader of the bytes on the client's connection. The client must
// not be used otherwise afterwards.
func (w *wire) raw() io.Reader {
	w.tb.Helper()
	w.barrier()
	if err := w.conn.SetDeadline(time.Time{}); err != nil {
		w.fatalf("%v", err)
	}
	return w.br
}

// dispatcher calls Service.Request with an event, as the reactor does: on the
// loop of the sender.
type dispatcher struct {
	tb   testing.TB
	n    *node
	conn *reactor.Conn // the sender's
	body []byte
	dec  proto.Decoder
	to   io.Reader // the receiver's connection
	size int       // of each frame that the receiver gets, in bytes
}

// newDispatcher returns a dispatcher whose receiver is on the sender's loop or,
// if cross is set, on another one.
func newDispatcher(tb testing.TB, cross bool) *dispatcher {
	tb.Helper()
	n, h := quietNode(tb, 2)
	ids := n.users("ann", "bob", "cid")
	var ws [3]*wire
	var conns [3]*reactor.Conn
	for i, id := range ids { // on two loops
		ws[i] = n.login(id)
		ws[i].send(with(id).event(tapEvent))
		conns[i] = <-h.conns
	}
	to := 1
	if (conns[1].Ref().Loop() != conns[0].Ref().Loop()) != cross {
		to = 2
	}
	event := with(ids[to]).event("typing").with(obj{"data": strings.Repeat("x", 100)})
	ws[0].send(event) // fills the loop's cache of blocks
	got, err := ws[to].body()
	if err != nil {
		tb.Fatal(err)
	}
	return &dispatcher{tb: tb, n: n, conn: conns[0], body: event.json(), to: ws[to].raw(), size: proto.HeaderSize + len(got)}
}

// turn runs f in a turn of the sender's loop, and waits until the receiver has
// got this many events.
func (d *dispatcher) turn(events int, f func(t service.Turn)) {
	d.tb.Helper()
	done := make(chan struct{})
	if err := d.n.r.Post(d.conn.Ref().Loop(), func(t service.Turn) {
		defer close(done)
		f(t)
	}); err != nil {
		d.tb.Fatal(err)
	}
	<-done
	if _, err := io.CopyN(io.Discard, d.to, int64(events*d.size)); err != nil {
		d.tb.Fatal(err)
	}
}

func (d *dispatcher) dispatch(t service.Turn) {
	r, err := d.dec.Decode(d.body)
	if err != nil || !d.n.svc.Request(t, d.conn, r) {
		d.tb.Errorf("the event was not accepted (error %v), want it to be", err)
	}
}

// BenchmarkDispatch measures an event from its bytes through the decoder, the
// dispatch table and the handler to the buffer of the receiver's connection or
// the mailbox of the receiver's loop.
func BenchmarkDispatch(b *testing.B) {
	for _, cross := range []bool{false, true} {
		b.Run(map[bool]string{false: "same loop", true: "cross loop"}[cross], func(b *testing.B) {
			d := newDispatcher(b, cross)
			b.ReportAllocs()
			b.ResetTimer()
			b.StopTimer()
			const most = 1024 // events per turn; more wouldn't fit into the connection's buffer
			for i := 0; i < b.N; i += most {
				k := min(most, b.N-i)
				d.turn(k, func(t service.Turn) {
					b.StartTimer()
					for range k {
						d.dispatch(t)
					}
					b.StopTimer()
				})
			}
		})
	}
}

// Dispatching an event doesn't allocate memory: it uses buffers of the loop.
func TestEventDoesNotAllocate(t *testing.T) {
	for _, cross := range []bool{false, true} {
		d := newDispatcher(t, cross)
		const events = 200 // a few growing buffers round down to 0 per event
		var n float64
		d.turn(1+events, func(t service.Turn) { n = testing.AllocsPerRun(events, func() { d.dispatch(t) }) })
		if n != 0 {
			t.Errorf("cross loop %v: %v allocations per event, want 0", cross, n)
		}
	}
}

// BenchmarkFanOut measures the delivery of messages from another node to all
// members of a group, until they have read them. An op is 64 messages to all
// members.
func BenchmarkFanOut(b *testing.B) {
	for _, sessions := range []int{10, 200, 500} {
		b.Run(fmt.Sprintf("%d sessions", sessions), func(b *testing.B) {
			n, _ := quietNode(b, 2)
			ids := make([]int64, sessions)
			for i := range ids {
				ids[i] = n.user(fmt.Sprint("user ", i))
			}
			group := n.group(ids...)
			const batch = 64
			body := proto.AppendResponse(nil, &proto.Response{Op: proto.GROUP_CHAT, ID: 1, Name: "user 0", GroupID: group,
				Msg: []byte(strings.Repeat("x", 100)), Time: time.Now().UnixMilli(), Seq: 123456, CID: []byte("5f1c8b2e9a7d4c30b6e1f2a3")})
			// Each client reads one batch per value on its channel.
			rounds, read := make([]chan struct{}, sessions), make(chan error, sessions)
			for i, id := range ids {
				in := n.login(id).raw()
				rounds[i] = make(chan struct{}, 1)
				go func() {
					for range rounds[i] {
						_, err := io.CopyN(io.Discard, in, int64(batch*(proto.HeaderSize+len(body))))
						read <- err
					}
				}()
				defer close(rounds[i])
			}
			bodies := make([][]byte, batch)
			for i := range bodies {
				bodies[i] = body
			}
			b.ReportAllocs()
			first := int64(1)
			for b.Loop() {
				for _, r := range rounds {
					r <- struct{}{}
				}
				n.svc.Receive([]bus.Message{{Channel: bus.Group(group), Payload: bus.Payload{
					NewMessages: &bus.NewMessages{Conv: group, Group: group, Version: 1, First: first, Bodies: bodies}}}})
				first += batch
				for range rounds {
					if err := <-read; err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch*sessions), "ns/delivery")
		})
	}
}
