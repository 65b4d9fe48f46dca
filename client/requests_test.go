package client

import (
	"context"
	"encoding/binary"
	"errors"
	"runtime"
	"slices"
	"testing"

	"chatd/proto"
)

// Each request has the fields of the protocol and returns the content of the
// answer. Lists and conversations are updated.
func TestRequests(t *testing.T) {
	f := newFake(t)
	c, p := f.loggedIn(nil, proto.Response{Friends: []proto.Friend{{ID: 8, Name: "old"}}}, nil)
	ctx := within(t)
	for _, test := range []struct {
		name   string
		call   func() (any, error)
		want   proto.Request // the request that must be sent
		answer proto.Response
		result any
	}{
		{"Register", func() (any, error) { return c.Register(ctx, "n", "secret") },
			proto.Request{Op: proto.REG, Name: "n", Password: "secret"}, proto.Response{ID: 9}, int64(9)},
		{"RegisterWithCode", func() (any, error) { return c.RegisterWithCode(ctx, "n", "secret", "C0DE") },
			proto.Request{Op: proto.REG, Name: "n", Password: "secret", Code: "C0DE"}, proto.Response{ID: 9}, int64(9)},
		{"AddFriend", func() (any, error) { return c.AddFriend(ctx, 2) },
			proto.Request{Op: proto.ADD_FRIEND, FriendID: 2}, proto.Response{FriendID: 2, Name: "bob", State: proto.Online},
			proto.Friend{ID: 2, Name: "bob", State: proto.Online}},
		{"DelFriend", func() (any, error) { return nil, c.DelFriend(ctx, 8) },
			proto.Request{Op: proto.DEL_FRIEND, FriendID: 8}, proto.Response{FriendID: 8}, nil},
		{"CreateGroup", func() (any, error) { return c.CreateGroup(ctx, "g", "d") },
			proto.Request{Op: proto.CREATE_GROUP, GroupName: "g", GroupDesc: "d"}, proto.Response{GroupID: 5}, int64(5)},
		{"KickMember", func() (any, error) { return nil, c.KickMember(ctx, 5, 2) },
			proto.Request{Op: proto.KICK_MEMBER, GroupID: 5, UserID: 2}, proto.Response{GroupID: 5, UserID: 2}, nil},
		{"LeaveGroup", func() (any, error) { return nil, c.LeaveGroup(ctx, 7) },
			proto.Request{Op: proto.LEAVE_GROUP, GroupID: 7}, proto.Response{GroupID: 7}, nil},
		{"DismissGroup", func() (any, error) { return nil, c.DismissGroup(ctx, 7) },
			proto.Request{Op: proto.DISMISS_GROUP, GroupID: 7}, proto.Response{GroupID: 7}, nil},
		{"Block", func() (any, error) { return nil, c.Block(ctx, 3, true) },
			proto.Request{Op: proto.BLOCK, UserID: 3, On: true}, proto.Response{UserID: 3, On: true}, nil},
		{"FindUser by name", func() (any, error) { return c.FindUser(ctx, "carol") },
			proto.Request{Op: proto.FIND_USER, Name: "carol"}, proto.Response{ID: 3, Name: "carol"}, proto.Friend{ID: 3, Name: "carol"}},
		{"FindUser by id", func() (any, error) { return c.FindUser(ctx, "3") },
			proto.Request{Op: proto.FIND_USER, UserID: 3}, proto.Response{ID: 3, Name: "carol"}, proto.Friend{ID: 3, Name: "carol"}},
		{"ChangePassword", func() (any, error) { return nil, c.ChangePassword(ctx, "secret", "better") },
			proto.Request{Op: proto.PASSWORD, Password: "secret", NewPassword: "better"}, proto.Response{Token: "new"}, nil},
	} {
		type result struct {
			v   any
			err error
		}
		ch := make(chan result, 1)
		go func() { v, err := test.call(); ch <- result{v, err} }()
		q := p.expect(test.want.Op)
		got := *q
		p.answer(q, test.answer)
		got.Fields, got.RID, got.Msg, got.CID, got.Event, got.Data = 0, 0, nil, nil, nil, nil
		if !slices.Equal(proto.AppendRequest(nil, &got), proto.AppendRequest(nil, &test.want)) {
			t.Errorf("%s sent %+v, want %+v", test.name, got, test.want)
		}
		if r := take(t, ch, test.name); r.err != nil || r.v != test.result {
			t.Errorf("%s = %v, %v; want %v", test.name, r.v, r.err, test.result)
		}
		// A refusal returns the server's error.
		go func() { v, err := test.call(); ch <- result{v, err} }()
		p.answer(p.expect(test.want.Op), proto.Response{Errno: proto.LimitFull, ErrMsg: "no"})
		var e *proto.Error
		if r := take(t, ch, test.name); !errors.As(r.err, &e) || e.Errno != proto.LimitFull {
			t.Errorf("%s, refused by the server = %v, want errno %d", test.name, r.err, proto.LimitFull)
		}
	}
	if fs := c.Friends(); len(fs) != 1 || fs[0].ID != 2 {
		t.Errorf("Friends() = %v, want only user 2", fs)
	}
	if gs := c.Groups(); len(gs) != 1 || gs[0].ID != 5 || gs[0].GroupName != "g" || gs[0].Users[0].Role != proto.Creator {
		t.Errorf("Groups() = %v, want only group 5 \"g\", with its creator", gs)
	}
	if c.Token() != "new" {
		t.Errorf("Token() = %q, want \"new\"", c.Token())
	}
}

// After joining a group, the client gets every message from then on, even if it was
// a member before. It doesn't ask for messages that were sent in between.
func TestJoinGroup(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	c, p := f.loggedIn(rec, proto.Response{}, nil)
	group := func(seq int64) *proto.Response {
		return push(proto.Chat{Op: proto.GROUP_CHAT, ID: 2, Name: "bob", GroupID: 5, Msg: "x", Time: 1, Seq: seq, CID: "c"})
	}
	join := func(seq int64) {
		done := make(chan error, 1)
		go func() { _, err := c.JoinGroup(within(t), 5); done <- err }()
		p.answer(p.expect(proto.ADD_GROUP), proto.Response{GroupID: 5, GroupName: "g", Seq: seq, Users: []proto.Member{{ID: 2}, {ID: 1}}})
		if err := take(t, done, "the answer"); err != nil {
			t.Fatal(err)
		}
	}
	join(3)
	p.send(group(4), group(5))
	rec.seqs(2)
	p.send(&proto.Response{Op: proto.LEAVE_GROUP, GroupID: 5, ID: 1}) // removed
	barrier(t, c, p)
	if len(c.Groups()) != 0 {
		t.Errorf("Groups() after being removed = %v, want none", c.Groups())
	}
	join(20)
	if gs := c.Groups(); len(gs) != 1 || len(gs[0].Users) != 2 {
		t.Errorf("Groups() after joining = %+v, want one group with two members", gs)
	}
	p.send(group(21))
	rec.wantSeqs(21)
	barrier(t, c, p)
	p.none()
}

// History returns what was requested and doesn't affect what is received.
func TestHistory(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	c, p := f.loggedIn(rec, proto.Response{}, nil)
	done := make(chan Page, 1)
	go func() {
		page, err := c.History(within(t), User(2), 9, 5)
		if err != nil {
			t.Error(err)
		}
		done <- page
	}()
	q := p.expect(proto.SYNC)
	if q.Before != 9 || q.Limit != 5 || q.Has(proto.FAfter) || q.Peer != 2 {
		t.Errorf("History sent %+v, want peer 2, before 9, limit 5", q)
	}
	own := chat(8)
	own.ID, own.ToID = 1, 2
	gone := chat(7)
	gone.Gone = true // the account was deleted
	p.answer(q, proto.Response{Peer: 2, First: 1, Last: 20, More: true, Messages: []proto.Chat{gone, own}})
	page := take(t, done, "the page")
	if len(page.Messages) != 2 || page.Messages[1].Conv != User(2) || !page.More || page.Last != 20 {
		t.Errorf("History = %+v, want two messages of user 2, Last 20 and More", page)
	} else if !page.Messages[0].Gone || page.Messages[1].Gone {
		t.Errorf("History = %+v, want Gone only for the message of the deleted account", page)
	}
	p.send(push(chat(7)), push(chat(8)))
	rec.wantSeqs(7, 8)
}

// If nothing was pushed to this device because the user's other devices had
// everything, messages from History can be marked as read, but no others.
func TestHistoryIsRead(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	c, p := f.loggedIn(rec, proto.Response{}, nil)
	c.MarkRead(User(2), 8) // no message has come: no effect
	done := make(chan error, 1)
	go func() {
		_, err := c.History(within(t), User(2), 0, 5)
		done <- err
	}()
	p.answer(p.expect(proto.SYNC), proto.Response{Peer: 2, First: 1, Last: 8, Messages: []proto.Chat{chat(7), chat(8)}})
	if err := take(t, done, "the page"); err != nil {
		t.Fatal(err)
	}
	c.MarkRead(User(2), 99)
	if q := take(t, p.receipts, "a receipt"); !q.Read || q.Seq != 8 || q.Peer != 2 {
		t.Errorf("receipt = %+v, want seq 8 of peer 2, read", q)
	}
	// The receipt doesn't count later pushes as received.
	p.send(push(chat(8)), push(chat(9)))
	rec.wantSeqs(8, 9)
}

// Messages from History whose pushes are still on their way, as after a
// reconnect, can be marked as read. The receipt is sent when the pushes have
// arrived.
func TestHistoryAheadIsRead(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	c, p := f.loggedIn(rec, proto.Response{}, nil)
	p.send(push(chat(1)))
	rec.wantSeqs(1)
	done := make(chan error, 1)
	go func() {
		_, err := c.History(within(t), User(2), 0, 5)
		done <- err
	}()
	p.answer(p.expect(proto.SYNC), proto.Response{Peer: 2, First: 1, Last: 3, Messages: []proto.Chat{chat(1), chat(2), chat(3)}})
	if err := take(t, done, "the page"); err != nil {
		t.Fatal(err)
	}
	c.MarkRead(User(2), 3)
	p.send(push(chat(2)), push(chat(3)))
	for read := int64(0); read < 3; {
		q := take(t, p.receipts, "the receipt that 3 was read")
		if q.Read && q.Seq > 3 {
			t.Fatalf("receipt = %+v, want at most seq 3 as read", q)
		}
		if q.Read {
			read = q.Seq
		}
	}
}

// Events are sent immediately. Without a connection they fail, and aren't sent
// later.
func TestTell(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	c, p := f.loggedIn(rec, proto.Response{}, nil)
	if err := c.Typing(Group(5)); err != nil {
		t.Fatal(err)
	}
	if q := p.expect(proto.EVENT); q.GroupID != 5 || string(q.Event) != "typing" {
		t.Errorf("Typing sent %+v, want a \"typing\" event to group 5", q)
	}
	var e *proto.Error
	if err := c.Tell(User(2), "", ""); !errors.As(err, &e) {
		t.Errorf("Tell without a kind = %v, want a *proto.Error", err)
	}
	p.send(&proto.Response{Op: proto.KICK, Reason: proto.Replaced})
	p.conn.Close()
	rec.state(Disconnected)
	if err := c.Typing(User(2)); !errors.Is(err, ErrNotLoggedIn) {
		t.Errorf("Typing after KICK = %v, want ErrNotLoggedIn", err)
	}
}

// If the context of Send ends, a message that was never sent is canceled. One that
// was sent is still retried.
func TestSendCancelled(t *testing.T) {
	f := newFake(t)
	c, p := f.loggedIn(nil, proto.Response{Window: 1}, nil)
	ctx, cancel := context.WithCancel(within(t))
	done := make(chan error, 2)
	for _, text := range []string{"wire", "waits"} {
		go func() { _, err := c.Send(ctx, User(2), text); done <- err }()
		if text == "wire" {
			p.expect(proto.ONE_CHAT)
		}
	}
	for {
		c.mu.Lock()
		n := c.outbox.size()
		c.mu.Unlock()
		if n == 2 {
			break
		}
		runtime.Gosched()
	}
	cancel()
	for range 2 {
		if err := take(t, done, "the end"); !errors.Is(err, context.Canceled) {
			t.Errorf("Send with a canceled context = %v, want context.Canceled", err)
		}
	}
	p.conn.Close()
	p = f.login(proto.Response{})
	q := p.expect(proto.ONE_CHAT)
	if string(q.Msg) != "wire" || !q.Retry {
		t.Errorf("after the reconnect the client sent %+v, want \"wire\" with retry", q)
	}
	p.stored(q, 1)
	barrier(t, c, p)
	p.none()
	if err := c.Flush(within(t)); err != nil {
		t.Errorf("Flush = %v, want nil", err)
	}
}

// If SYNC is refused because the user may no longer read the conversation, the
// client delivers the messages that it has, and doesn't retry.
func TestGapRefused(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	c, p := f.loggedIn(rec, proto.Response{}, nil)
	p.send(push(chat(1)), push(chat(3)), push(chat(5)))
	p.answer(p.expect(proto.SYNC), proto.Response{Errno: proto.NotFound, Peer: 2})
	rec.wantSeqs(1, 3, 5)
	barrier(t, c, p)
	p.none()
}

// Requests fail immediately without a connection, and when it is lost.
func TestNotConnected(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	c, p := f.loggedIn(rec, proto.Response{}, nil)
	done := make(chan error, 1)
	go func() { done <- c.DelFriend(within(t), 2) }()
	p.expect(proto.DEL_FRIEND)
	f.ln.Close()
	p.conn.Close()
	if err := take(t, done, "the error"); !errors.Is(err, ErrNotConnected) {
		t.Errorf("DelFriend when the connection is lost = %v, want ErrNotConnected", err)
	}
	rec.state(Disconnected)
	if err := c.DelFriend(within(t), 2); !errors.Is(err, ErrNotConnected) {
		t.Errorf("DelFriend without a connection = %v, want ErrNotConnected", err)
	}
	// Chat messages wait; Close fails them.
	ch := sendTo(t, c, User(2), "x")
	if err := c.Close(); err != nil {
		t.Errorf("Close = %v, want nil", err)
	}
	if got := take(t, ch, "the end"); !errors.Is(got.err, ErrClosed) {
		t.Errorf("message after Close = %v, want ErrClosed", got.err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("second Close = %v, want nil", err)
	}
}

// Receipts for many conversations are sent in batches, so that they don't exceed
// the server's limit of frames per second.
func TestReceiptBatches(t *testing.T) {
	c, s := &Client{conversations: make(map[Conv]*conversation)}, &session{wake: make(chan struct{}, 1)}
	for i := range int64(2*receiptsPerWrite + 3) {
		tr := newConversation(User(i + 1))
		tr.handled, tr.receiptDue = 1, true
		c.conversations[tr.conv] = tr
		c.receiptsDue = append(c.receiptsDue, tr)
	}
	for _, want := range []int{receiptsPerWrite, receiptsPerWrite, 3, 0} {
		s.outBuf = nil
		c.appendReceipts(s)
		n := 0
		for b := s.outBuf; len(b) > 0; n++ {
			b = b[proto.HeaderSize+binary.BigEndian.Uint32(b):]
		}
		if n != want {
			t.Fatalf("appendReceipts wrote %d receipts, want %d", n, want)
		}
	}
	if len(c.receiptsDue) > 0 || c.receiptsDueMessages > 0 {
		t.Errorf("%d receipts are still due, %d messages counted; want 0 and 0", len(c.receiptsDue), c.receiptsDueMessages)
	}
}

// Logout retries while the server throttles. Otherwise the token would stay valid.
func TestLogoutRetries(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	c, p := f.loggedIn(rec, proto.Response{}, nil)
	done := make(chan error, 1)
	go func() { done <- c.Logout(within(t)) }()
	p.answer(p.expect(proto.LOGOUT), proto.Response{Errno: proto.TooFast, RetryAfter: 1})
	p.answer(p.expect(proto.LOGOUT), proto.Response{})
	if err := take(t, done, "the end of the logout"); err != nil {
		t.Error(err)
	}
}
