package client

import (
	"bufio"
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"chatd/proto"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for something to happen before it fails.
const patience = 60 * time.Second

// within returns a context that ends after patience.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// fake is a server on a real socket. The test plays the server's part.
type fake struct {
	t    *testing.T
	ln   net.Listener
	peer chan *peer
}

// peer is the server's end of a connection. Its reader answers PINGs and collects
// RECEIPTs in receipts, and all other requests in requests.
type peer struct {
	t        *testing.T
	conn     net.Conn
	requests chan *proto.Request
	receipts chan *proto.Request
	write    sync.Mutex
}

func newFake(t *testing.T) *fake {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return newFakeOn(t, ln)
}

func newFakeOn(t *testing.T, ln net.Listener) *fake {
	f := &fake{t: t, ln: ln, peer: make(chan *peer, 16)}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			p := &peer{t: t, conn: conn, requests: make(chan *proto.Request, 10000), receipts: make(chan *proto.Request, 10000)}
			wg.Go(p.read)
			f.peer <- p
		}
	})
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return f
}

func (f *fake) addr() string { return f.ln.Addr().String() }

// accept waits for the next connection.
func (f *fake) accept() *peer {
	f.t.Helper()
	return take(f.t, f.peer, "a connection")
}

func (p *peer) read() {
	defer p.conn.Close()
	defer close(p.requests)
	r := bufio.NewReader(p.conn)
	var dec proto.Decoder
	for {
		body, err := proto.ReadFrame(r, nil)
		if err != nil {
			return
		}
		q, bad := dec.Decode(body)
		if bad != nil {
			p.t.Errorf("the client sent an invalid request: %v: %s", bad, body)
			return
		}
		q = q.Clone()
		switch q.Op {
		case proto.PING:
			p.send(&proto.Response{Op: proto.PONG})
		case proto.RECEIPT:
			p.receipts <- q
		default:
			p.requests <- q
		}
	}
}

// send writes responses, all in one segment.
func (p *peer) send(rs ...*proto.Response) {
	var b []byte
	for _, r := range rs {
		b = proto.AppendFrame(b, proto.AppendResponse(nil, r))
	}
	p.write.Lock()
	defer p.write.Unlock()
	p.conn.Write(b) // if this fails, the test misses the answer
}

// expect takes the next request, which must have this op.
func (p *peer) expect(op proto.Op) *proto.Request {
	p.t.Helper()
	q := take(p.t, p.requests, op.String())
	if q == nil || q.Op != op {
		p.t.Fatalf("the client sent %+v, want a %s", q, op)
	}
	return q
}

// none fails the test if the client has sent a request that the test hasn't taken.
func (p *peer) none() {
	p.t.Helper()
	select {
	case q := <-p.requests:
		p.t.Fatalf("the client sent %+v, want no request", q)
	default:
	}
}

// answer sends r as the answer to q.
func (p *peer) answer(q *proto.Request, r proto.Response) {
	r.Op, r.RID, r.Fields = q.Op.Ack(), q.RID, 1<<proto.FRID
	p.send(&r)
}

// login accepts the next connection and lets it log in as user 1, "alice".
func (f *fake) login(with proto.Response) *peer {
	f.t.Helper()
	p := f.accept()
	q := p.expect(proto.LOGIN)
	if !q.Ack {
		f.t.Error("LOGIN: ack = false, want true")
	}
	with.ID, with.Name, with.Token, with.Device = 1, "alice", "tok", "default"
	if with.Window == 0 {
		with.Window = 256
	}
	if with.Epoch == 0 {
		with.Epoch = 7
	}
	p.answer(q, with)
	return p
}

// stored acknowledges the chat message q.
func (p *peer) stored(q *proto.Request, seq int64) {
	p.answer(q, proto.Response{CID: q.CID, ToID: q.ToID, GroupID: q.GroupID, Seq: seq, Time: 1000 + seq})
}

// chat is a message from user 2 to user 1.
func chat(seq int64) proto.Chat {
	return proto.Chat{Op: proto.ONE_CHAT, ID: 2, Name: "bob", ToID: 1, Msg: "hello", Time: 1000 + seq, Seq: seq, CID: "c"}
}

func push(m proto.Chat) *proto.Response {
	return &proto.Response{Op: m.Op, ID: m.ID, Name: m.Name, ToID: m.ToID, GroupID: m.GroupID, Msg: []byte(m.Msg),
		Time: m.Time, Seq: m.Seq, CID: []byte(m.CID)}
}

// record records the calls of handlers, in order.
type record struct {
	t        *testing.T
	messages chan Message
	states   chan StateChange
	order    chan any
}

func newRecord(t *testing.T) *record {
	return &record{t: t, messages: make(chan Message, 100000), states: make(chan StateChange, 1000), order: make(chan any, 100000)}
}

func (r *record) handlers() Handlers {
	return Handlers{
		Message:  func(m Message) { r.order <- m; r.messages <- m },
		State:    func(s StateChange) { r.order <- s; r.states <- s },
		Event:    func(e Event) { r.order <- e },
		Read:     func(e Read) { r.order <- e },
		Presence: func(e Presence) { r.order <- e },
		Change:   func(e Change) { r.order <- e },
	}
}

// seqs takes n messages and returns their seqs.
func (r *record) seqs(n int) []int64 {
	r.t.Helper()
	out := make([]int64, n)
	for i := range out {
		out[i] = take(r.t, r.messages, "a message").Seq
	}
	return out
}

// wantSeqs takes messages and checks their seqs.
func (r *record) wantSeqs(want ...int64) {
	r.t.Helper()
	if got := r.seqs(len(want)); !slices.Equal(got, want) {
		r.t.Errorf("the handler got the seqs %v, want %v", got, want)
	}
}

// state takes state changes until one is s.
func (r *record) state(s State) StateChange {
	r.t.Helper()
	for {
		if got := take(r.t, r.states, s.String()); got.State == s {
			return got
		}
	}
}

// take receives from ch. It fails the test if nothing comes.
func take[T any](t *testing.T, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("timeout waiting for %s", what)
		panic("unreachable")
	}
}

// newClient returns a client of the fake that reconnects without delay.
func (f *fake) newClient(rec *record, change func(*Config)) *Client {
	f.t.Helper()
	cfg := Config{Addrs: []string{f.addr()}, BackoffMin: time.Millisecond, BackoffMax: time.Millisecond}
	if rec != nil {
		cfg.Handlers = rec.handlers()
	}
	if change != nil {
		change(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { c.Close() })
	return c
}

// loggedIn returns a client that is logged in, and the server's end of its
// connection.
func (f *fake) loggedIn(rec *record, with proto.Response, change func(*Config)) (*Client, *peer) {
	f.t.Helper()
	c := f.newClient(rec, change)
	ch := make(chan error, 1)
	go func() { ch <- c.Login(within(f.t), "alice", "secret") }()
	p := f.login(with)
	if err := take(f.t, ch, "the login"); err != nil {
		f.t.Fatal(err)
	}
	return c, p
}

// sent is the result of sending a message.
type sent struct {
	seq int64
	err error
}

// sendTo sends a message, and returns the channel that gets the result.
func sendTo(t *testing.T, c *Client, conv Conv, text string) <-chan sent {
	t.Helper()
	ch := make(chan sent, 1)
	if err := c.SendAsync(conv, text, func(r Receipt, err error) { ch <- sent{r.Seq, err} }); err != nil {
		t.Fatal(err)
	}
	return ch
}

// barrier waits until the client has read everything that p sent before.
func barrier(t *testing.T, c *Client, p *peer) {
	t.Helper()
	done := make(chan error, 1)
	go func() { _, err := c.FindUser(within(t), "nobody"); done <- err }()
	p.answer(p.expect(proto.FIND_USER), proto.Response{Errno: proto.NotFound})
	var e *proto.Error
	if err := take(t, done, "the answer"); !errors.As(err, &e) || e.Errno != proto.NotFound {
		t.Fatalf("FindUser: got %v, want errno %d", err, proto.NotFound)
	}
}
