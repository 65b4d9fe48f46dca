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

// Errno 9 stops the messages of all conversations. Refused ones are resent with the
// same cids, in the order of the calls, before later ones.
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
	for i, q := range qs[1:] { // the remaining time decreases
		p.answer(q, proto.Response{Errno: proto.TooFast, RetryAfter: 300 - int64(i), CID: q.CID, ToID: q.ToID})
	}
	p.send(push(chat(1)))
	rec.seqs(1) // so the refusals have been read
	for i := 4; i < 8; i++ {
		chs = append(chs, sendTo(t, c, conv(i), "x"))
	}
	for i := 1; i < 8; i++ {
		q := p.expect(proto.ONE_CHAT)
		if q.ToID != conv(i).Peer || q.Retry || i < 4 && string(q.CID) != string(qs[i].CID) {
			t.Fatalf("message %d: got %+v, want it to %v, without retry", i, q, conv(i))
		}
		p.stored(q, 1+int64(i/2))
	}
	for i, ch := range chs {
		if got := take(t, ch, "the answer"); got.err != nil || got.seq != 1+int64(i/2) {
			t.Errorf("message %d: got %+v, want seq %d", i, got, 1+i/2)
		}
	}
}

// A refused message is resent only after all later messages of its conversation
// that are in flight are answered: the server refuses those as well, and new
// messages would overtake them. Other conversations don't wait.
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
			rec.seqs(1) // so the refusal has been read
			chs = append(chs, sendTo(t, c, User(2), "new"))
			// Messages are sent in the order of the calls: if the first one were due, it
			// would come before this one.
			elsewhere := sendTo(t, c, User(3), "elsewhere")
			q := p.expect(proto.ONE_CHAT)
			if q.ToID != 3 {
				t.Fatalf("the client resent %+v while later messages are in flight, want the message to user 3", q)
			}
			p.stored(q, 1)
			take(t, elsewhere, "the answer elsewhere")
			refuse(qs[1])
			refuse(qs[2])
			for i := range 4 {
				q := p.expect(proto.ONE_CHAT)
				if q.ToID != 2 || i < 3 && string(q.CID) != string(qs[i].CID) || i == 3 && string(q.Msg) != "new" {
					t.Fatalf("message %d: got %+v, want the messages to user 2 in the order of the calls", i, q)
				}
				p.stored(q, int64(i+2))
			}
			for i, ch := range chs {
				if got := take(t, ch, "the answer"); got.err != nil || got.seq != int64(i+2) {
					t.Errorf("message %d: got %+v, want seq %d", i, got, i+2)
				}
			}
		})
	}
}

// While the server throttles, the client sends nothing. Messages and requests wait;
// events fail, because they would come too late.
func TestNothingSentWhileThrottled(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	c, p := f.loggedIn(rec, proto.Response{}, nil)
	sendTo(t, c, User(2), "a")
	q := p.expect(proto.ONE_CHAT)
	p.answer(q, proto.Response{Errno: proto.TooFast, RetryAfter: 3_600_000, CID: q.CID, ToID: 2})
	p.send(push(chat(1)))
	rec.seqs(1) // so the refusal has been read
	sendTo(t, c, User(3), "b")
	if err := c.Typing(User(3)); !errors.Is(err, ErrBusy) {
		t.Errorf("Typing while throttled = %v, want ErrBusy", err)
	}
	ctx, cancel := context.WithCancel(within(t))
	done := make(chan error, 1)
	go func() { _, err := c.FindUser(ctx, "x"); done <- err }()
	cancel()
	if err := take(t, done, "the end of the request"); !errors.Is(err, context.Canceled) {
		t.Errorf("FindUser with a canceled context = %v, want context.Canceled", err)
	}
	go func() { _, err := c.FindUser(within(t), "x"); done <- err }()
	p.none()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := take(t, done, "the end of the request"); !errors.Is(err, ErrClosed) && !errors.Is(err, ErrNotConnected) && !errors.Is(err, ErrNotLoggedIn) {
		t.Errorf("FindUser during Close = %v, want ErrClosed, ErrNotConnected or ErrNotLoggedIn", err)
	}
	for q := range p.requests {
		t.Errorf("the client sent %+v while throttled", q)
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
		t.Errorf("FindUser = %v, want nil after retries", err)
	}
	go func() { done <- c.ChangePassword(within(t), "old secret", "new secret") }()
	p.answer(p.expect(proto.PASSWORD), proto.Response{Errno: proto.TooFast, RetryAfter: 30_000})
	var e *proto.Error
	if err := take(t, done, "the answer"); !errors.As(err, &e) || e.Errno != proto.TooFast || e.RetryAfter != 30*time.Second {
		t.Errorf("ChangePassword = %v, want errno %d with RetryAfter 30 s", err, proto.TooFast)
	}
	barrier(t, c, p) // other requests don't wait
}

// A refused receipt is resent. Otherwise the server wouldn't know until the next
// message.
func TestTooFastReceipt(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	c, p := f.loggedIn(rec, proto.Response{}, nil)
	p.send(push(chat(1)))
	rec.seqs(1)
	refuse := func(q *proto.Request) {
		t.Helper()
		if q.RID == 0 {
			t.Fatal("got a receipt without rid, want a rid")
		}
		p.send(&proto.Response{Op: proto.ERROR, Errno: proto.TooFast, RetryAfter: 1, ErrMsg: "too many requests; try again later", RID: q.RID, Fields: 1 << proto.FRID})
	}
	refuse(take(t, p.receipts, "a receipt"))
	q := take(t, p.receipts, "the receipt again")
	if q.Seq != 1 || q.Peer != 2 || q.Read {
		t.Errorf("resent receipt = %+v, want seq 1 of peer 2, not read", q)
	}
	c.MarkRead(User(2), 1)
	refuse(take(t, p.receipts, "the read receipt"))
	if q := take(t, p.receipts, "the read receipt again"); q.Seq != 1 || q.Peer != 2 || !q.Read {
		t.Errorf("resent receipt = %+v, want seq 1 of peer 2, read", q)
	}
}

// If the server refuses a connection because it is full, Login returns its error,
// and a reconnect waits for as long as the server asks.
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
		t.Fatalf("Login = %v, want ErrNotConnected and errno %d", err, proto.TooFast)
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
			t.Fatalf("state change = %+v, want a retry", s)
		}
		if errors.As(s.Err, &e) {
			if s.Retry < 20*time.Millisecond {
				t.Errorf("retry after %v, want at least 20 ms", s.Retry)
			}
			break
		}
	}
	f.login(proto.Response{})
	rec.state(LoggedIn)
}

// After KICK "abuse" the client doesn't reconnect, and the handler gets a final
// state change.
func TestAbuseIsFinal(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	c, p := f.loggedIn(rec, proto.Response{}, nil)
	ch := sendTo(t, c, User(2), "x")
	p.expect(proto.ONE_CHAT)
	p.send(&proto.Response{Op: proto.KICK, Reason: proto.Abuse, ErrMsg: "too many requests; try again later", RetryAfter: 1})
	p.conn.Close()
	var kick *KickError
	if got := take(t, ch, "the end"); !errors.As(got.err, &kick) || kick.Reason != proto.Abuse {
		t.Errorf("message after KICK = %v, want a KickError with %q", got.err, proto.Abuse)
	}
	if s := rec.state(Disconnected); !s.Final {
		t.Errorf("state change = %+v, want Final", s)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-f.peer:
		t.Error("the client has reconnected after KICK \"abuse\"")
	default:
	}
}
