package model

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

// Who has never got an answer from a user, and isn't their friend, may store only
// so many messages for them. After an answer, or as a friend, there is no limit. A
// refused message leaves no gap, and a stored one that is sent again is answered.
func TestStranger(t *testing.T) {
	limited(t, Options{MessagesToStranger: 10}, func(t *testing.T, h *harness) {
		u := h.users(4)
		to := func(peer int64) func(string) *Append {
			return func(cid string) *Append { return toPeer(u[0], peer, cid) }
		}
		stored, err := h.exhaust(100, to(u[1]))
		if stored != 10 || !errors.Is(err, ErrStranger) || !errors.Is(err, ErrFull) {
			t.Fatalf("%d messages to a stranger were stored, and then: %v; want 10 and ErrStranger", stored, err)
		}
		// 4 KiB count as another message, so each of these counts as two.
		if stored, err = h.exhaust(4<<10, to(u[2])); stored != 5 || !errors.Is(err, ErrStranger) {
			t.Errorf("%d messages of 4 KiB to a stranger were stored, and then: %v; want 5 and ErrStranger", stored, err)
		}
		for i, peer := range []int64{u[0], u[0]} { // notes: nobody is a stranger to themselves
			for n := range 20 {
				a := toPeer(u[0], peer, fmt.Sprint("note ", i, n))
				h.store(a)
				want(t, a.Err, nil)
			}
		}
		for _, again := range []bool{false, true} { // with and without the caches
			if again {
				h.reopen()
			}
			refused := toPeer(u[0], u[1], fmt.Sprint("refused ", again))
			h.store(refused)
			if !errors.Is(refused.Err, ErrStranger) {
				t.Errorf("the next message, after a restart %t: %s; want ErrStranger", again, show(refused))
			}
			for _, retry := range []bool{true, false} {
				repeat := toPeer(u[0], u[1], "sent 1700000000000 3")
				repeat.Retry = retry
				if h.store(repeat); repeat.Err != nil || repeat.Seq != 4 {
					t.Errorf("a stored message sent again, retry %t, after a restart %t: %s; want seq 4", retry, again, show(repeat))
				}
			}
		}
		// The answer, and messages after it in the same batch.
		answer, next := toPeer(u[1], u[0], "who are you?"), toPeer(u[0], u[1], "next")
		h.store(answer, next)
		if answer.Seq != 11 || next.Seq != 12 {
			t.Errorf("the answer: %s; want seq 11\nthe next message: %s; want seq 12", show(answer), show(next))
		}
		for _, again := range []bool{false, true} {
			if again {
				h.reopen()
			}
			for i := range 20 {
				a := toPeer(u[0], u[1], fmt.Sprint("known ", again, i))
				if h.store(a); a.Err != nil {
					t.Fatalf("message %d after an answer, after a restart %t: %s; want it stored", i, again, show(a))
				}
			}
		}
		// A friend who has never answered.
		_, err = h.AddFriend(ctx, u[3], u[0], 10)
		want(t, err, nil)
		var batch []*Append
		for i := range 30 {
			batch = append(batch, toPeer(u[0], u[3], fmt.Sprint("friend ", i)))
		}
		h.store(batch...)
		for _, a := range batch {
			if a.Err != nil {
				t.Fatalf("to a friend: %s; want it stored", show(a))
			}
		}
		_, err = h.DelFriend(ctx, u[3], u[0])
		want(t, err, nil)
		h.pass(friendTime)
		a := toPeer(u[0], u[3], "no longer a friend")
		if h.store(a); !errors.Is(a.Err, ErrStranger) {
			t.Errorf("ten seconds after the friendship has ended: %s; want ErrStranger", show(a))
		}
	})
}

// An answer counts wherever it is: among the newest messages, which SQLite keeps in
// another table, or long ago.
func TestAnswerLongAgo(t *testing.T) {
	limited(t, Options{MessagesToStranger: 5}, func(t *testing.T, h *harness) {
		u := h.users(3)
		h.store(toPeer(u[0], u[1], "hello"), toPeer(u[1], u[0], "hello"), toPeer(u[0], u[2], "0"), toPeer(u[0], u[2], "1"))
		if h.folder != nil {
			want(t, h.folder.All(ctx), nil)
		}
		h.reopen()
		for i := range 10 {
			a := toPeer(u[0], u[1], fmt.Sprint(i))
			if h.store(a); a.Err != nil {
				t.Fatalf("message %d to somebody who has answered long ago: %s; want it stored", i, show(a))
			}
		}
		// Messages in both tables count.
		long := toPeer(u[0], u[2], "long")
		long.Body = bytes.Repeat([]byte{'x'}, 8<<10)
		if h.store(long); long.Err != nil {
			t.Fatalf("%s; want it stored", show(long))
		}
		if stored, err := h.exhaust(50, func(cid string) *Append { return toPeer(u[0], u[2], cid) }); stored != 0 {
			t.Errorf("with 3 messages and 8 KiB, %d more were stored, and then: %v; want none", stored, err)
		}
	})
}

// All strangers together may store only so many messages for a user per day. Those
// who have got an answer, friends and groups aren't affected, and strangers may write
// to others.
func TestStrangers(t *testing.T) {
	limited(t, Options{MessagesFromStrangers: 12}, func(t *testing.T, h *harness) {
		u := h.users(8)
		victim := u[7]
		h.store(toPeer(victim, u[0], "hello"))
		_, err := h.AddFriend(ctx, victim, u[1], 10)
		want(t, err, nil)
		g := h.group(u...)
		sent := 0
		stored, err := h.exhaust(100, func(cid string) *Append {
			sent++
			return toPeer(u[2+sent%5], victim, cid)
		})
		if (stored != 12 && stored != 11) || !errors.Is(err, ErrStrangers) || !errors.Is(err, ErrFull) {
			t.Errorf("%d messages of strangers were stored, and then: %v; want 11 or 12 (cids count), and ErrStrangers", stored, err)
		}
		for i := range 20 {
			batch := []*Append{toPeer(u[0], victim, fmt.Sprint(i)), toPeer(u[1], victim, fmt.Sprint(i)), toGroup(u[2], g, fmt.Sprint(i)), toPeer(victim, u[3], fmt.Sprint("answer ", i))}
			h.store(batch...)
			for what, a := range batch {
				if a.Err != nil {
					t.Fatalf("message %d of somebody known, a friend, in a group, or of the receiver (%d): %s; want it stored", i, what, show(a))
				}
			}
		}
		a := toPeer(u[2], u[3], "to somebody else")
		h.store(a)
		want(t, a.Err, nil)
		h.pass(12 * time.Hour)
		if stored, _ = h.exhaust(100, func(cid string) *Append { return toPeer(u[2], victim, cid) }); stored < 5 || stored > 6 {
			t.Errorf("half a day later, %d messages were stored, want 5 or 6", stored)
		}
	})
}

// The limit for a stranger is exact, although two nodes store messages of the same
// stranger at the same time.
func TestStrangerOfNodes(t *testing.T) {
	for _, d := range dialects {
		t.Run(d.name, func(t *testing.T) {
			o := Options{DB: d.url(t), MessagesToStranger: 30, noBackground: true, Shared: true}
			one := newHarness(t, o)
			two := newHarness(t, o)
			u := one.users(2)
			var all []*Append
			var wg sync.WaitGroup
			for i, h := range []*harness{one, two} {
				var batch []*Append
				for n := range 60 {
					batch = append(batch, toPeer(u[0], u[1], fmt.Sprint(i, " ", n)))
				}
				all = append(all, batch...)
				wg.Go(func() {
					for _, a := range batch {
						if err := h.Append(a); err != nil {
							t.Error(err)
						}
						h.await(a)
					}
				})
			}
			wg.Wait()
			stored := 0
			for _, a := range all {
				switch {
				case a.Stored:
					stored++
				case !errors.Is(a.Err, ErrStranger):
					t.Errorf("%s; want it stored, or ErrStranger", show(a))
				}
			}
			if log := one.log(one.convs()[0]); stored != 30 || len(log) != 30 {
				t.Errorf("%d messages were stored, and %d are in the log, want 30", stored, len(log))
			}
		})
	}
}
