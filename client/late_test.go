package client

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chatd/proto"
)

// assumes makes a client assume the start of its conversation with user 2: the ACK of
// its own message 12 is all that has come. Message 14 then shows a gap, so the client
// sends a SYNC for 13.
func assumes(t *testing.T, f *fake, rec *record, change func(*Config)) (*Client, *peer, *proto.Request) {
	t.Helper()
	c, p := f.loggedIn(rec, proto.Response{}, change)
	for _, seq := range []int64{12, 14} {
		ack := sendTo(t, c, User(2), "x")
		p.stored(p.expect(proto.ONE_CHAT), seq)
		take(t, ack, "the ACK")
		c.mu.Lock()
		own := c.conversations[User(2)]
		if c.requestSync(c.session, own); own.last != 12 { // as after unknownStartDelay
			t.Fatalf("the ACK of message %d: last = %d, want 12", seq, own.last)
		}
		c.mu.Unlock()
	}
	q := p.expect(proto.SYNC)
	if q.After != 12 {
		t.Fatalf("SYNC after %d, want 12", q.After)
	}
	return c, p, q
}

// handledSeq returns up to where c may send receipts in its conversation with user 2.
func handledSeq(t *testing.T, c *Client) int64 {
	t.Helper()
	if err := c.Handled(within(t)); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conversations[User(2)].handled
}

// A push from before an assumed start arrives between a SYNC and its answer. No receipt
// may then count the messages in the answer, because those between are still to come.
func TestLatePushDuringSync(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	c, p, q := assumes(t, f, rec, nil)
	p.send(push(chat(8)))
	p.answer(q, proto.Response{Peer: 2, First: 1, Last: 14, Messages: []proto.Chat{chat(13)}})
	barrier(t, c, p)
	if got := handledSeq(t, c); got != 8 {
		t.Errorf("after the late push of 8 and SYNC_ACK with 13, receipts report up to %d, want 8: 9 to 11 are missing", got)
	}
	p.send(push(chat(9)), push(chat(10)), push(chat(11)))
	rec.wantSeqs(8, 9, 10, 11, 13)
	barrier(t, c, p)
	if got := handledSeq(t, c); got != 14 {
		t.Errorf("after all messages, receipts report up to %d, want 14", got)
	}
}

// If late pushes end halfway, for example because the connection was lost and the
// server counts the others as received, SYNC brings the others.
func TestLatePushesWithGap(t *testing.T) {
	f, rec := newFake(t), newRecord(t)
	c, p, q := assumes(t, f, rec, nil)
	p.answer(q, proto.Response{Peer: 2, First: 1, Last: 14, Messages: []proto.Chat{chat(13)}})
	p.send(push(chat(8)))
	rec.wantSeqs(13, 8)
	p.conn.Close()
	p = f.login(proto.Response{})
	q = p.expect(proto.SYNC)
	if q.After != 8 {
		t.Fatalf("SYNC after %d, want 8: 9 to 11 are missing", q.After)
	}
	p.send(push(chat(15)))
	p.answer(q, proto.Response{Peer: 2, First: 1, Last: 15, Messages: []proto.Chat{chat(9), chat(10), chat(11), chat(12), chat(13), chat(14), chat(15)}})
	rec.wantSeqs(9, 10, 11, 15)
	barrier(t, c, p)
	if got := handledSeq(t, c); got != 15 {
		t.Errorf("receipts report up to %d, want 15", got)
	}
}

// A handler that is slow gets late messages, too, and receipts don't report them before
// it has returned from them: it has older calls to finish first.
func TestLatePushWithSlowHandler(t *testing.T) {
	f := newFake(t)
	entered, release := make(chan int64, 10), make(chan struct{}, 10)
	c, p, q := assumes(t, f, nil, func(cfg *Config) {
		cfg.Handlers.Message = func(m Message) { entered <- m.Seq; <-release }
	})
	defer close(release)
	p.answer(q, proto.Response{Peer: 2, First: 1, Last: 14, Messages: []proto.Chat{chat(13)}})
	take(t, entered, "message 13")
	p.send(push(chat(10)), push(chat(11)))
	barrier(t, c, p)
	release <- struct{}{}
	take(t, entered, "message 10") // the handler has returned from 13
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		c.mu.Lock()
		own := c.conversations[User(2)]
		queued, handled := own.queued, own.handled
		c.mu.Unlock()
		if handled >= 10 {
			t.Fatalf("receipts report up to %d, want less than 10, of which the handler hasn't returned", handled)
		}
		if queued <= 2 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("timeout: the dispatcher hasn't recorded message 13")
		}
	}
}

// A conversation whose start was assumed gets every message once, whatever comes late,
// and in any order of pushes, SYNC pages and returns of the handler. Receipts report
// only messages whose handlers have returned.
func TestAssumedStartProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const end = 25
		first := rapid.Int64Range(1, 12).Draw(t, "first") // of those that the server pushes
		own := rapid.Int64Range(first, end-2).Draw(t, "own")
		tr := newConversation(User(2))
		tr.add(own, nil, nil)
		tr.startAssumed(own-1, nil)
		var pending, shown []int64
		done := make(map[int64]bool)
		add := func(seq int64) {
			m := &Message{Seq: seq}
			if seq == own {
				m = nil
			}
			out, _ := tr.add(seq, m, nil)
			for _, m := range out {
				pending, shown = append(pending, m.Seq), append(shown, m.Seq)
			}
		}
		next := first
		push := func() {
			if next == own {
				next++ // the server doesn't push it to this device
			}
			if next <= end {
				tr.pushed(next)
				add(next)
				next++
			}
		}
		pushed := false
		handle := func() {
			if len(pending) > 0 {
				done[pending[0]] = true
				tr.messageHandled(pending[0])
				pending = pending[1:]
			}
		}
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"push", "exists", "sync", "handle"}).Draw(t, "step") {
			case "push":
				pushed = true
				push()
			case "exists":
				tr.noteExists(rapid.Int64Range(own, end).Draw(t, "highest"))
			case "sync":
				for seq, n := tr.last+1, 0; tr.hasGap() && seq <= tr.highest && n < 3; seq, n = seq+1, n+1 {
					add(seq)
				}
			case "handle":
				handle()
			}
			if pushed {
				for seq := first; seq <= tr.handled; seq++ {
					if seq != own && !done[seq] {
						t.Fatalf("handled = %d, but no handler has returned from %d: %+v", tr.handled, seq, tr)
					}
				}
			}
		}
		for next <= end {
			push()
		}
		for len(pending) > 0 {
			handle()
		}
		slices.Sort(shown)
		var want []int64
		for seq := first; seq <= end; seq++ {
			if seq != own {
				want = append(want, seq)
			}
		}
		if !slices.Equal(shown, want) || tr.handled != end || tr.last != end || tr.hasGap() {
			t.Fatalf("delivered %v, want %v; state %+v", shown, want, tr)
		}
	})
}
