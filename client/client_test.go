package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"chatd/proto"
)

// After a login, handlers first get the state change, then the missed messages
// in order. The lists are filled when Login returns.
func TestLogin(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	c, _ := f.loggedIn(rec, proto.Response{
		Friends: []proto.Friend{{ID: 2, Name: "bob", State: proto.Online}},
		Groups:  []proto.Group{{ID: 5, GroupName: "g", Seq: 3, Users: []proto.Member{{ID: 1}, {ID: 2}}}},
		Offline: []proto.Chat{chat(4), chat(5)},
	}, nil)
	if err := c.Handled(within(t)); err != nil || len(rec.order) != 4 {
		t.Errorf("after Login: %d calls of handlers and Handled = %v, want 4 and nil", len(rec.order), err)
	}
	if id, name := c.Me(); id != 1 || name != "alice" || c.Token() != "tok" || c.State() != LoggedIn {
		t.Errorf("Me, Token, State = %d, %q, %q, %v; want 1, alice, tok, logged in", id, name, c.Token(), c.State())
	}
	if fs := c.Friends(); len(fs) != 1 || fs[0].Name != "bob" {
		t.Errorf("Friends() = %v, want bob", fs)
	}
	if gs := c.Groups(); len(gs) != 1 || len(gs[0].Users) != 2 {
		t.Errorf("Groups() = %v, want one group with two members", gs)
	}
	for i, want := range []string{"connected", "logged in", "4", "5"} {
		var got string
		switch v := take(t, rec.order, want).(type) {
		case StateChange:
			got = v.State.String()
		case Message:
			if got = fmt.Sprint(v.Seq); !v.Backlog || v.Text != "hello" || v.CID != "c" || v.Conv != User(2) {
				t.Errorf("got the message %+v, want \"hello\" from user 2, with Backlog", v)
			}
		}
		if got != want {
			t.Fatalf("call %d of a handler is %q, want %q", i, got, want)
		}
	}
}

// A refused login returns the server's error, doesn't reconnect, and can be
// retried on the same client.
func TestLoginRefused(t *testing.T) {
	f := newFake(t)
	c := f.newClient(nil, nil)
	done := make(chan error, 1)
	go func() { done <- c.Login(within(t), "alice", "wrong") }()
	p := f.accept()
	p.answer(p.expect(proto.LOGIN), proto.Response{Errno: proto.Refused, ErrMsg: "wrong"})
	var e *proto.Error
	if err := take(t, done, "the refusal"); !errors.As(err, &e) || e.Errno != proto.Refused {
		t.Fatalf("Login = %v, want errno %d", err, proto.Refused)
	}
	if _, err := c.Send(within(t), User(2), "x"); !errors.Is(err, ErrNotLoggedIn) {
		t.Errorf("Send after a refused login = %v, want ErrNotLoggedIn", err)
	}
	go func() { done <- c.Login(within(t), "17", "right!") }()
	q := p.expect(proto.LOGIN)
	if q.ID != 17 || q.Has(proto.FName) {
		t.Errorf("Login with \"17\" sent %+v, want id 17 and no name", q)
	}
	p.answer(q, proto.Response{ID: 17, Name: "alice", Token: "t", Device: "default", Epoch: 1})
	if err := take(t, done, "the login"); err != nil {
		t.Fatal(err)
	}
}

// The client tries the addresses in turn, so one dead server doesn't matter.
func TestAddresses(t *testing.T) {
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()
	f := newFake(t)
	f.loggedIn(nil, proto.Response{}, func(cfg *Config) {
		cfg.Addrs = []string{dead.Addr().String(), f.addr()}
	})
	c := f.newClient(nil, func(cfg *Config) { cfg.Addrs = []string{dead.Addr().String()} })
	if err := c.Login(within(t), "a", "b"); !errors.Is(err, ErrNotConnected) {
		t.Errorf("Login to a dead server = %v, want ErrNotConnected", err)
	}
}

// Send returns the seq of an acknowledged message, and the server's error for a
// refused one. Invalid messages aren't sent.
func TestSend(t *testing.T) {
	f := newFake(t)
	c, p := f.loggedIn(nil, proto.Response{}, nil)
	done := make(chan sent, 1)
	go func() {
		r, err := c.Send(within(t), User(2), "hi:there")
		done <- sent{r.Seq, err}
	}()
	q := p.expect(proto.ONE_CHAT)
	if string(q.Msg) != "hi:there" || q.ToID != 2 || q.Retry || len(q.CID) < 16 {
		t.Errorf("Send sent %+v, want \"hi:there\" to user 2, with a cid and without retry", q)
	}
	p.stored(q, 1)
	if got := take(t, done, "the ACK"); got.err != nil || got.seq != 1 {
		t.Errorf("Send = %+v, want seq 1", got)
	}
	ch := sendTo(t, c, Group(5), "x")
	q = p.expect(proto.GROUP_CHAT)
	p.answer(q, proto.Response{Errno: proto.NotAllowed, ErrMsg: "no member", CID: q.CID, GroupID: 5})
	var e *proto.Error
	if got := take(t, ch, "the refusal"); !errors.As(got.err, &e) || e.Errno != proto.NotAllowed {
		t.Errorf("refused message: got %+v, want errno %d", got, proto.NotAllowed)
	}
	// The refusal of an invalid message has only the rid, no cid.
	ch = sendTo(t, c, User(2), "x")
	q = p.expect(proto.ONE_CHAT)
	p.send(&proto.Response{Op: proto.ERROR, Errno: proto.BadRequest, ErrMsg: "bad", RID: q.RID, Fields: 1 << proto.FRID})
	if got := take(t, ch, "the refusal"); !errors.As(got.err, &e) || e.Errno != proto.BadRequest {
		t.Errorf("invalid message: got %+v, want errno %d", got, proto.BadRequest)
	}
	for name, text := range map[string]string{"empty": "", "long": strings.Repeat("x", proto.MaxMsg+1),
		"invalid UTF-8": "\xff", "long when escaped": strings.Repeat("\x01", 20000)} {
		if err := c.SendAsync(User(2), text, nil); !errors.As(err, &e) || e.Errno != proto.BadRequest {
			t.Errorf("SendAsync of a text that is %s = %v, want errno %d", name, err, proto.BadRequest)
		}
	}
	if err := c.SendAsync(Conv{}, "x", nil); !errors.As(err, &e) {
		t.Errorf("SendAsync to Conv{} = %v, want a *proto.Error", err)
	}
}

// At most one window of messages is in flight, and at most Config.Outbox
// messages wait.
func TestWindow(t *testing.T) {
	f := newFake(t)
	c, p := f.loggedIn(nil, proto.Response{Window: 3}, func(cfg *Config) { cfg.Outbox = 5 })
	var all []<-chan sent
	for range 5 {
		all = append(all, sendTo(t, c, User(2), "x"))
	}
	if err := c.SendAsync(User(2), "x", nil); !errors.Is(err, ErrOutboxFull) {
		t.Errorf("SendAsync of a sixth message = %v, want ErrOutboxFull", err)
	}
	var wire []*proto.Request
	for range 3 {
		wire = append(wire, p.expect(proto.ONE_CHAT))
	}
	barrier(t, c, p)
	p.none()
	flushed := make(chan error, 1)
	go func() { flushed <- c.Flush(within(t)) }()
	for i := range all {
		p.stored(wire[i], int64(i+1))
		if got := take(t, all[i], "the ACK"); got.err != nil {
			t.Errorf("message %d: got %v, want no error", i, got.err)
		}
		if len(wire) < 5 {
			wire = append(wire, p.expect(proto.ONE_CHAT)) // each ACK makes room for another message
		}
	}
	if err := take(t, flushed, "the end of Flush"); err != nil {
		t.Error(err)
	}
	if s := c.Stats(); s.Sent != 5 || s.Acked != 5 || s.OutboxFull != 1 {
		t.Errorf("Stats() = %+v, want Sent 5, Acked 5, OutboxFull 1", s)
	}
}

// After a lost connection, messages in flight are sent again in order, with the
// same cid and retry:true. Waiting messages are sent as new. Nothing is lost,
// and each callback is called once.
func TestResend(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	c, p := f.loggedIn(rec, proto.Response{Window: 2}, nil)
	var all []<-chan sent
	for i := range 4 {
		all = append(all, sendTo(t, c, User(2), fmt.Sprint(i)))
	}
	first, second := p.expect(proto.ONE_CHAT), p.expect(proto.ONE_CHAT)
	p.conn.Close()
	p = f.accept()
	q := p.expect(proto.LOGIN)
	if q.Token != "tok" || q.Password != "" {
		t.Errorf("reconnect sent %+v, want a LOGIN with the token", q)
	}
	p.answer(q, proto.Response{ID: 1, Name: "alice", Token: "tok", Device: "default", Epoch: 7, Window: 2})
	for i := range 4 {
		q := p.expect(proto.ONE_CHAT)
		if string(q.Msg) != fmt.Sprint(i) || q.Retry != (i < 2) {
			t.Errorf("message %d: got %q, retry %v; want %q, retry %v", i, q.Msg, q.Retry, fmt.Sprint(i), i < 2)
		}
		if i < 2 && string(q.CID) != string([]*proto.Request{first, second}[i].CID) {
			t.Errorf("message %d was resent with another cid", i)
		}
		p.stored(q, int64(i+1))
	}
	for i, ch := range all {
		if got := take(t, ch, "the ACK"); got.err != nil || got.seq != int64(i+1) {
			t.Errorf("message %d: got %+v, want seq %d", i, got, i+1)
		}
	}
	if err := c.Flush(within(t)); err != nil {
		t.Errorf("Flush = %v, want nil", err)
	}
}

// Errno 9 and 10 aren't returned to the caller. The message is sent again; after
// errno 10 with retry:true, because it may be stored. Later messages of the
// conversation wait.
func TestTryAgain(t *testing.T) {
	f := newFake(t)
	c, p := f.loggedIn(nil, proto.Response{Window: 1}, nil)
	a, b := sendTo(t, c, User(2), "a"), sendTo(t, c, User(2), "b")
	q := p.expect(proto.ONE_CHAT)
	p.answer(q, proto.Response{Errno: proto.TooFast, RetryAfter: 1, CID: q.CID, ToID: 2})
	again := p.expect(proto.ONE_CHAT)
	if string(again.CID) != string(q.CID) || again.Retry {
		t.Errorf("after errno 9 the client sent %+v, want the same cid without retry", again)
	}
	p.answer(again, proto.Response{Errno: proto.Unavailable, CID: q.CID, ToID: 2})
	again = p.expect(proto.ONE_CHAT)
	if string(again.CID) != string(q.CID) || !again.Retry {
		t.Errorf("after errno 10 the client sent %+v, want the same cid with retry", again)
	}
	p.stored(again, 1)
	q = p.expect(proto.ONE_CHAT)
	p.stored(q, 2)
	if x, y := take(t, a, "a"), take(t, b, "b"); x.seq != 1 || y.seq != 2 || x.err != nil || y.err != nil {
		t.Errorf("got %+v and %+v, want the seqs 1 and 2", x, y)
	}
}

// If an own message comes back in offlinemsg, its ACK was lost: it counts as
// acknowledged, and the handler doesn't get it.
func TestOwnInBacklog(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	c, p := f.loggedIn(rec, proto.Response{}, nil)
	ch := sendTo(t, c, User(2), "x")
	q := p.expect(proto.ONE_CHAT)
	p.conn.Close()
	own := proto.Chat{Op: proto.ONE_CHAT, ID: 1, Name: "alice", ToID: 2, Msg: "x", Time: 5, Seq: 1, CID: string(q.CID)}
	p = f.login(proto.Response{Offline: []proto.Chat{own, chat(2)}})
	if got := take(t, ch, "the ACK"); got.err != nil || got.seq != 1 {
		t.Errorf("result of the message = %+v, want seq 1", got)
	}
	rec.wantSeqs(2)
	barrier(t, c, p)
	p.none() // nothing is resent
}

// The client reads missing messages with SYNC, page by page. The handler gets
// all messages once and in order.
func TestGap(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	_, p := f.loggedIn(rec, proto.Response{}, nil)
	p.send(push(chat(1)), push(chat(6)), push(chat(5)), push(chat(1)), push(chat(6)))
	q := p.expect(proto.SYNC)
	if q.Peer != 2 || q.After != 1 || !q.Has(proto.FAfter) {
		t.Errorf("first SYNC = %+v, want peer 2 after 1", q)
	}
	p.answer(q, proto.Response{Peer: 2, First: 1, Last: 6, More: true, Messages: []proto.Chat{chat(2), chat(3)}})
	q = p.expect(proto.SYNC)
	if q.After != 3 {
		t.Errorf("second SYNC = %+v, want after 3", q)
	}
	p.answer(q, proto.Response{Peer: 2, First: 1, Last: 6, Messages: []proto.Chat{chat(4), chat(5), chat(6)}})
	p.send(push(chat(7)))
	rec.wantSeqs(1, 2, 3, 4, 5, 6, 7)
}

// If a connection ends before the answer to a SYNC, the client may send the next
// SYNC for the conversation, even if pushes have filled the gap before.
func TestSyncLostWithItsConnection(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	_, p := f.loggedIn(rec, proto.Response{}, nil)
	p.send(push(chat(1)), push(chat(3)))
	p.expect(proto.SYNC)
	p.send(push(chat(2)))
	rec.wantSeqs(1, 2, 3)
	p.conn.Close()
	p = f.accept()
	p.answer(p.expect(proto.LOGIN), proto.Response{ID: 1, Name: "alice", Device: proto.DefaultDevice, Token: "token", Window: 256, Epoch: 7})
	p.send(push(chat(5)))
	p.answer(p.expect(proto.SYNC), proto.Response{Peer: 2, First: 1, Last: 5, Messages: []proto.Chat{chat(4), chat(5)}})
	rec.wantSeqs(4, 5)
}

// Messages that the user may not see (first > last+1) are not a gap.
func TestHistoryBeginsLater(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	_, p := f.loggedIn(rec, proto.Response{}, nil)
	p.send(push(chat(1)), push(chat(6)))
	p.answer(p.expect(proto.SYNC), proto.Response{Peer: 2, First: 6, Last: 6, Messages: []proto.Chat{chat(6)}})
	rec.wantSeqs(1, 6)
}

// An ACK that overtakes a push leaves a gap. If the push doesn't come, SYNC fills
// it.
func TestOwnAckGap(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	c, p := f.loggedIn(rec, proto.Response{Offline: []proto.Chat{chat(1)}}, nil)
	sendTo(t, c, User(2), "x")
	p.stored(p.expect(proto.ONE_CHAT), 3)
	p.answer(p.expect(proto.SYNC), proto.Response{Peer: 2, First: 1, Last: 3, Messages: []proto.Chat{chat(2), {
		Op: proto.ONE_CHAT, ID: 1, Name: "alice", ToID: 2, Msg: "x", Seq: 3, CID: "whatever", Time: 1}}})
	p.send(push(chat(4)))
	rec.wantSeqs(1, 2, 4)
}

// In an unknown conversation, an ACK may overtake the pushes before it. The client
// must not take these for duplicates.
func TestOwnAckFirst(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	c, p := f.loggedIn(rec, proto.Response{}, nil)
	ch := sendTo(t, c, User(2), "x")
	p.stored(p.expect(proto.ONE_CHAT), 3)
	take(t, ch, "the ACK")
	p.send(push(chat(1)), push(chat(2)), push(chat(4)))
	rec.wantSeqs(1, 2, 4)
}

// Receipts report only messages whose handler has returned. Close sends the receipts
// that are due.
func TestReceipts(t *testing.T) {
	f := newFake(t)
	entered, leave := make(chan int64, 10), make(chan struct{}, 10)
	c, p := f.loggedIn(nil, proto.Response{}, func(cfg *Config) {
		cfg.Handlers.Message = func(m Message) { entered <- m.Seq; <-leave }
	})
	p.send(push(chat(1)))
	take(t, entered, "the first")
	p.send(push(chat(2)))
	leave <- struct{}{}
	if q := take(t, p.receipts, "a receipt"); q.Seq != 1 || q.Peer != 2 || q.Read {
		t.Errorf("receipt = %+v, want seq 1 of peer 2, not read", q)
	}
	take(t, entered, "the second")
	leave <- struct{}{}
	c.MarkRead(User(2), 99)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for range p.requests { // closed at the connection's end
	}
	var arrived, read int64
	for len(p.receipts) > 0 {
		if q := <-p.receipts; q.Read {
			read = max(read, q.Seq)
		} else {
			arrived = max(arrived, q.Seq)
		}
	}
	if arrived != 2 || read != 2 {
		t.Errorf("receipts after Close: received up to %d, read up to %d; want 2 and 2", arrived, read)
	}
	if err := c.SendAsync(User(2), "x", nil); !errors.Is(err, ErrClosed) {
		t.Errorf("SendAsync after Close = %v, want ErrClosed", err)
	}
}

// KICKs with the reasons replaced, logout and abuse are final: waiting messages
// fail and the client doesn't reconnect.
func TestFinalKick(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	c, p := f.loggedIn(rec, proto.Response{}, nil)
	ch := sendTo(t, c, User(2), "x")
	p.expect(proto.ONE_CHAT)
	p.send(&proto.Response{Op: proto.KICK, Reason: proto.Replaced, ErrMsg: "elsewhere"})
	p.conn.Close()
	if got := take(t, ch, "the end"); !errors.Is(got.err, ErrReplaced) {
		t.Errorf("message after KICK = %v, want ErrReplaced", got.err)
	}
	s := rec.state(Disconnected)
	var kick *KickError
	if !s.Final || !errors.As(s.Err, &kick) || kick.Reason != proto.Replaced {
		t.Errorf("state change = %+v, want Final and the reason %q", s, proto.Replaced)
	}
	if _, err := c.FindUser(within(t), "x"); !errors.Is(err, ErrNotLoggedIn) {
		t.Errorf("FindUser after KICK = %v, want ErrNotLoggedIn", err)
	}
}

// If the server carries out a login that the client has given up, after a later one,
// it ends the later one's session as replaced. The client reconnects then, but only
// once for each login that it has given up: nobody else must be kept from replacing
// it.
func TestReplacedByOwnLogin(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	_, p := f.loggedIn(rec, proto.Response{}, nil)
	p.conn.Close()
	p = f.accept()
	p.expect(proto.LOGIN)
	p.conn.Close() // the client doesn't know what has become of this login
	p = f.login(proto.Response{})
	p.send(&proto.Response{Op: proto.KICK, Reason: proto.Replaced})
	p.conn.Close()
	p = f.login(proto.Response{})
	for replaced := false; !replaced; {
		s := rec.state(Disconnected)
		if s.Final {
			t.Fatalf("state change = %+v, want the client to reconnect", s)
		}
		replaced = errors.Is(s.Err, ErrReplaced)
	}
	p.send(&proto.Response{Op: proto.KICK, Reason: proto.Replaced})
	p.conn.Close()
	if s := rec.state(Disconnected); !s.Final || !errors.Is(s.Err, ErrReplaced) {
		t.Errorf("state change after the second KICK = %+v, want Final and ErrReplaced", s)
	}
}

// A client reconnects after KICK "draining" and after errno 10, but not if its
// token is refused.
func TestRefusedToken(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	c, p := f.loggedIn(rec, proto.Response{}, nil)
	p.send(&proto.Response{Op: proto.KICK, Reason: proto.Draining, ErrMsg: "bye", RetryAfter: 1})
	p.conn.Close()
	if s := rec.state(Disconnected); s.Final || s.Retry < time.Millisecond {
		t.Errorf("state change = %+v, want a retry after at least 1 ms", s)
	}
	p = f.accept()
	q := p.expect(proto.LOGIN)
	p.answer(q, proto.Response{Errno: proto.Unavailable, ErrMsg: "later"})
	p = f.accept() // errno 10 is retried
	p.answer(p.expect(proto.LOGIN), proto.Response{Errno: proto.Refused, ErrMsg: "no"})
	for {
		if s := rec.state(Disconnected); s.Final {
			break
		}
	}
	if c.Token() != "" {
		t.Errorf("Token() after a refused login = %q, want none", c.Token())
	}
}

// A connection on which nothing arrives, not even PONGs, is closed.
func TestSilence(t *testing.T) {
	f := newFake(t)
	c := f.newClient(nil, func(cfg *Config) { cfg.PingEvery = 500 * time.Millisecond })
	done := make(chan error, 1)
	go func() { done <- c.Login(within(t), "alice", "secret") }()
	p := f.login(proto.Response{})
	if err := take(t, done, "the login"); err != nil {
		t.Fatal(err)
	}
	p.write.Lock() // the server sends nothing, not even PONGs
	defer p.write.Unlock()
	f.accept()
}

// A restarted client continues where it stopped: the handler gets the missed
// messages, but no old ones again.
func TestState(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	store := FileStore{t.TempDir() + "/state"}
	c, p := f.loggedIn(rec, proto.Response{}, func(cfg *Config) { cfg.State = store })
	p.send(push(chat(1)), push(chat(2)))
	rec.seqs(2)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = f.newClient(rec, func(cfg *Config) { cfg.State = store })
	done := make(chan error, 1)
	go func() { done <- c.Resume(within(t)) }()
	p = f.login(proto.Response{Offline: []proto.Chat{chat(2), chat(4)}})
	if err := take(t, done, "the login"); err != nil {
		t.Fatal(err)
	}
	p.answer(p.expect(proto.SYNC), proto.Response{Peer: 2, First: 1, Last: 4, Messages: []proto.Chat{chat(3), chat(4)}})
	rec.wantSeqs(3, 4)
	// A new epoch means that the database was restored: the known seqs are invalid.
	p.conn.Close()
	f.login(proto.Response{Epoch: 8, Offline: []proto.Chat{chat(2), chat(3)}})
	rec.wantSeqs(2, 3)
}

// Logout deletes the token on the server and in the store, and the client
// doesn't reconnect.
func TestLogout(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	store := FileStore{t.TempDir() + "/state"}
	c, p := f.loggedIn(rec, proto.Response{}, func(cfg *Config) { cfg.State = store })
	done := make(chan error, 1)
	go func() { done <- c.Logout(within(t)) }()
	p.answer(p.expect(proto.LOGOUT), proto.Response{})
	if err := take(t, done, "the answer"); err != nil {
		t.Fatal(err)
	}
	if s := rec.state(Disconnected); !s.Final {
		t.Errorf("state change after Logout = %+v, want Final", s)
	}
	if s, err := store.Load(); err != nil || s.Token != "" {
		t.Errorf("Load after Logout = %+v, %v; want no token", s, err)
	}
	if err := c.Resume(within(t)); !errors.Is(err, ErrNoToken) {
		t.Errorf("Resume after Logout = %v, want ErrNoToken", err)
	}
}

// A handler may wait for an answer while more messages come than the queue holds.
// Nothing deadlocks, and no message is lost or comes twice.
func TestHandlerWaits(t *testing.T) {
	f := newFake(t)
	const n = 2*queueLen + 500 // the dispatcher has taken a full queue, and another one waits
	var c *Client
	ready, got := make(chan struct{}), make(chan int64, 2*n)
	c, p := f.loggedIn(nil, proto.Response{}, func(cfg *Config) {
		cfg.Handlers.Message = func(m Message) {
			if m.Seq == 1 {
				<-ready
				if _, err := c.FindUser(context.Background(), "x"); err == nil {
					t.Error("FindUser = nil, want errno 5")
				}
			}
			got <- m.Seq
		}
	})
	close(ready)
	all := make([]*proto.Response, n)
	for i := range all {
		all[i] = push(chat(int64(i + 1)))
	}
	p.send(all...)
	p.answer(p.expect(proto.FIND_USER), proto.Response{Errno: proto.NotFound})
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case <-stop:
				return
			case q := <-p.requests:
				if q == nil {
					return
				}
				r := proto.Response{Peer: 2, First: 1, Last: n}
				for seq := q.After + 1; seq <= n && len(r.Messages) < 200; seq++ {
					r.Messages = append(r.Messages, chat(seq))
				}
				r.More = q.After+200 < n
				p.answer(q, r)
			}
		}
	}()
	for want := int64(1); want <= n; want++ {
		if seq := take(t, got, "a message"); seq != want {
			t.Fatalf("the handler got seq %d, want %d", seq, want)
		}
	}
	if c.Stats().QueueFull == 0 {
		t.Error("Stats().QueueFull = 0: the queue was never full, so this test checks nothing")
	}
}

// Pushes update friends and groups and call handlers.
func TestLists(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	c, p := f.loggedIn(rec, proto.Response{Groups: []proto.Group{{ID: 5, GroupName: "g", Users: []proto.Member{{ID: 1}}}}}, nil)
	rec.state(LoggedIn)
	p.send(&proto.Response{Op: proto.ADD_FRIEND, ID: 2, Name: "bob"},
		&proto.Response{Op: proto.PRESENCE, ID: 2, State: proto.Online},
		&proto.Response{Op: proto.ADD_GROUP, GroupID: 5, ID: 2, Name: "bob"},
		&proto.Response{Op: proto.EVENT, ID: 2, Name: "bob", ToID: 1, Event: []byte("typing")},
		&proto.Response{Op: proto.RECEIPT, Peer: 2, ID: 2, Seq: 9, Read: true},
	)
	barrier(t, c, p)
	if fs := c.Friends(); len(fs) != 1 || fs[0] != (proto.Friend{ID: 2, Name: "bob", State: proto.Online}) {
		t.Errorf("Friends() = %+v, want bob, online", fs)
	}
	if gs := c.Groups(); len(gs) != 1 || len(gs[0].Users) != 2 {
		t.Errorf("Groups() = %+v, want one group with two members", gs)
	}
	p.send(&proto.Response{Op: proto.DEL_FRIEND, ID: 2}, &proto.Response{Op: proto.LEAVE_GROUP, GroupID: 5, ID: 1})
	barrier(t, c, p)
	if len(c.Friends()) != 0 || len(c.Groups()) != 0 {
		t.Errorf("Friends(), Groups() = %v, %v; want none", c.Friends(), c.Groups())
	}
	want := []any{
		Change{Kind: FriendAdded, User: 2, Name: "bob"}, Presence{User: 2, Online: true},
		Change{Kind: MemberJoined, Group: 5, User: 2, Name: "bob"},
		Event{Conv: User(2), From: 2, Name: "bob", Kind: "typing"}, Read{Conv: User(2), User: 2, Seq: 9},
		Change{Kind: FriendRemoved, User: 2}, Change{Kind: MemberLeft, Group: 5, User: 1},
	}
	for i := 0; i < len(want); {
		got := take(t, rec.order, "a call")
		if _, ok := got.(StateChange); ok {
			continue
		}
		if got != want[i] {
			t.Errorf("call %d of a handler: got %+v, want %+v", i, got, want[i])
		}
		i++
	}
}

// GroupUsers requests the next page after the last user of a page.
func TestGroupUsers(t *testing.T) {
	f := newFake(t)
	c, p := f.loggedIn(nil, proto.Response{}, nil)
	go func() {
		p.answer(<-p.requests, proto.Response{GroupID: 5, Users: []proto.Member{{ID: 1}, {ID: 4}}, More: true})
		if q := <-p.requests; q.After != 4 {
			t.Errorf("second GROUP_USERS = %+v, want after 4", q)
		} else {
			p.answer(q, proto.Response{GroupID: 5, Users: []proto.Member{{ID: 6}}})
		}
	}()
	var ids []int64
	for m, err := range c.GroupUsers(within(t), 5) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, m.ID)
	}
	if !slices.Equal(ids, []int64{1, 4, 6}) {
		t.Errorf("GroupUsers returned %v, want [1 4 6]", ids)
	}
}

// The features are those of the last LOGIN_ACK, and callers can't change them.
func TestFeatures(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	c := f.newClient(nil, nil)
	if got := c.Features(); len(got) != 0 {
		t.Errorf("before the login: features %q, want none", got)
	}
	c, p := f.loggedIn(rec, proto.Response{Features: []string{"register", "new"}}, nil)
	got := c.Features()
	if !slices.Equal(got, []string{"register", "new"}) {
		t.Errorf("features %q, want register and new", got)
	}
	got[0] = "x"
	if got := c.Features(); got[0] != "register" {
		t.Errorf("after the caller has changed its copy: features %q, want register and new", got)
	}
	rec.state(LoggedIn)
	p.conn.Close()
	f.login(proto.Response{})
	rec.state(LoggedIn)
	if got := c.Features(); len(got) != 0 {
		t.Errorf("after a login without features: %q, want none", got)
	}
}
