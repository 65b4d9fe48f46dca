package model

import (
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"chatd/model/feed"
)

// follower reads the feed and checks each row: every conversation's messages must
// come in order, once, and with none missing.
type follower struct {
	*FeedReader
	t    *testing.T
	seen map[int64]int64 // by conversation, the last seq
	rows []feed.Row
}

// follow starts a follower before the first message is stored.
func follow(t *testing.T, h *harness) *follower {
	t.Helper()
	r, err := h.StartFeed(ctx)
	want(t, err, nil)
	return &follower{FeedReader: r, t: t, seen: make(map[int64]int64)}
}

// look reads all that was committed before the call.
func (f *follower) look() {
	f.t.Helper()
	for more := true; more; {
		var rows []feed.Row
		var err error
		if rows, more, err = f.Next(ctx); err != nil {
			f.t.Fatal(err)
		}
		for _, row := range rows {
			for _, s := range row.Spans {
				if s.First != f.seen[s.Conv]+1 {
					f.t.Fatalf("conversation %d: the feed returned seq %d after %d, want %d", s.Conv, s.First, f.seen[s.Conv], f.seen[s.Conv]+1)
				}
				f.seen[s.Conv] = s.Last
			}
		}
		f.rows = append(f.rows, rows...)
	}
}

// complete checks that the follower has every message of the store.
func (f *follower) complete(h *harness) {
	f.t.Helper()
	f.look()
	var heads []struct {
		Conv int64 `db:"id"`
		Last int64 `db:"last_seq"`
	}
	want(f.t, h.sql.Reader.Select(&heads, `SELECT id, last_seq FROM conversations WHERE last_seq > 0`), nil)
	for _, c := range heads {
		if f.seen[c.Conv] != c.Last {
			f.t.Errorf("conversation %d: the feed returned messages up to seq %d, want %d", c.Conv, f.seen[c.Conv], c.Last)
		}
	}
}

// spans returns what the feed has returned since the last call, without the lanes.
func (f *follower) spans() (all []feed.Span) {
	f.look()
	for _, r := range f.rows {
		all = append(all, r.Spans...)
	}
	f.rows = nil
	return all
}

// Each transaction that changes a conversation has a row in the feed, which says
// what it has changed.
func TestFeedRows(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(4)
		f := follow(t, h)
		expect := func(what string, spans ...feed.Span) {
			t.Helper()
			got := f.spans()
			slices.SortFunc(got, func(a, b feed.Span) int { return int(a.Conv - b.Conv) })
			if !slices.Equal(got, spans) {
				t.Errorf("%s: the feed has %+v, want %+v", what, got, spans)
			}
		}
		g := h.group(u[0])
		expect("created", feed.Span{Conv: g, Version: 1, Joined: u[0], First: 1})
		_, err := h.JoinGroup(ctx, g, u[1], 10, 10)
		want(t, err, nil)
		expect("joined", feed.Span{Conv: g, Version: 2, Joined: u[1], First: 1})
		h.store(toGroup(u[0], g, "a"), toGroup(u[0], g, "b"), toGroup(u[2], g, "refused"))
		expect("two messages", feed.Span{Conv: g, Version: 2, First: 1, Last: 2})
		repeat := toGroup(u[0], g, "a")
		repeat.Retry = true
		h.store(repeat)
		expect("a repeat")
		a := toPeer(u[3], u[1], "c")
		h.store(a)
		expect("a pair", feed.Span{Conv: a.Conv, Lo: u[1], Hi: u[3], First: 1, Last: 1})
		_, err = h.LeaveGroup(ctx, g, u[1])
		want(t, err, nil)
		expect("left", feed.Span{Conv: g, Version: 3, First: 3, Last: 2})
		other := h.group(u[3], u[2])
		f.spans()
		want(t, h.DeleteUser(ctx, u[2]), nil)
		expect("a member was deleted", feed.Span{Conv: other, Version: 3, First: 1})
		_, err = h.DismissGroup(ctx, g, u[0])
		want(t, err, nil)
		expect("dismissed", feed.Span{Conv: g, Version: 4, First: 3, Last: 2})
		if _, err = h.LeaveGroup(ctx, g, u[0]); !errors.Is(err, ErrNotFound) {
			t.Fatalf("leaving a dismissed group: error %v, want ErrNotFound", err)
		}
		expect("a change that failed")
	})
}

// stores returns several stores on one database, as several processes have.
func stores(t *testing.T, dialect, n int) []*harness {
	url := dialects[dialect].url(t)
	all := make([]*harness, n)
	for i := range all {
		all[i] = newHarness(t, Options{DB: url, Shared: true, MaxBatch: 16})
	}
	return all
}

// Several nodes store messages and change groups, while commits fail at random:
// before they are carried out, or after. Every reader gets each conversation's
// messages in order, once, and with none missing, at every moment.
func TestFeed(t *testing.T) {
	for i, d := range dialects {
		t.Run(d.name, func(t *testing.T) {
			all := stores(t, i, 2+i)
			u := all[0].users(8)
			var followers []*follower
			for range 3 {
				followers = append(followers, follow(t, all[0]))
			}
			groups := []int64{all[0].group(u...), all[0].group(u[0]), all[0].group(u[0])}
			const messages, window = 3000, 60
			var writers sync.WaitGroup
			for n, h := range all {
				// Some commits fail although they are carried out, and some are not
				// carried out.
				rnd := rand.New(rand.NewPCG(uint64(n), 2))
				var mu sync.Mutex
				h.commits(func(tx *sql.Tx) error {
					mu.Lock()
					p := rnd.IntN(20)
					mu.Unlock()
					switch p {
					case 0:
						return errors.Join(tx.Commit(), errors.New("the answer to the commit was lost"))
					case 1:
						return errors.Join(tx.Rollback(), errors.New("the connection was lost before the commit"))
					}
					return tx.Commit()
				})
				writers.Go(func() {
					for i := 0; i < messages; i += window {
						var batch []*Append
						for j := range window {
							a := toPeer(u[(i+j)%8], u[(i+j*3)%8], fmt.Sprint(n, " ", i+j))
							if j%3 > 0 {
								a = toGroup(u[0], groups[j%3], fmt.Sprint(n, " ", i+j))
							}
							a.Retry = true
							batch = append(batch, a)
						}
						if err := h.Append(batch...); err != nil {
							t.Error(err)
							return
						}
						h.await(batch...)
					}
				})
				writers.Go(func() { // members come and go
					for i := range 60 {
						user := u[1+(i+n)%7]
						if _, err := h.JoinGroup(ctx, groups[2], user, 100, 100); err != nil && !errors.Is(err, ErrAlready) {
							t.Logf("join: %v", err)
						}
						if _, err := h.LeaveGroup(ctx, groups[2], user); err != nil && !errors.Is(err, ErrNotAllowed) {
							t.Logf("leave: %v", err)
						}
					}
				})
			}
			done := make(chan struct{})
			go func() { writers.Wait(); close(done) }()
			var readers sync.WaitGroup
			for i, f := range followers {
				readers.Go(func() {
					for running := true; running; {
						select {
						case <-done:
							running = false
						case <-time.After(time.Duration(i*i*20) * time.Millisecond): // each at its own pace
						}
						f.look()
					}
				})
			}
			readers.Wait()
			for _, f := range followers {
				f.complete(all[0])
				if len(f.rows) != len(followers[0].rows) {
					t.Errorf("a reader got %d rows, another %d, want the same number", len(f.rows), len(followers[0].rows))
				}
			}
			if n := all[0].metric("chatd_model_unsure_commits_total"); n == 0 {
				t.Error("no commit of unknown outcome, want some, or the test proves little")
			}
		})
	}
}

// The same with processes that are frozen and killed while they append.
func TestFeedProcesses(t *testing.T) {
	for i, d := range dialects {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			h := stores(t, i, 1)[0]
			h.users(3)
			f := follow(t, h)
			for round := range 4 {
				child := exec.Command(os.Args[0])
				child.Env = append(os.Environ(), childEnv+"="+h.o.DB)
				child.Stderr = os.Stderr
				out, err := child.StdoutPipe()
				want(t, err, nil)
				want(t, child.Start(), nil)
				sunk := readSunk(out)
				for n := range 600 {
					if _, ok := <-sunk; !ok {
						t.Fatal("the child has ended, want it to append until it is killed")
					}
					if n%100 == 50 { // wherever it is just now
						want(t, child.Process.Signal(syscall.SIGSTOP), nil)
						f.look()
						want(t, child.Process.Signal(syscall.SIGCONT), nil)
					}
				}
				want(t, child.Process.Kill(), nil)
				for range sunk { // what is left in the pipe
				}
				_ = child.Wait() // killed
				f.look()
				t.Logf("round %d: %d rows", round, len(f.rows))
			}
			f.complete(h)
		})
	}
}

// age makes all rows and lanes of the feed older.
func (h *harness) age(by time.Duration) {
	h.t.Helper()
	s := int64(by / time.Second)
	_, err := h.sql.Writer.Exec(`UPDATE feed SET time = time - ?`, s)
	if err == nil {
		_, err = h.sql.Writer.Exec(`UPDATE feed_lanes SET opened = opened - ?, closed_at = closed_at - ?`, s, s)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// Trimming deletes old rows. A reader that has them goes on, and one that doesn't
// gets ErrTrimmed.
func TestTrimFeed(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(2)
		behind, current := follow(t, h), follow(t, h)
		for i := range 700 { // more rows than one transaction deletes
			h.store(toPeer(u[0], u[1], fmt.Sprint(i)))
		}
		current.look()
		h.age(KeepFeed + time.Minute)
		h.store(toPeer(u[0], u[1], "last"))
		want(t, h.TrimFeed(ctx), nil)
		var left int
		want(t, h.sql.Reader.Get(&left, `SELECT COUNT(*) FROM feed`), nil)
		if left != 1 {
			t.Errorf("%d rows left, want the 1 that isn't old", left)
		}
		current.complete(h)
		if _, _, err := behind.Next(ctx); !errors.Is(err, feed.ErrTrimmed) {
			t.Errorf("a reader that is behind: error %v, want ErrTrimmed", err)
		}
		again := follow(t, h)
		again.seen = maps.Clone(current.seen)
		h.store(toPeer(u[0], u[1], "one more"))
		again.complete(h)
		current.complete(h)
	})
}

// Lanes that aren't used for long are closed, and deleted later. Their writers then
// take new lanes, and no message or change fails. Readers go on, but not one that has
// missed the lane.
func TestCloseLanes(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(3)
		behind, current := follow(t, h), follow(t, h)
		g := h.group(u[0])
		for i := range 3 {
			a := toGroup(u[0], g, fmt.Sprint(i))
			h.store(a)
			want(t, a.Err, nil)
			_, err := h.JoinGroup(ctx, g, u[1], 10, 10)
			want(t, err, nil)
			_, err = h.LeaveGroup(ctx, g, u[1])
			want(t, err, nil)
			current.look()
			for range 3 { // trims the rows, closes the lanes, and deletes them
				h.age(KeepFeed + time.Minute)
				want(t, h.TrimFeed(ctx), nil)
				current.look()
			}
			var lanes int
			want(t, h.sql.Reader.Get(&lanes, `SELECT COUNT(*) FROM feed_lanes WHERE lane <> 1`), nil) // 1 is that of the operators' commands, and stays
			if lanes != 0 {
				t.Errorf("%d lanes left apart from lane 1, want 0", lanes)
			}
		}
		current.complete(h)
		if _, _, err := behind.Next(ctx); !errors.Is(err, feed.ErrTrimmed) {
			t.Errorf("a reader that has missed lanes: error %v, want ErrTrimmed", err)
		}
	})
}

// Reading the lanes' heads takes a bounded number of row reads, however many rows the
// feed has. Each node does it at least once per second.
func TestFeedHeads(t *testing.T) {
	h := newHarness(t, Options{DB: dialects[1].url(t)})
	_, err := h.sql.Writer.Exec(`INSERT INTO feed_lanes (lane, opened) SELECT seq + 1, UNIX_TIMESTAMP() FROM seq_1_to_4`)
	want(t, err, nil)
	_, err = h.sql.Writer.Exec(`INSERT INTO feed (lane, pos, tick, time, spans) SELECT l.lane, seq, seq, 1, '' FROM seq_1_to_5000, feed_lanes l`)
	want(t, err, nil)
	follow(t, h)
	query := ""
	for _, q := range h.sql.Queries() {
		if strings.Contains(q, "feed_lanes") {
			query = q
		}
	}
	c, err := h.sql.Reader.Connx(ctx)
	want(t, err, nil)
	defer c.Close()
	reads := func() (n int) {
		var all []struct {
			Name  string `db:"Variable_name"`
			Value int    `db:"Value"`
		}
		want(t, c.SelectContext(ctx, &all, `SHOW SESSION STATUS LIKE 'Handler_read%'`), nil)
		for _, v := range all {
			n += v.Value
		}
		return n
	}
	before := reads()
	rows, err := c.QueryxContext(ctx, query)
	want(t, err, nil)
	for rows.Next() {
	}
	want(t, rows.Close(), nil)
	if n := reads() - before; n > 100 {
		t.Errorf("%d rows read for the heads of 4 lanes, want a few for each lane", n)
	}
}

// While a transaction uses a lane, Trim leaves that lane out, and trims the others. It
// neither waits nor fails.
func TestTrimLeavesOut(t *testing.T) {
	h := newHarness(t, Options{DB: dialects[1].url(t)})
	for _, q := range []string{
		`INSERT INTO feed_lanes (lane, opened) VALUES (100, 1), (200, 1), (300, 1)`,
		`INSERT INTO feed (lane, pos, tick, time, spans) VALUES (100, 1, 1, 1, ''), (200, 1, 1, 1, '')`,
	} {
		_, err := h.sql.Writer.Exec(q)
		want(t, err, nil)
	}
	tx, err := h.sql.Writer.Beginx()
	want(t, err, nil)
	defer tx.Rollback()
	// As Record does, in a lane with rows and in one without. The row that isn't
	// committed is next to that of lane 200 in the index.
	for _, lane := range []int{100, 300} {
		_, err = tx.Exec(feed.RecordSQL(h.sql), 2, 2, "", lane)
		want(t, err, nil)
	}
	want(t, h.TrimFeed(ctx), nil)
	var left []int
	want(t, h.sql.Reader.Select(&left, `SELECT lane FROM feed ORDER BY lane`), nil)
	if !slices.Equal(left, []int{100}) {
		t.Errorf("rows are left in lanes %v, want only lane 100, which is in use", left)
	}
}

// A migration that was interrupted before its version was stored runs again.
func TestMigrateAgain(t *testing.T) {
	h := newHarness(t, Options{DB: dialects[1].url(t)})
	u := h.users(2)
	_, err := h.sql.Writer.Exec(`DELETE FROM goose_db_version WHERE version_id = 2`)
	want(t, err, nil)
	h.reopen()
	a := toPeer(u[0], u[1], "a")
	h.store(a)
	want(t, a.Err, nil)
}
