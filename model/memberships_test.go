package model

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// device logs a device in.
func (h *harness) device(user int64, device string) {
	h.t.Helper()
	_, err := h.logIn(user, device, fmt.Append(nil, user, device), 8)
	want(h.t.(*testing.T), err, nil)
}

// Memberships is TokenMemberships for a device whose token the test doesn't know.
func (db *DB) Memberships(ctx context.Context, user int64, device string) ([]Membership, error) {
	pending := db.cursors.values(user) // before the read
	var rows []membershipRow
	err := db.sql.Select(ctx, &rows, `SELECT`+membershipColumns+ofAll+`d.user_id = ? AND d.device = ? ORDER BY m.conversation_id`, user, device)
	if err != nil {
		return nil, fmt.Errorf("read memberships of user %d: %w", user, err)
	}
	l := make([]Membership, 0, len(rows))
	for i := range rows {
		l = rows[i].appendTo(l, user, device, pending)
	}
	return l, nil
}

func (h *harness) memberships(user int64, device string) []Membership {
	h.t.Helper()
	l, err := h.Memberships(ctx, user, device)
	want(h.t.(*testing.T), err, nil)
	return l
}

// delivered returns a device's cursor in a conversation, by Memberships, or -1 if
// that doesn't list the conversation.
func (h *harness) delivered(user int64, device string, conv int64) int64 {
	h.t.Helper()
	for _, p := range h.memberships(user, device) {
		if p.Conv == conv {
			return p.Delivered
		}
	}
	return -1
}

// Law 3: Memberships lists all groups, and the pairs in which the device lacks
// messages. It takes cursors into account that aren't written yet.
func TestMemberships(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(3)
		g := h.group(u[1])
		h.device(u[0], "phone")
		if l := h.memberships(u[0], "phone"); len(l) != 0 {
			t.Errorf("of a new user: Memberships = %+v, want none", l)
		}
		h.store(toGroup(u[1], g, "0"))
		_, err := h.JoinGroup(ctx, g, u[0], 10, 10)
		want(t, err, nil)
		pair := toPeer(u[1], u[0], "1")
		notes := toPeer(u[0], u[0], "2")
		h.store(pair)
		h.store(notes, toGroup(u[1], g, "3"))
		want(t, block(h, u[0], u[2], true), nil) // a pair without a message
		wanted := []Membership{
			{Conv: g, Group: g, Last: 2, Version: 2, Joined: 1, Delivered: 1, Read: 1},
			{Conv: pair.Conv, Peer: u[1], Last: 1},
			{Conv: notes.Conv, Peer: u[0], Last: 1},
		}
		if l := h.memberships(u[0], "phone"); !slices.Equal(l, wanted) {
			t.Errorf("Memberships = %+v, want %+v", l, wanted)
		}
		if _, l, err := h.TokenMemberships(ctx, fmt.Append(nil, u[0], "phone"), 0); err != nil || len(l) != 1 || l[0].Group != g {
			t.Errorf("TokenMemberships of user 0 = %+v (error %v), want only group %d", l, err, g)
		}
		h.SetDelivered(u[0], "phone", g, 2)
		h.SetDelivered(u[0], "phone", pair.Conv, 1)
		h.SetDelivered(u[0], "phone", notes.Conv, 1)
		h.SetRead(u[0], g, 2)
		wanted = wanted[:1]
		wanted[0].Delivered, wanted[0].Read = 2, 2
		for _, when := range []string{"pending", "written", "read after reopening"} {
			if _, l, err := h.TokenMemberships(ctx, fmt.Append(nil, u[0], "phone"), u[0]); err != nil || !slices.Equal(l, wanted) {
				t.Errorf("with cursors %s: TokenMemberships = %+v (error %v), want %+v", when, l, err, wanted)
			}
			if l := h.memberships(u[0], "phone"); !slices.Equal(l, wanted) {
				t.Errorf("with cursors %s: Memberships = %+v, want %+v", when, l, wanted)
			}
			for conv, seq := range map[int64]int64{g: 2, pair.Conv: 0, g + 1000: 0} {
				if got, err := h.ReadUpTo(ctx, u[0], conv); err != nil || got != seq {
					t.Errorf("with cursors %s: ReadUpTo of conversation %d = %d (error %v), want %d", when, conv, got, err, seq)
				}
			}
			switch when {
			case "pending":
				want(t, h.Flush(ctx, u[0]), nil)
			case "written":
				h.reopen()
			}
		}
		_, err = h.LeaveGroup(ctx, g, u[0])
		want(t, err, nil)
		if l := h.memberships(u[0], "phone"); len(l) != 0 {
			t.Errorf("after leaving the group: Memberships = %+v, want none", l)
		}
	})
}

// A cursor never moves back, nor beyond the last message, whether it is pending or
// written.
func TestCursorBounds(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(2)
		g := h.group(u...)
		h.device(u[0], "phone")
		send := func(n int) {
			for i := range n {
				h.store(toGroup(u[1], g, fmt.Sprint(h.now(), n, i)))
			}
		}
		send(5)
		check := func(seq int64) {
			t.Helper()
			if d := h.delivered(u[0], "phone", g); d != seq {
				t.Fatalf("pending cursor = %d, want %d", d, seq)
			}
			want(t, h.Flush(ctx, u[0]), nil)
			if d := h.delivered(u[0], "phone", g); d != seq {
				t.Fatalf("written cursor = %d, want %d", d, seq)
			}
		}
		h.SetDelivered(u[0], "phone", g, 3)
		h.SetDelivered(u[0], "phone", g, 2)
		check(3)
		h.SetDelivered(u[0], "phone", g, 1)
		check(3)
		h.SetDelivered(u[0], "phone", g, 1000)
		check(5)
		h.pass(time.Second)
		send(3)
		check(5) // the receipt above the end doesn't count for later messages
		stranger := h.user("stranger")
		h.device(stranger, "phone")
		h.SetDelivered(stranger, "phone", g, 1)
		want(t, h.Flush(ctx, stranger), nil)
		var n int
		want(t, h.sql.Reader.Get(&n, `SELECT COUNT(*) FROM cursors WHERE user_id = ?`, stranger), nil)
		if n != 0 {
			t.Errorf("%d cursors of a user who isn't a member, want 0", n)
		}
		h.SetRead(u[0], g, 1000)
		h.SetRead(u[0], g, 2)
		want(t, h.Flush(ctx, u[0]), nil)
		if l := h.memberships(u[0], "phone"); l[0].Read != 8 || l[0].Delivered != 5 {
			t.Errorf("Memberships = %+v, want Read 8 and Delivered 5", l)
		}
	})
}

// A new device starts at the user's most advanced cursor in each conversation,
// including cursors that aren't written yet. The user's first device starts at 0.
// A later login of a device keeps its cursors.
func TestFirstLogin(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(2)
		a, b := h.group(u...), h.group(u...)
		for i := range 5 {
			h.store(toGroup(u[1], a, fmt.Sprint(i)), toGroup(u[1], b, fmt.Sprint(i)))
		}
		check := func(device string, inA, inB int64) {
			t.Helper()
			if x, y := h.delivered(u[0], device, a), h.delivered(u[0], device, b); x != inA || y != inB {
				t.Fatalf("cursors of device %q = %d and %d, want %d and %d", device, x, y, inA, inB)
			}
		}
		h.device(u[0], "first")
		check("first", 0, 0)
		h.SetDelivered(u[0], "first", a, 2)
		h.SetDelivered(u[0], "first", b, 4)
		h.device(u[0], "second")
		check("second", 2, 4)
		h.SetDelivered(u[0], "second", a, 5)
		h.device(u[0], "third")
		check("third", 5, 4)
		h.device(u[0], "first")
		check("first", 2, 4)
		_, err := h.CloseDevice(ctx, u[0], "second", 3, fmt.Append(nil, u[0], "second"))
		want(t, err, nil)
		h.device(u[0], "second")
		check("second", 5, 4)
	})
}

// DeliveredSeqs returns cursors that are written, pending or missing, and those of
// users who joined late or aren't members.
func TestDeliveredSeqs(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(4)
		g := h.group(u[0], u[1])
		for _, x := range u { // before the messages: a new device skips its user's own
			h.device(x, "a")
			h.device(x, "b")
		}
		for i := range 5 {
			h.store(toGroup(u[0], g, fmt.Sprint(i)))
		}
		_, err := h.JoinGroup(ctx, g, u[2], 10, 10)
		want(t, err, nil)
		h.store(toGroup(u[0], g, "last"))
		h.SetDelivered(u[0], "a", g, 3)
		want(t, h.Flush(ctx, u[0]), nil)
		h.SetDelivered(u[0], "b", g, 4)
		h.SetDelivered(u[1], "a", g, 1000)
		pair := toPeer(u[3], u[0], "in another conversation")
		h.store(pair)
		h.SetDelivered(u[0], "a", pair.Conv, 1)
		keys := []DeviceCursor{{g, u[0], "a"}, {g, u[0], "b"}, {g, u[1], "a"}, {g, u[1], "b"}, {g, u[2], "a"}, {g, u[3], "a"},
			{pair.Conv, u[0], "a"}, {pair.Conv, u[0], "b"}, {pair.Conv, u[1], "a"}, {999, u[0], "a"}}
		got, err := h.DeliveredSeqs(ctx, keys)
		want(t, err, nil)
		if wanted := []int64{3, 4, 6, 0, 5, -1, 1, 0, -1, -1}; !slices.Equal(got, wanted) {
			t.Errorf("DeliveredSeqs(%v) = %v, want %v", keys, got, wanted)
		}
		if got, err := h.DeliveredSeqs(ctx, nil); len(got) != 0 || err != nil {
			t.Errorf("DeliveredSeqs(nil) = %v (error %v), want none", got, err)
		}
	})
}

// A cursor that has moved by CursorBehind is written at once, without the timer or
// a Flush.
func TestCursorBehind(t *testing.T) {
	for _, d := range dialects {
		t.Run(d.name, func(t *testing.T) {
			h := newHarness(t, Options{DB: d.url(t), CursorBehind: 10})
			u := h.users(2)
			g := h.group(u...)
			h.device(u[0], "phone")
			for i := range 20 {
				h.store(toGroup(u[1], g, fmt.Sprint(i)))
			}
			for seq := int64(1); seq <= 11; seq++ {
				h.SetDelivered(u[0], "phone", g, seq)
			}
			for h.m.cursorRows.Get() == 0 {
				time.Sleep(time.Millisecond) // there is no other signal
			}
			var seq int64
			want(t, h.sql.Reader.Get(&seq, `SELECT delivered_seq FROM cursors`), nil)
			if seq != 11 {
				t.Errorf("written cursor = %d, want 11", seq)
			}
		})
	}
}

// flushing returns the number of waiting calls of Flush, and of users whose values
// are being written.
func (c *cursors) flushing() int {
	c.mu.Lock()
	n := len(c.waiting)
	c.mu.Unlock()
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		for _, u := range s.users {
			if u.writing != nil {
				n++
			}
		}
		s.mu.Unlock()
	}
	return n
}

// The timer writes cursors without a Flush.
func TestCursorInterval(t *testing.T) {
	for _, d := range dialects {
		t.Run(d.name, func(t *testing.T) {
			h := newHarness(t, Options{DB: d.url(t), CursorInterval: time.Millisecond})
			u := h.users(2)
			g := h.group(u...)
			h.device(u[0], "phone")
			h.store(toGroup(u[1], g, "x"))
			h.SetDelivered(u[0], "phone", g, 1)
			h.SetRead(u[0], g, 1)
			for h.cursors.has(u[0]) {
				time.Sleep(time.Millisecond) // there is no other signal
			}
			if n := h.m.cursorRows.Get(); n != 2 {
				t.Errorf("%d cursor rows written, want 2", n)
			}
			if l := h.memberships(u[0], "phone"); l[0].Delivered != 1 || l[0].Read != 1 {
				t.Errorf("Memberships = %+v, want Delivered 1 and Read 1", l)
			}
		})
	}
}

// When many sessions end at once, their calls of Flush share transactions.
func TestFlushSharesTransactions(t *testing.T) {
	onSQLite(t, func(t *testing.T, h *harness) {
		const n = 300
		u := h.users(n)
		g := h.group(u...)
		h.store(toGroup(u[0], g, "x"))
		for _, x := range u {
			h.device(x, "phone")
			h.SetDelivered(x, "phone", g, 1)
		}
		// All of them wait while the connection is in use.
		tx, err := h.sql.Writer.Beginx()
		want(t, err, nil)
		done := make(chan error, n)
		for _, x := range u {
			go func() { done <- h.Flush(ctx, x) }()
		}
		for h.cursors.flushing() < n {
			time.Sleep(time.Millisecond)
		}
		before := h.m.cursorWrites.Get()
		want(t, tx.Rollback(), nil)
		for range u {
			want(t, <-done, nil)
		}
		if k := h.m.cursorWrites.Get() - before; k > 1 {
			t.Errorf("%d more transactions for the waiting calls, want at most 1", k)
		}
		for _, x := range u {
			if d := h.delivered(x, "phone", g); d != 1 {
				t.Fatalf("cursor of user %d = %d, want 1", x, d)
			}
		}
	})
}

// A cursor is visible at any moment on its way from memory to the database: a
// login never finds a lower one than before.
func TestCursorsStayVisible(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		const n = 300
		u := h.users(2)
		g := h.group(u...)
		h.device(u[0], "phone")
		var batch []*Append
		for i := range n {
			batch = append(batch, toGroup(u[1], g, fmt.Sprint(i)))
		}
		h.store(batch...)
		var at atomic.Int64
		var wg sync.WaitGroup
		wg.Go(func() {
			for seq := int64(1); seq <= n; seq++ {
				h.SetDelivered(u[0], "phone", g, seq)
				at.Store(seq)
				if seq%3 == 0 {
					if err := h.Flush(ctx, u[0]); err != nil {
						t.Error(err)
					}
				}
			}
		})
		for seen := int64(0); seen < n; {
			set := at.Load()
			l, err := h.Memberships(ctx, u[0], "phone")
			want(t, err, nil)
			if l[0].Delivered < max(set, seen) {
				t.Errorf("cursor = %d, want at least %d, which was set, and %d, which was read before", l[0].Delivered, set, seen)
				break
			}
			seen = l[0].Delivered
		}
		wg.Wait()
	})
}

// A cursor that can't be written stays pending and visible, and is written later.
func TestCursorsStayPending(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(2)
		g := h.group(u...)
		h.device(u[0], "phone")
		h.store(toGroup(u[1], g, "1"), toGroup(u[1], g, "2"))
		h.poison("cursors", "true")
		h.SetDelivered(u[0], "phone", g, 1)
		if h.Flush(ctx, u[0]) == nil {
			t.Fatal("Flush succeeded, want the database's error")
		}
		if d := h.delivered(u[0], "phone", g); d != 1 {
			t.Errorf("after a failed Flush: cursor = %d, want 1", d)
		}
		h.SetDelivered(u[0], "phone", g, 2)
		_, err := h.sql.Writer.Exec(`DROP TRIGGER poison`)
		want(t, err, nil)
		want(t, h.Flush(ctx, u[0]), nil)
		if n := h.cursors.count.Load(); n != 0 {
			t.Errorf("%d cursors pending after Flush, want 0", n)
		}
		h.reopen()
		if d := h.delivered(u[0], "phone", g); d != 2 {
			t.Errorf("after reopening: cursor = %d, want 2", d)
		}
	})
}

// Close writes pending cursors. Flush after Close returns ErrClosed.
func TestCloseWritesCursors(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(2)
		g := h.group(u...)
		h.device(u[0], "phone")
		h.store(toGroup(u[1], g, "1"))
		h.SetDelivered(u[0], "phone", g, 1)
		want(t, h.Close(), nil)
		h.SetDelivered(u[0], "phone", g, 1)
		want(t, h.Flush(ctx, u[0]), ErrClosed)
		h.open()
		if d := h.delivered(u[0], "phone", g); d != 1 {
			t.Errorf("after reopening: cursor = %d, want 1", d)
		}
	})
}

// Conversations lists the latest first. Its pages neither skip nor repeat a
// conversation, and don't split those of the same time.
func TestConversations(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(8)
		me := u[0]
		want(t, block(h, me, u[7], true), nil) // creates a pair without a message, which isn't listed
		var order []int64                      // conversations, oldest first
		for i, x := range u[1:6] {
			if i != 2 && i != 3 { // the messages 1, 2 and 3 have the same time
				h.pass(time.Second)
			}
			a := toPeer(x, me, "hello")
			h.store(a)
			order = append(order, a.Conv)
		}
		h.pass(time.Second)
		quiet := h.group(u[6], me)
		h.pass(time.Second)
		old := h.group(u[6])
		h.store(toGroup(u[6], old, "before the join"))
		h.pass(time.Second)
		_, err := h.JoinGroup(ctx, old, me, 10, 10)
		want(t, err, nil)
		h.pass(time.Second)
		h.store(toPeer(me, u[1], "again")) // moves the oldest conversation to the top
		order = append(order[1:], quiet, old, order[0])
		slices.Reverse(order)

		all, more, err := h.Conversations(ctx, me, 0, 100)
		want(t, err, nil)
		ids := func(l []Conversation) (s []int64) {
			for _, c := range l {
				s = append(s, c.Conv)
			}
			return s
		}
		tie := func(l []int64) []int64 { l = slices.Clone(l); slices.Sort(l); return l }
		if more || !slices.Equal(tie(ids(all)), tie(order)) || !slices.Equal(ids(all)[:4], order[:4]) {
			t.Fatalf("Conversations = %v, more %t; want %v, more false", ids(all), more, order)
		}
		top, joined := all[0], all[1]
		if top.Peer != u[1] || top.Group != 0 || top.Name != "user1" || top.First != 1 || top.Last != 2 || top.Time != h.nowMS() ||
			top.Message == nil || string(top.Message.Body) != "body of again" || top.Message.Name != "user0" {
			t.Errorf("first conversation: %+v\nwith last message %+v\nwant the pair with user1, seqs 1 to 2, last message \"again\" of user0", top, top.Message)
		}
		if joined.Group != old || joined.Peer != 0 || joined.Name != "group" || joined.First != 2 || joined.Last != 1 || joined.Message != nil {
			t.Errorf("second conversation: %+v\nwant group %d from seq 2, without a message", joined, old)
		}
		for limit := 1; limit <= 8; limit++ {
			var paged []Conversation
			for before := int64(0); ; {
				page, more, err := h.Conversations(ctx, me, before, limit)
				want(t, err, nil)
				paged = append(paged, page...)
				if more != (len(paged) < len(all)) {
					t.Fatalf("limit %d: more = %t after %d of %d conversations", limit, more, len(paged), len(all))
				}
				if !more {
					break
				}
				before = page[len(page)-1].Time
			}
			if !slices.Equal(ids(paged), ids(all)) {
				t.Errorf("pages with limit %d: %v, want %v", limit, ids(paged), ids(all))
			}
		}
		h.SetRead(me, top.Conv, 2)
		for range 2 {
			l, _, err := h.Conversations(ctx, me, 0, 1)
			want(t, err, nil)
			if l[0].Read != 2 {
				t.Errorf("Read = %d, want 2", l[0].Read)
			}
			want(t, h.Flush(ctx, me), nil)
		}
	})
}
