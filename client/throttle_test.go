package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"chatd/proto"
)

// Errno 9 stops all waiting messages, of all conversations. They are then sent
// with the same cids, in the order of the calls, before later ones.
func TestTooFastKeepsOrder(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	c, p := f.loggedIn(rec, proto.Response{}, nil)
	conv := func(i int) Conv { return User(3 + int64(i%2)) }
	var chs []<-chan sent
	var qs []*proto.Request
	for i := range 4 {
		chs = append(chs, sendTo(t, c, conv(i), "x"))
		qs = append(qs, p.expect(proto.ONE_CHAT))
	}
	p.stored(qs[0], 1)
	for i, q := range qs[1:] { // what is left of the wait becomes less
		p.answer(q, proto.Response{Errno: proto.TooFast, RetryAfter: 300 - int64(i), CID: q.CID, ToID: q.ToID})
	}
	p.send(push(chat(1)))
	rec.seqs(1) // and so the refusals have been read
	for i := 4; i < 8; i++ {
		chs = append(chs, sendTo(t, c, conv(i), "x"))
	}
	for i := 1; i < 8; i++ {
		q := p.expect(proto.ONE_CHAT)
		if q.ToID != conv(i).Peer || q.Retry || i < 4 && string(q.CID) != string(qs[i].CID) {
			t.Fatalf("number %d is %+v", i, q)
		}
		p.stored(q, 1+int64(i/2))
	}
	for i, ch := range chs {
		if got := take(t, ch, "the answer"); got.err != nil || got.seq != 1+int64(i/2) {
			t.Errorf("number %d: %+v", i, got)
		}
	}
}

// A refused message is sent again only after the answers to all messages of its
// conversation that were in flight after it: the server refuses these as well,
// and new messages would overtake them. Other conversations don't wait.
func TestRetryKeepsOrder(t *testing.T) {
	for _, errno := range []proto.Errno{proto.TooFast, proto.Unavailable} {
		t.Run(fmt.Sprint("errno ", errno), func(t *testing.T) {
			f, rec := newFake(t), newRecord(t)
			c, p := f.loggedIn(rec, proto.Response{}, nil)
			var chs []<-chan sent
			var qs []*proto.Request
			for range 3 {
				chs = append(chs, sendTo(t, c, User(2), "x"))
				qs = append(qs, p.expect(proto.ONE_CHAT))
			}
			refuse := func(q *proto.Request) {
				p.answer(q, proto.Response{Errno: errno, RetryAfter: 1, CID: q.CID, ToID: q.ToID})
			}
			refuse(qs[0])
			p.send(push(chat(1)))
			rec.seqs(1) // and so the refusal has been read
			chs = append(chs, sendTo(t, c, User(2), "new"))
			// What is due is sent in the order of the calls: if the first were sent
			// again by now, it would come before this.
			elsewhere := sendTo(t, c, User(3), "elsewhere")
			q := p.expect(proto.ONE_CHAT)
			if q.ToID != 3 {
				t.Fatalf("sent again while others are on the wire: %+v", q)
			}
			p.stored(q, 1)
			take(t, elsewhere, "the answer elsewhere")
			refuse(qs[1])
			refuse(qs[2])
			for i := range 4 {
				q := p.expect(proto.ONE_CHAT)
				if q.ToID != 2 || i < 3 && string(q.CID) != string(qs[i].CID) || i == 3 && string(q.Msg) != "new" {
					t.Fatalf("number %d is %+v", i, q)
				}
				p.stored(q, int64(i+2))
			}
			for i, ch := range chs {
				if got := take(t, ch, "the answer"); got.err != nil || got.seq != int64(i+2) {
					t.Errorf("number %d: %+v", i, got)
				}
			}
		})
	}
}

// While the server throttles, the client sends nothing: messages and requests
// wait, and events fail because they would be late.
func TestNothingSentWhileThrottled(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	c, p := f.loggedIn(rec, proto.Response{}, nil)
	sendTo(t, c, User(2), "a")
	q := p.expect(proto.ONE_CHAT)
	p.answer(q, proto.Response{Errno: proto.TooFast, RetryAfter: 3_600_000, CID: q.CID, ToID: 2})
	p.send(push(chat(1)))
	rec.seqs(1) // and so the refusal has been read
	sendTo(t, c, User(3), "b")
	if err := c.Typing(User(3)); !errors.Is(err, ErrBusy) {
		t.Errorf("an event: %v", err)
	}
	ctx, cancel := context.WithCancel(within(t))
	done := make(chan error, 1)
	go func() { _, err := c.FindUser(ctx, "x"); done <- err }()
	cancel()
	if err := take(t, done, "the end of the request"); !errors.Is(err, context.Canceled) {
		t.Errorf("a request: %v", err)
	}
	go func() { _, err := c.FindUser(within(t), "x"); done <- err }()
	p.none()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := take(t, done, "the end of the request"); !errors.Is(err, ErrClosed) && !errors.Is(err, ErrNotConnected) && !errors.Is(err, ErrNotLoggedIn) {
		t.Errorf("a request, after Close: %v", err)
	}
	for q := range p.requests {
		t.Errorf("the client sent %+v", q)
	}
}

// A throttled request is retried, except a password change.
func TestTooFastRequests(t *testing.T) {
	f := newFake(t)
	c, p := f.loggedIn(nil, proto.Response{}, nil)
	done := make(chan error, 1)
	go func() { _, err := c.FindUser(within(t), "bob"); done <- err }()
	for range 3 {
		p.answer(p.expect(proto.FIND_USER), proto.Response{Errno: proto.TooFast, RetryAfter: 1})
	}
	p.answer(p.expect(proto.FIND_USER), proto.Response{ID: 2, Name: "bob"})
	if err := take(t, done, "the answer"); err != nil {
		t.Error(err)
	}
	go func() { done <- c.ChangePassword(within(t), "old secret", "new secret") }()
	p.answer(p.expect(proto.PASSWORD), proto.Response{Errno: proto.TooFast, RetryAfter: 30_000})
	var e *proto.Error
	if err := take(t, done, "the answer"); !errors.As(err, &e) || e.Errno != proto.TooFast || e.RetryAfter != 30*time.Second {
		t.Errorf("a password: %v", err)
	}
	barrier(t, c, p) // and nothing waits because of that
}

// A refused receipt is sent again. Otherwise the server wouldn't know until the
// next message.
func TestTooFastReceipt(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	c, p := f.loggedIn(rec, proto.Response{}, nil)
	p.send(push(chat(1)))
	rec.seqs(1)
	refuse := func(q *proto.Request) {
		t.Helper()
		if q.RID == 0 {
			t.Fatal("got a receipt without rid, want one with")
		}
		p.send(&proto.Response{Op: proto.ERROR, Errno: proto.TooFast, RetryAfter: 1, ErrMsg: "too fast", RID: q.RID, Fields: 1 << proto.FRID})
	}
	refuse(take(t, p.receipts, "a receipt"))
	q := take(t, p.receipts, "the receipt again")
	if q.Seq != 1 || q.Peer != 2 || q.Read {
		t.Errorf("again came %+v", q)
	}
	c.MarkRead(User(2), 1)
	refuse(take(t, p.receipts, "that it was read"))
	if q := take(t, p.receipts, "that it was read, again"); q.Seq != 1 || q.Peer != 2 || !q.Read {
		t.Errorf("again came %+v", q)
	}
}

// If the server rejects a connection because it is full, Login returns its
// error, and a reconnect waits for as long as it asks.
func TestRejectedConnection(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	reject := func(p *peer) {
		p.send(&proto.Response{Op: proto.ERROR, Errno: proto.TooFast, ErrMsg: "too many connections", RetryAfter: 20})
		if err := p.conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Error(err)
		}
	}
	c := f.newClient(rec, nil)
	done := make(chan error, 1)
	go func() { done <- c.Login(within(t), "alice", "secret") }()
	reject(f.accept())
	var e *proto.Error
	if err := take(t, done, "the login"); !errors.As(err, &e) || e.Errno != proto.TooFast || !errors.Is(err, ErrNotConnected) {
		t.Fatalf("the login: %v", err)
	}
	go func() { done <- c.Login(within(t), "alice", "secret") }()
	p := f.login(proto.Response{})
	if err := take(t, done, "the login"); err != nil {
		t.Fatal(err)
	}
	rec.state(LoggedIn)
	p.conn.Close()
	reject(f.accept())
	for {
		s := rec.state(Disconnected)
		if s.Final {
			t.Fatalf("it gave up: %+v", s)
		}
		if errors.As(s.Err, &e) {
			if s.Retry < 20*time.Millisecond {
				t.Errorf("it waits %v only", s.Retry)
			}
			break
		}
	}
	f.login(proto.Response{})
	rec.state(LoggedIn)
}

// After KICK "abuse" the client doesn't reconnect, and the handler is told.
func TestAbuseIsFinal(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	c, p := f.loggedIn(rec, proto.Response{}, nil)
	ch := sendTo(t, c, User(2), "x")
	p.expect(proto.ONE_CHAT)
	p.send(&proto.Response{Op: proto.KICK, Reason: proto.Abuse, ErrMsg: "too fast", RetryAfter: 1})
	p.conn.Close()
	var kick *KickError
	if got := take(t, ch, "the end"); !errors.As(got.err, &kick) || kick.Reason != proto.Abuse {
		t.Errorf("the message: %v", got.err)
	}
	if s := rec.state(Disconnected); !s.Final {
		t.Errorf("state %+v", s)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-f.peer:
		t.Error("it has connected again")
	default:
	}
}
