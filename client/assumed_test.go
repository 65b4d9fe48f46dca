package client

import (
	"maps"
	"slices"
	"testing"

	"chatd/proto"
)

// If nothing is missing at login, the client takes the messages of a group up to the
// seq in LOGIN_ACK as received. That is only an assumption, so it isn't saved. Once the
// server has pushed a later message, the position is certain.
func TestAssumedPositionIsNotSaved(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	store := FileStore{t.TempDir() + "/state"}
	groups := []proto.Group{{ID: 5, GroupName: "g", Seq: 9}}
	for _, c := range []struct {
		push  int64
		saved map[Conv]int64
	}{{0, map[Conv]int64{}}, {10, map[Conv]int64{Group(5): 10}}} {
		cl, p := f.loggedIn(rec, proto.Response{Groups: groups}, func(cfg *Config) { cfg.State = store })
		if c.push > 0 {
			m := chat(c.push)
			m.Op, m.ToID, m.GroupID = proto.GROUP_CHAT, 0, 5
			p.send(push(m))
			rec.wantSeqs(c.push)
		}
		barrier(t, cl, p)
		if err := cl.Close(); err != nil {
			t.Fatal(err)
		}
		s, err := store.Load()
		if err != nil || !maps.Equal(s.Last, c.saved) {
			t.Errorf("after a login with seq 9 and the push %d, the state has %+v (error %v), want %v", c.push, s, err, c.saved)
		}
		for len(p.receipts) > 0 {
			if q := <-p.receipts; q.Seq <= 9 {
				t.Errorf("receipt %+v, want none for messages that haven't come", q)
			}
		}
	}
}

// While missed messages are arriving, neither a read mark nor the ACK of an own message
// tells the server that this device has the messages before: they may be missed ones.
func TestNoReceiptsDuringBacklog(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	c, p := f.loggedIn(rec, proto.Response{More: true}, nil)
	done := make(chan error, 1)
	go func() {
		_, err := c.History(within(t), User(2), 0, 50)
		done <- err
	}()
	p.answer(p.expect(proto.SYNC), proto.Response{Peer: 2, First: 1, Last: 120, Messages: []proto.Chat{chat(119), chat(120)}})
	if err := take(t, done, "the page"); err != nil {
		t.Fatal(err)
	}
	c.MarkRead(User(2), 120)
	ack := sendTo(t, c, User(3), "x")
	p.stored(p.expect(proto.ONE_CHAT), 57)
	take(t, ack, "the ACK")
	c.mu.Lock()
	own := c.conversations[User(3)]
	c.requestSync(c.session, own) // as after unknownStartDelay
	if own.started {
		t.Error("while missed messages are arriving, an ACK has started its conversation")
	}
	c.mu.Unlock()
	if err := c.Close(); err != nil { // sends what is due
		t.Fatal(err)
	}
	for range p.requests { // until the connection has ended
	}
	for len(p.receipts) > 0 {
		t.Errorf("receipt %+v, want none: nothing was pushed", <-p.receipts)
	}
}

// When the missed messages have arrived, read marks are sent, also in conversations
// without any.
func TestReadMarkAfterBacklog(t *testing.T) {
	f := newFake(t)
	c, p := f.loggedIn(nil, proto.Response{More: true}, nil)
	c.mu.Lock()
	c.historyEnd[User(2)] = 40
	c.mu.Unlock()
	c.MarkRead(User(2), 40)
	c.mu.Lock()
	c.settleAt = c.settleAt.Add(-unknownStartDelay) // the time has passed
	c.wakeAt(c.settleAt)
	c.mu.Unlock()
	if q := take(t, p.receipts, "a receipt"); q.Seq != 40 || !q.Read || q.Peer != 2 {
		t.Errorf("receipt %+v, want that seq 40 of peer 2 was read", q)
	}
}

// If pushes show that an assumed start was too late, receipts follow these pushes, and
// so does the saved position.
func TestWrongAssumption(t *testing.T) {
	tr := newConversation(Group(5))
	tr.startAssumed(9, nil)
	tr.receiptSent = tr.handled
	var queued []int64
	feed := func(seq int64) {
		tr.pushed(seq)
		out, _ := tr.add(seq, &Message{Seq: seq}, nil)
		for _, m := range out {
			queued = append(queued, m.Seq)
		}
	}
	check := func(handled, saved int64) {
		t.Helper()
		if tr.handled != handled || tr.toSave() != saved {
			t.Errorf("handled %d, saved %d; want %d and %d", tr.handled, tr.toSave(), handled, saved)
		}
	}
	check(9, 0)
	feed(7)
	feed(8)
	check(6, 6)
	tr.messageHandled(7)
	check(7, 7)
	if tr.receiptSent >= tr.handled {
		t.Errorf("receiptSent %d, want less than %d, so that a receipt is sent", tr.receiptSent, tr.handled)
	}
	tr.messageHandled(8)
	check(8, 8)
	feed(9)
	feed(10)
	tr.messageHandled(9)
	check(9, 9)
	tr.messageHandled(10)
	check(10, 10)
	if !slices.Equal(queued, []int64{7, 8, 9, 10}) {
		t.Errorf("delivered %v, want 7 to 10", queued)
	}
}

// A read mark that waits for the missed messages of a login is sent after the next
// login, even if nothing is missing then.
func TestReadMarkAfterReconnect(t *testing.T) {
	f := newFake(t)
	c, p := f.loggedIn(nil, proto.Response{More: true}, nil)
	c.mu.Lock()
	c.historyEnd[User(2)] = 40
	c.mu.Unlock()
	c.MarkRead(User(2), 40)
	p.conn.Close()
	p = f.login(proto.Response{})
	if q := take(t, p.receipts, "a receipt"); q.Seq != 40 || !q.Read || q.Peer != 2 {
		t.Errorf("receipt %+v, want that seq 40 of peer 2 was read", q)
	}
}

// Read receipts have no answer. One that was sent shortly before the connection was
// lost is sent again.
func TestReadReceiptSentAgain(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	c, p := f.loggedIn(rec, proto.Response{}, nil)
	p.send(push(chat(1)), push(chat(2)))
	rec.wantSeqs(1, 2)
	c.MarkRead(User(2), 2)
	for q := take(t, p.receipts, "a receipt"); !q.Read; q = take(t, p.receipts, "the read receipt") {
	}
	p.conn.Close()
	p = f.login(proto.Response{})
	for q := take(t, p.receipts, "a receipt"); ; q = take(t, p.receipts, "the read receipt") {
		if q.Read && q.Seq == 2 && q.Peer == 2 {
			return
		}
	}
}
