package model

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"chatd/model/feed"
)

// notices returns the notices that a follower has found since the last call.
func (f *follower) notices() (all feed.Notices) {
	f.look()
	for _, r := range f.rows {
		all.Relations = append(all.Relations, r.Relations...)
		all.Members = append(all.Members, r.Members...)
		all.Reads = append(all.Reads, r.Reads...)
	}
	f.rows = nil
	return all
}

// Other processes find all changes that clients are told of in the feed. The process
// that makes a change doesn't: its caller announces the change.
func TestFeedNotices(t *testing.T) {
	for i, d := range dialects {
		t.Run(d.name, func(t *testing.T) {
			all := stores(t, i, 2)
			h, other := all[0], all[1]
			u := h.users(3)
			own, others := follow(t, h), follow(t, other)
			expect := func(what string, want feed.Notices) {
				t.Helper()
				if got := others.notices(); !reflect.DeepEqual(got, want) {
					t.Errorf("%s: the other process finds %+v, want %+v", what, got, want)
				}
				if got := own.notices(); !got.Empty() {
					t.Errorf("%s: this process finds %+v, want nothing", what, got)
				}
			}
			relation := func(r feed.Relation, err error) feed.Notices {
				t.Helper()
				want(t, err, nil)
				return feed.Notices{Relations: []feed.Relation{r}}
			}
			expect("AddFriend", relation(h.AddFriend(ctx, u[0], u[1], 10)))
			expect("DelFriend", relation(h.DelFriend(ctx, u[1], u[0])))
			expect("Block", relation(h.Block(ctx, u[0], u[2], true)))
			expect("unblock", relation(h.Block(ctx, u[0], u[2], false)))

			g := h.group(u[0])
			expect("CreateGroup", feed.Notices{Members: []feed.Member{{Group: g, User: u[0], Version: 1, Joined: true, Name: "user0"}}})
			h.store(toGroup(u[0], g, "a"))
			_, err := h.JoinGroup(ctx, g, u[1], 10, 10)
			want(t, err, nil)
			expect("JoinGroup", feed.Notices{Members: []feed.Member{{Group: g, User: u[1], Version: 2, Last: 1, Joined: true, Name: "user1"}}})
			_, err = h.KickMember(ctx, g, u[0], u[1])
			want(t, err, nil)
			expect("KickMember", feed.Notices{Members: []feed.Member{{Group: g, User: u[1], Version: 3, Last: 1}}})

			a := toPeer(u[0], u[1], "a")
			h.store(a)
			h.SetRead(u[1], a.Conv, 5)
			h.SetRead(u[0], g, 1)
			want(t, h.Flush(ctx, u[1]), nil)
			want(t, h.Flush(ctx, u[0]), nil)
			expect("SetRead", feed.Notices{Reads: []feed.Read{{Conv: a.Conv, User: u[1], Peer: u[0], Seq: 1}, {Conv: g, User: u[0], Seq: 1}}})
			expect("Block", relation(h.Block(ctx, u[0], u[1], true)))
			h.store(toPeer(u[0], u[1], "b"))
			h.SetRead(u[1], a.Conv, 2)
			want(t, h.Flush(ctx, u[1]), nil)
			expect("SetRead of a blocked user", feed.Notices{Reads: []feed.Read{{Conv: a.Conv, User: u[1], Peer: u[0], Seq: 2, Alone: true}}})
		})
	}
}

// Read cursors are written within ReadInterval.
func TestReadInterval(t *testing.T) {
	t.Parallel()
	all := stores(t, 0, 2)
	h := all[0]
	u := h.users(2)
	a := toPeer(u[0], u[1], "a")
	h.store(a)
	f := follow(t, all[1])
	h.SetRead(u[1], a.Conv, 1)
	for len(f.notices().Reads) == 0 {
		time.Sleep(10 * time.Millisecond)
	}
}

// If a commit fails, but was carried out, the caller gets an error, and announces
// nothing. So its process finds the change in the feed, as all others do. While the
// transaction is ending, it is undecided.
func TestNoticesOfLostCommit(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(2)
		f := follow(t, h)
		lost := errors.New("the answer to the commit was lost")
		lane := h.lanes.get(h.sql)
		want(t, lane.Open(func(q string, args ...any) error {
			return h.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
				_, err := tx.ExecContext(ctx, q, args...)
				return err
			})
		}), nil)
		h.lanes.opened(lane)
		r := feed.Relation{What: feed.Befriended, By: feed.Party{User: u[0], Number: 1}, Other: feed.Party{User: u[1], Number: 1}}
		_, err := h.writeOnLane(ctx, lane, func(context.Context, *sqlx.Tx) (changes, error) {
			return changes{relations: []feed.Relation{r}}, nil
		})
		want(t, err, nil)
		if n := f.notices(); !n.Empty() {
			t.Errorf("before the caller knows, the feed has %+v, want nothing", n)
		}
		h.lanes.settled(lane) // without Committed
		if n := f.notices(); !reflect.DeepEqual(n.Relations, []feed.Relation{r}) {
			t.Errorf("after error %q, the feed has %+v, want %+v", lost, n, r)
		}
		if n := f.notices(); !n.Empty() {
			t.Errorf("the feed has %+v once more, want nothing", n)
		}
	})
}

// The changes and the sessions of a user are numbered together, in the order of their
// commits.
func TestChangesAreNumbered(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(3)
		last := make(map[int64]int64)
		check := func(what string, user, number int64) {
			t.Helper()
			if number <= last[user] {
				t.Errorf("%s has number %d for user %d, want one above %d", what, number, user, last[user])
			}
			last[user] = number
		}
		for i := range 3 {
			r, err := h.AddFriend(ctx, u[0], u[1], 10)
			want(t, err, nil)
			check("AddFriend", u[0], r.By.Number)
			check("AddFriend", u[1], r.Other.Number)
			token := []byte(fmt.Sprint("token", i))
			_, err = h.logIn(u[0], fmt.Sprint(i), token, 10)
			want(t, err, nil)
			session, err := h.startSession(token)
			want(t, err, nil)
			check("the session", u[0], session)
			r, err = h.Block(ctx, u[0], u[1], i%2 == 0)
			want(t, err, nil)
			check("Block", u[0], r.By.Number)
			check("Block", u[1], r.Other.Number)
			r, err = h.DelFriend(ctx, u[1], u[0])
			want(t, err, nil)
			check("DelFriend", u[1], r.By.Number)
			check("DelFriend", u[0], r.Other.Number)
		}
	})
}

// Operators' commands, each of which is a process of its own, leave nothing behind that
// nodes have to look at every second: they share a lane.
func TestOperatorsShareALane(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(1)
		f := follow(t, h)
		for i := range 20 {
			o := h.o
			o.Shared, o.Logger, o.Set, o.Sink = true, nil, nil, nil
			db, err := Open(ctx, o)
			want(t, err, nil)
			want(t, db.Ban(ctx, u[0], i%2 == 0), nil)
			want(t, db.Close(), nil)
		}
		if n := h.count(`SELECT COUNT(*) FROM feed_lanes`); n > 2 {
			t.Errorf("20 commands have left %d lanes, want at most 2", n)
		}
		f.look()
		ended := 0
		for _, r := range f.rows {
			ended += len(r.Ended)
		}
		if ended != 10 {
			t.Errorf("the feed has %d ends of sessions, want 10", ended)
		}
		h.age(KeepFeed + time.Second)
		for range 3 {
			want(t, h.TrimFeed(ctx), nil)
			h.age(KeepFeed + time.Second)
		}
		if n := h.count(`SELECT COUNT(*) FROM feed`); n != 0 {
			t.Errorf("the feed has %d rows after %s, want none", n, KeepFeed)
		}
		want(t, h.Ban(ctx, u[0], true), nil)
		f = follow(t, h)
		want(t, h.Ban(ctx, u[0], true), nil)
		if f.look(); len(f.rows) != 1 {
			t.Errorf("after trimming, the feed has %d rows, want 1", len(f.rows))
		}
	})
}
