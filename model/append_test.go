package model

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"chatd/model/groupcommit"
)

// Law 2: seq has no gap and no repeat, and a sender's messages keep their order,
// with many senders in many conversations at once.
func TestAppendGapless(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		const senders, each, groups = 8, 120, 5
		u := h.users(senders)
		var gs []int64
		for range groups {
			gs = append(gs, h.group(u...))
		}
		var all [senders][]*Append
		var wg sync.WaitGroup
		for i := range u {
			wg.Go(func() {
				for n := range each {
					a := toGroup(u[i], gs[(n+i)%groups], fmt.Sprintf("%d", n))
					if n%3 == 0 {
						a = toPeer(u[i], u[(i+n)%senders], fmt.Sprintf("%d", n))
					}
					all[i] = append(all[i], a)
					if err := h.Append(a); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		latest := make(map[[2]int64]int64) // seq by conversation and sender
		convs := make(map[int64]bool)
		for i := range all {
			h.await(all[i]...)
			for _, a := range all[i] {
				if a.Err != nil || !a.Stored || a.Time == 0 {
					t.Fatalf("%s; want it stored with a time", show(a))
				}
				k := [2]int64{a.Conv, a.Sender}
				if a.Seq <= latest[k] {
					t.Fatalf("seq %d of a sender's message %q, want above that of the previous one, %d", a.Seq, a.CID, latest[k])
				}
				latest[k] = a.Seq
				convs[a.Conv] = true
			}
		}
		stored := 0
		for c := range convs {
			for i, m := range h.log(c) {
				if m.Seq != int64(i+1) {
					t.Fatalf("conversation %d: message %d has seq %d, want %d", c, i, m.Seq, i+1)
				}
				stored++
			}
		}
		if stored != senders*each {
			t.Fatalf("%d messages in the logs, want %d", stored, senders*each)
		}
	})
}

// The sink gets a conversation's messages in the order of their seqs, as package
// service pushes them in that order.
func TestSinkOrder(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(2)
		var batch []*Append
		for i := range 3000 {
			batch = append(batch, toPeer(u[i%2], u[1-i%2], fmt.Sprint(i)))
		}
		for i := 0; i < len(batch); i += 100 {
			if err := h.Append(batch[i : i+100]...); err != nil {
				t.Fatal(err)
			}
		}
		h.await(batch...)
		for i, a := range h.sunk {
			if a != batch[i] || a.Seq != int64(i+1) || a.Last < a.Seq {
				t.Fatalf("message %d in the sink: %s\nwant %q with seq %d", i, show(a), batch[i].CID, i+1)
			}
		}
	})
}

// Law 4: a repeated cid gets the first answer, with or without Retry, alone or
// in a batch with others, and after a restart.
func TestRepeats(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(2)
		first := toPeer(u[0], u[1], "cid")
		h.store(first)
		same := func(what string, a *Append) {
			t.Helper()
			if a.Err != nil || a.Stored || a.Seq != first.Seq || a.Time != first.Time || a.Conv != first.Conv {
				t.Fatalf("repeat, %s: %s\nwant the answer of %s", what, show(a), show(first))
			}
		}
		repeat := func(retry bool) *Append {
			a := toPeer(u[0], u[1], "cid")
			a.Body, a.Retry = []byte("another body"), retry
			return a
		}
		for _, retry := range []bool{true, false} {
			a := repeat(retry)
			h.store(a)
			same(fmt.Sprintf("alone, Retry=%t", retry), a)
		}
		h.reopen()
		h.pass(1e9)
		// In a batch with other messages, which must be stored.
		for _, retry := range []bool{true, false} {
			before, after := toPeer(u[0], u[1], fmt.Sprint("before", retry)), toPeer(u[1], u[0], fmt.Sprint("after", retry))
			a, b := repeat(retry), repeat(!retry)
			h.store(before, a, b, after)
			same("in a batch", a)
			same("twice in a batch", b)
			if !before.Stored || !after.Stored || after.Seq != before.Seq+1 || a.Last != after.Seq {
				t.Fatalf("messages around a repeat:\n%s\n%s\nwant both stored, with consecutive seqs", show(before), show(after))
			}
		}
		if n := len(h.log(first.Conv)); n != 5 {
			t.Fatalf("%d messages in the log, want 5", n)
		}
	})
}

// Repeats within a batch are found without the database, with or without Retry.
func TestRepeatsInBatch(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(2)
		a, b, c := toPeer(u[0], u[1], "x"), toPeer(u[0], u[1], "x"), toPeer(u[0], u[1], "x")
		b.Retry = true
		h.store(a, b, c)
		if !a.Stored || b.Stored || c.Stored || a.Seq != 1 || b.Seq != 1 || c.Seq != 1 || c.Err != nil || b.Err != nil {
			t.Fatalf("three messages with one cid:\n%s\n%s\n%s\nwant only the first stored, and seq 1 for all", show(a), show(b), show(c))
		}
		if n := h.metric("chatd_model_rollbacks_total"); n != 0 {
			t.Fatalf("%d rollbacks, want 0", n)
		}
	})
}

// Many goroutines append the same few cids at once: each is stored once.
func TestRepeatsConcurrent(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(2)
		const callers, cids = 8, 40
		var all [callers][cids]*Append
		var wg sync.WaitGroup
		for c := range callers {
			wg.Go(func() {
				for i := range cids {
					a := toPeer(u[0], u[1], fmt.Sprint(i))
					a.Retry = c%2 == 0
					all[c][i] = a
					h.store(a)
				}
			})
		}
		wg.Wait()
		for i := range cids {
			stored := 0
			for c := range callers {
				a := all[c][i]
				if a.Stored {
					stored++
				}
				if a.Err != nil || a.Seq != all[0][i].Seq {
					t.Fatalf("one cid from two goroutines:\n%s\n%s\nwant the same seq", show(a), show(all[0][i]))
				}
			}
			if stored != 1 {
				t.Fatalf("cid %d was stored %d times, want once", i, stored)
			}
		}
		if n := len(h.log(all[0][0].Conv)); n != cids {
			t.Fatalf("%d messages in the log, want %d", n, cids)
		}
	})
}

// A cid is unique per sender and conversation, and is compared byte by byte.
func TestCIDs(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(2)
		g := h.group(u...)
		batch := []*Append{
			toPeer(u[0], u[1], "aB1"), toPeer(u[0], u[1], "Ab1"), toPeer(u[0], u[1], "aB1 "), toPeer(u[0], u[1], "aB1\x00"),
			toPeer(u[1], u[0], "aB1"), // another sender
			toPeer(u[0], u[0], "aB1"), // another conversation: notes
			toGroup(u[0], g, "aB1"),
		}
		h.store(batch...)
		for i, a := range batch {
			if !a.Stored || a.Err != nil {
				t.Errorf("message %d: %s; want it stored", i, show(a))
			}
		}
		if last := batch[4].Last; last != 5 {
			t.Errorf("last seq of the pair = %d, want 5", last)
		}
	})
}

// Bodies and cids are stored byte for byte.
func TestBodies(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(2)
		var batch []*Append
		for i, body := range []string{"it's", `"; DROP TABLE users; --`, "a\x00b", "你好世", strings.Repeat("x", 32<<10), "?", "\xff\xfe", " "} {
			a := toPeer(u[0], u[1], fmt.Sprint(i))
			a.Body = []byte(body)
			batch = append(batch, a)
		}
		h.store(batch...)
		h.reopen()
		for i, m := range h.log(batch[0].Conv) {
			if !bytes.Equal(m.Body, batch[i].Body) || !bytes.Equal(m.CID, batch[i].CID) || m.Sender != u[0] || m.Time != batch[i].Time {
				t.Errorf("message %d: cid %q, body %.60q, sender %d, time %d; want %q, %.60q, %d, %d",
					i, m.CID, m.Body, m.Sender, m.Time, batch[i].CID, batch[i].Body, u[0], batch[i].Time)
			}
		}
	})
}

// A message that may not be stored gets an error, and doesn't fail the other
// messages of its batch.
func TestRefusals(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		ctx := context.Background()
		u := h.users(6)
		g, dismissed := h.group(u[0], u[1]), h.group(u[0], u[1])
		if _, err := h.DismissGroup(ctx, dismissed, u[0]); err != nil {
			t.Fatal(err)
		}
		if err := block(h, u[1], u[2], true); err != nil {
			t.Fatal(err)
		}
		before := toPeer(u[0], u[5], "before")
		h.store(before)
		if err := h.DeleteUser(ctx, u[5]); err != nil {
			t.Fatal(err)
		}
		pairConv := before.Conv
		none := &Append{Sender: u[0], CID: []byte("x"), Body: []byte("x")}
		for _, c := range []struct {
			what string
			a    *Append
			want error
		}{
			{"blocked", toPeer(u[2], u[1], "1"), ErrNotAllowed},
			{"blocker", toPeer(u[1], u[2], "1"), nil},
			{"not a member", toGroup(u[3], g, "1"), ErrNotAllowed},
			{"member", toGroup(u[1], g, "1"), nil},
			{"dismissed group", toGroup(u[0], dismissed, "1"), ErrNotFound},
			{"no such group", toGroup(u[0], 9999, "1"), ErrNotFound},
			{"pair's conversation ID as group", toGroup(u[0], pairConv, "1"), ErrNotFound},
			{"no such peer", toPeer(u[0], 9999, "1"), ErrNotFound},
			{"deleted peer", toPeer(u[0], u[5], "1"), ErrNotFound},
			{"deleted peer without a conversation", toPeer(u[3], u[5], "1"), ErrNotFound},
			{"deleted sender", toPeer(u[5], u[0], "1"), ErrNotFound},
			{"neither group nor peer", none, groupcommit.ErrMalformed},
			{"repeat to a deleted peer", &Append{Sender: u[0], Peer: u[5], CID: []byte("before"), Body: []byte("x"), Retry: true}, nil},
		} {
			good1, good2 := toPeer(u[0], u[4], c.what), toGroup(u[0], g, c.what)
			h.store(good1, c.a, good2)
			if !errors.Is(c.a.Err, c.want) {
				t.Errorf("%s: error %v, want %v", c.what, c.a.Err, c.want)
			}
			if c.a.Err != nil && (c.a.Stored || c.a.Seq != 0 || c.a.Conv != 0) {
				t.Errorf("%s: %s; want no seq and no conversation", c.what, show(c.a))
			}
			if !good1.Stored || !good2.Stored {
				t.Errorf("%s: other messages of the batch:\n%s\n%s\nwant both stored", c.what, show(good1), show(good2))
			}
		}
	})
}

// Memberships are cached, but a change takes effect with the next append, even if
// another process made it. The same holds for blocks.
func TestRulesChange(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		ctx := context.Background()
		u := h.users(3)
		g := h.group(u...)
		n := 0
		send := func(a *Append) error {
			n++
			a.CID = fmt.Append(nil, n)
			h.store(a)
			return a.Err
		}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		refused := func(err error) {
			t.Helper()
			if !errors.Is(err, ErrNotAllowed) {
				t.Fatalf("append: error %v, want ErrNotAllowed", err)
			}
		}
		must(send(toGroup(u[1], g, "")))
		must(send(toGroup(u[2], g, "")))
		_, err := h.LeaveGroup(ctx, g, u[1])
		must(err)
		refused(send(toGroup(u[1], g, "")))
		j, err := h.JoinGroup(ctx, g, u[1], 10, 10)
		must(err)
		must(send(toGroup(u[1], g, "")))
		if j.Last != 2 {
			t.Errorf("joined after seq %d, want 2", j.Last)
		}
		other, err := Open(ctx, Options{DB: h.o.DB, Shared: true})
		must(err)
		defer other.Close()
		_, err = other.KickMember(ctx, g, u[0], u[1])
		must(err)
		refused(send(toGroup(u[1], g, "")))

		must(send(toPeer(u[0], u[2], "")))
		must(block(other, u[2], u[0], true))
		refused(send(toPeer(u[0], u[2], "")))
		must(block(other, u[2], u[0], false))
		must(send(toPeer(u[0], u[2], "")))
	})
}

// A repeat gets its first answer even if the sender has left the group.
func TestRepeatAfterLeaving(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(2)
		g := h.group(u...)
		a := toGroup(u[1], g, "x")
		h.store(a)
		if _, err := h.LeaveGroup(context.Background(), g, u[1]); err != nil {
			t.Fatal(err)
		}
		b := toGroup(u[1], g, "x")
		b.Retry = true
		h.store(b)
		if b.Err != nil || b.Seq != a.Seq || b.Stored {
			t.Fatalf("repeat after leaving: %s\nwant the answer of %s", show(b), show(a))
		}
	})
}

// Joining and appending take the same lock: a message's seq is above a member's
// joined_seq if and only if the message's membership version includes the join.
func TestJoinDuringAppends(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(12)
		g := h.group(u[0], u[1])
		stop := make(chan struct{})
		var wg sync.WaitGroup
		var sent []*Append
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				a := toGroup(u[0], g, fmt.Sprint(i))
				sent = append(sent, a)
				h.store(a)
			}
		})
		joined := make(map[int64]*Append)
		for _, x := range u[2:] {
			j, err := h.JoinGroup(context.Background(), g, x, 100, 100)
			if err != nil {
				t.Fatal(err)
			}
			joined[x] = j
		}
		close(stop)
		wg.Wait()
		// The version in an append's outcome shows which joins came before it.
		for _, a := range sent {
			if a.Err != nil {
				t.Fatal(a.Err)
			}
			for _, j := range joined {
				if before := j.Version <= a.Version; before != (a.Seq > j.Last) {
					t.Fatalf("message with seq %d at version %d, join after seq %d at version %d: want the same order of seqs and versions",
						a.Seq, a.Version, j.Last, j.Version)
				}
			}
		}
	})
}

// A full queue refuses a batch as a whole, and accepts messages again once there
// is room.
func TestQueueFull(t *testing.T) {
	for _, d := range dialects {
		t.Run(d.name, func(t *testing.T) {
			h := newHarness(t, Options{DB: d.url(t), QueueMessages: 10, MaxBatch: 1})
			u := h.users(2)
			h.hold = make(chan struct{})
			var taken []*Append
			for i := 0; ; i++ {
				two := []*Append{toPeer(u[0], u[1], fmt.Sprint(i, "a")), toPeer(u[0], u[1], fmt.Sprint(i, "b"))}
				if err := h.Append(two...); err != nil {
					if !errors.Is(err, ErrBusy) {
						t.Fatal(err)
					}
					break
				}
				taken = append(taken, two...)
				if i > 1000 {
					t.Fatalf("the queue took %d messages, want about 10", len(taken))
				}
			}
			if h.metric("chatd_model_queue_refused_total") != 2 {
				t.Errorf("%d messages counted as refused, want 2", h.metric("chatd_model_queue_refused_total"))
			}
			h.mu.Lock()
			close(h.hold)
			h.hold = nil
			h.mu.Unlock()
			h.await(taken...)
			more := toPeer(u[0], u[1], "more")
			h.store(more)
			if len(h.sunk) != len(taken)+1 || more.Seq != int64(len(taken)+1) {
				t.Errorf("the sink got %d messages, the last one with seq %d; want %d for both", len(h.sunk), more.Seq, len(taken)+1)
			}
		})
	}
}

// When Close is called under load, messages that Append has taken are stored and
// reach the sink. Later ones get ErrClosed.
func TestCloseDuringTraffic(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(4)
		var taken [4][]*Append
		var wg sync.WaitGroup
		started := make(chan struct{}, 4)
		for i := range taken {
			wg.Go(func() {
				for n := 0; ; n++ {
					a := toPeer(u[i], u[(i+1)%4], fmt.Sprint(n))
					switch err := h.Append(a); {
					case err == nil:
						if taken[i] = append(taken[i], a); len(taken[i]) == 10 {
							started <- struct{}{}
						}
					case errors.Is(err, ErrClosed):
						return
					case !errors.Is(err, ErrBusy):
						t.Error(err)
						return
					}
				}
			})
		}
		for range taken {
			<-started
		}
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		n := 0
		for i := range taken {
			for _, a := range taken[i] {
				if a.Err != nil || !a.Stored {
					t.Fatalf("taken before Close: %s; want it stored", show(a))
				}
				n++
			}
		}
		if n != len(h.sunk) {
			t.Errorf("the sink got %d messages, want the %d that Append took", len(h.sunk), n)
		}
		h.open()
		for i := range taken {
			last := taken[i][len(taken[i])-1]
			if log := h.log(last.Conv); log[last.Seq-1].Sender != last.Sender || !bytes.Equal(log[last.Seq-1].CID, last.CID) {
				t.Errorf("seq %d of conversation %d has cid %q, want %q", last.Seq, last.Conv, log[last.Seq-1].CID, last.CID)
			}
		}
	})
}
