package model

import (
	"bytes"
	"chatd/model/sqldb"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jmoiron/sqlx"
)

// recentHarness is a store whose newest messages are moved only when the test says
// so.
func recentHarness(t *testing.T, o Options) *harness {
	if o.DB == "" {
		o.DB = "sqlite:" + filepath.Join(t.TempDir(), "chat.db")
	}
	o.noBackground = true
	return newHarness(t, o)
}

// slice runs one slice of the Folder and reports whether there is more to do.
func (h *harness) slice() bool {
	h.t.Helper()
	more, err := h.folder.Slice(ctx)
	if err != nil {
		h.t.Fatal(err)
	}
	return more
}

// written is a message that was stored, for verify.
type written struct {
	a         *Append
	conv, seq int64
}

// verify checks that the store has exactly these messages: through every way to
// read them, and by sending some of them again.
func (h *harness) verify(when string, all []written) {
	h.t.Helper()
	rnd := rand.New(rand.NewPCG(uint64(len(all)), uint64(len(when))))
	of := make(map[int64][]written)
	for _, w := range all {
		of[w.conv] = append(of[w.conv], w)
	}
	var pages []PageRequest
	for conv, ws := range of {
		slices.SortFunc(ws, func(a, b written) int { return cmp.Compare(a.seq, b.seq) })
		log := h.log(conv)
		if len(log) != len(ws) {
			h.t.Fatalf("%s: conversation %d has %d messages, want %d", when, conv, len(log), len(ws))
		}
		for i, m := range log {
			if w := ws[i]; m.Seq != w.seq || !bytes.Equal(m.CID, w.a.CID) || !bytes.Equal(m.Body, w.a.Body) || m.Sender != w.a.Sender {
				h.t.Fatalf("%s: conversation %d, position %d: seq %d with cid %q, want seq %d with cid %q", when, conv, i, m.Seq, m.CID, w.seq, w.a.CID)
			}
		}
		for _, before := range []int64{0, int64(len(ws)), int64(len(ws))/2 + 1} {
			l, err := h.PageBefore(ctx, conv, before, 2, 5, 1<<30)
			if err != nil {
				h.t.Fatal(err)
			}
			end := int64(len(ws))
			if before > 0 {
				end = before - 1
			}
			if want := max(0, min(5, end-1)); int64(len(l)) != want || len(l) > 0 && (l[0].Seq != end-want+1 || l[want-1].Seq != end) {
				h.t.Fatalf("%s: PageBefore(%d, %d) has %d messages, want %d up to seq %d", when, conv, before, len(l), want, end)
			}
		}
		pages = append(pages, PageRequest{conv, int64(len(ws)) / 2, 3})
		w := ws[len(ws)/2]
		if m, err := h.TraceSeq(ctx, conv, w.seq); err != nil || !bytes.Equal(m.CID, w.a.CID) {
			h.t.Errorf("%s: TraceSeq(%d, %d) found cid %q (error %v), want %q", when, conv, w.seq, m.CID, err, w.a.CID)
		}
		if m, err := h.TraceCID(ctx, conv, w.a.Sender, w.a.CID); err != nil || m.Seq != w.seq {
			h.t.Errorf("%s: TraceCID found seq %d (error %v), want %d", when, m.Seq, err, w.seq)
		}
	}
	l, err := h.Pages(ctx, pages, 1<<30)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, p := range pages {
		for i := range min(3, len(of[p.Conv])-int(p.After)) {
			if len(l) == 0 || l[0].Conv != p.Conv || l[0].Seq != p.After+int64(i)+1 {
				h.t.Fatalf("%s: Pages: want seq %d of conversation %d next, got %v", when, p.After+int64(i)+1, p.Conv, l)
			}
			l = l[1:]
		}
	}
	var again []*Append
	var want []int64
	for i := range 20 {
		w := all[rnd.IntN(len(all))]
		again = append(again, &Append{Sender: w.a.Sender, Group: w.a.Group, Peer: w.a.Peer, CID: w.a.CID, Body: []byte("again"), Retry: i%2 == 0})
		want = append(want, w.seq)
	}
	h.store(again...)
	for i, a := range again {
		if a.Err != nil || a.Stored || a.Seq != want[i] {
			h.t.Fatalf("%s: sent again: %s; want seq %d and not stored", when, show(a), want[i])
		}
	}
}

// fill stores n random messages.
func (h *harness) fill(rnd *rand.Rand, users []int64, groups []int64, n int) (all []written) {
	h.t.Helper()
	var batch []*Append
	for i := range n {
		cid := fmt.Sprintf("%x-%d", rnd.Uint64(), i)
		from := users[rnd.IntN(len(users))]
		if rnd.IntN(2) == 0 {
			batch = append(batch, toGroup(from, groups[rnd.IntN(len(groups))], cid))
		} else {
			batch = append(batch, toPeer(from, users[rnd.IntN(len(users))], cid))
		}
	}
	h.store(batch...)
	for _, a := range batch {
		if a.Err != nil || !a.Stored {
			h.t.Fatalf("%s, want it stored", show(a))
		}
		all = append(all, written{a, a.Conv, a.Seq})
	}
	return all
}

// Wherever a message is, in recent, in messages or in both, it is read once, in
// order, and its cid is recognized: after each step of the Folder, and after each
// restart between two steps.
func TestRecentAnywhere(t *testing.T) {
	t.Parallel()
	h := recentHarness(t, Options{})
	rnd := rand.New(rand.NewPCG(1, 2))
	users := h.users(5)
	groups := []int64{h.group(users...), h.group(users...)}
	all := h.fill(rnd, users, groups, 150)
	h.verify("before any slice", all)
	n := 0
	for round := range 2 {
		for more, end := true, n+12; more && n < end; n++ {
			more = h.slice()
			h.verify(fmt.Sprintf("round %d, slice %d", round, n), all)
			all = append(all, h.fill(rnd, users, groups, rnd.IntN(4))...)
			if rnd.IntN(3) == 0 {
				h.reopen()
				h.verify(fmt.Sprintf("round %d, slice %d, reopened", round, n), all)
			}
		}
		all = append(all, h.fill(rnd, users, groups, 100)...)
	}
	if err := h.folder.All(ctx); err != nil {
		t.Fatal(err)
	}
	h.verify("at the end", all)
	h.nothingRecent()
	h.reopen()
	all = append(all, h.fill(rnd, users, groups, 10)...)
	h.verify("after recent was empty", all)
}

// Another process may append, too. This one reads its messages, and recognizes
// their cids, wherever they are; and the other way round.
func TestRecentTwoProcesses(t *testing.T) {
	t.Parallel()
	h := recentHarness(t, Options{})
	rnd := rand.New(rand.NewPCG(3, 4))
	users := h.users(4)
	groups := []int64{h.group(users...)}
	other := recentHarness(t, Options{DB: h.o.DB, Shared: true})
	all := h.fill(rnd, users, groups, 40)
	for i := range 10 {
		other.verify(fmt.Sprintf("step %d, other process", i), all)
		all = append(all, other.fill(rnd, users, groups, 3)...)
		if i%3 == 0 {
			h.slice()
		}
		h.verify(fmt.Sprintf("step %d", i), all)
		all = append(all, h.fill(rnd, users, groups, 3)...)
	}
}

// A commit that returns an error although it succeeded loses nothing and stores
// nothing twice.
func TestRecentAmbiguousCommit(t *testing.T) {
	h := recentHarness(t, Options{})
	rnd := rand.New(rand.NewPCG(5, 6))
	users := h.users(3)
	groups := []int64{h.group(users...)}
	all := h.fill(rnd, users, groups, 20)
	for committed := range 2 {
		h.commits(func(tx *sql.Tx) error {
			h.commits((*sql.Tx).Commit)
			if committed == 1 {
				if err := tx.Commit(); err != nil {
					return err
				}
			}
			return errors.New("no answer")
		})
		all = append(all, h.fill(rnd, users, groups, 20)...)
		h.verify(fmt.Sprintf("after a failed commit, committed: %d", committed), all)
		h.slice()
		h.verify("after a slice", all)
	}
}

// Readers see each conversation whole and in order while messages are stored and
// moved.
func TestRecentConcurrently(t *testing.T) {
	h := recentHarness(t, Options{})
	users := h.users(4)
	groups := []int64{h.group(users...), h.group(users...)}
	stop, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		for stop.Err() == nil {
			if _, err := h.folder.Slice(ctx); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for r := range 2 {
		running.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(r), 7))
			for stop.Err() == nil {
				g := groups[rnd.IntN(len(groups))]
				v, err := h.VisibleRange(ctx, users[0], g, 0)
				if err != nil {
					t.Error(err)
					return
				}
				after := rnd.Int64N(v.Last + 1)
				l, err := h.Page(ctx, g, after, 100, 1<<30)
				if err != nil || int64(len(l)) < min(100, v.Last-after) {
					t.Errorf("Page(%d, %d) has %d messages (error %v), want at least %d", g, after, len(l), err, min(100, v.Last-after))
					return
				}
				for i, m := range l {
					if m.Seq != after+int64(i)+1 {
						t.Errorf("Page(%d, %d): position %d has seq %d, want %d", g, after, i, m.Seq, after+int64(i)+1)
						return
					}
				}
				back, err := h.PageBefore(ctx, g, 0, 0, 10, 1<<30)
				if err != nil || len(back) > 0 && back[len(back)-1].Seq < v.Last {
					t.Errorf("PageBefore(%d) ends at %v (error %v), want at least seq %d", g, back[len(back)-1].Seq, err, v.Last)
					return
				}
			}
		})
	}
	rnd := rand.New(rand.NewPCG(8, 9))
	var all []written
	for range 20 {
		all = append(all, h.fill(rnd, users, groups, 60)...)
	}
	cancel()
	running.Wait()
	h.verify("at the end", all)
}

// If the database holds two messages with the same cid, which chatd never writes,
// the conversation stays readable where it is, an error is logged, and other
// conversations are moved.
func TestRecentRefused(t *testing.T) {
	var log bytes.Buffer
	h := recentHarness(t, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	rnd := rand.New(rand.NewPCG(10, 11))
	users := h.users(3)
	bad, good := h.group(users...), h.group(users...)
	all := h.fill(rnd, users, []int64{bad, good}, 60)
	if err := h.folder.All(ctx); err != nil {
		t.Fatal(err)
	}
	all = append(all, h.fill(rnd, users, []int64{bad, good}, 60)...)
	var first *Message
	for _, m := range h.log(bad) {
		first = &m
		break
	}
	if _, err := h.sql.Writer.Exec(`UPDATE recent SET cid = ?, sender_id = ? WHERE id = (SELECT MAX(id) FROM recent WHERE conversation_id = ?)`,
		first.CID, first.Sender, bad); err != nil {
		t.Fatal(err)
	}
	h.reopen()
	if err := h.folder.All(ctx); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("[%d]", bad)) {
		t.Errorf("All returned error %v, want one that names conversation %d", err, bad)
	}
	if text := log.String(); !strings.Contains(text, fmt.Sprintf("conversation=%d", bad)) || strings.Contains(text, fmt.Sprintf("conversation=%d", good)) {
		t.Errorf("log: %s\nwant an error about conversation %d only", text, bad)
	}
	var left []int64
	if err := h.sql.Reader.Select(&left, `SELECT DISTINCT conversation_id FROM recent`); err != nil || len(left) != 1 || left[0] != bad {
		t.Errorf("conversations %v are still in recent (error %v), want only %d", left, err, bad)
	}
	n := 0
	for _, w := range all {
		if w.conv == bad {
			n++
		}
	}
	if log := h.log(bad); len(log) != n {
		t.Errorf("the refused conversation has %d messages, want %d", len(log), n)
	}
}

// Appends don't outrun the Folder: when recent is full, they move messages
// themselves.
func TestRecentIsBounded(t *testing.T) {
	h := recentHarness(t, Options{MaxBatch: 50})
	h.folder.Max = 200
	rnd := rand.New(rand.NewPCG(12, 13))
	users := h.users(4)
	groups := []int64{h.group(users...), h.group(users...)}
	var all []written
	for range 50 {
		all = append(all, h.fill(rnd, users, groups, 50)...)
		if n := h.recent.Len(); n > 200+50 {
			t.Fatalf("recent has %d messages, want at most 250", n)
		}
	}
	h.verify("at the end", all)
}

// A slice whose commit returned an error may have been committed. In both cases,
// nothing is lost, and cids are still recognized.
func TestRecentAmbiguousSlice(t *testing.T) {
	h := recentHarness(t, Options{})
	rnd := rand.New(rand.NewPCG(14, 15))
	users := h.users(3)
	groups := []int64{h.group(users...), h.group(users...)}
	all := h.fill(rnd, users, groups, 300)
	write := h.folder.Write
	for i := range 8 {
		h.folder.Write = func(ctx context.Context, do func(ctx context.Context, tx *sqlx.Tx) error) error {
			if i%2 == 0 {
				if err := write(ctx, do); err != nil {
					return err
				}
			}
			return &sqldb.CommitError{Err: errors.New("no answer")}
		}
		if _, err := h.folder.Slice(ctx); err == nil {
			t.Fatal("a slice whose commit failed returned no error")
		}
		h.verify(fmt.Sprintf("step %d: after a failed commit", i), all)
		if i%3 > 0 { // otherwise reading the index again fails, too
			h.folder.Write = write
			h.slice()
			h.verify(fmt.Sprintf("step %d: after the next slice", i), all)
		}
		all = append(all, h.fill(rnd, users, groups, 10)...)
	}
	h.folder.Write = write
	if err := h.folder.All(ctx); err != nil {
		t.Fatal(err)
	}
	h.verify("at the end", all)
	h.nothingRecent()
}

// nothingRecent checks that recent is empty.
func (h *harness) nothingRecent() {
	h.t.Helper()
	var rows int
	if err := h.sql.Reader.Get(&rows, `SELECT COUNT(*) FROM recent`); err != nil || rows != 0 || h.recent.Len() != 0 {
		h.t.Errorf("recent has %d rows, the index %d (error %v), want none", rows, h.recent.Len(), err)
	}
}

// A restart in the middle of a round leaves no copied rows behind.
func TestRecentRestartInRound(t *testing.T) {
	h := recentHarness(t, Options{})
	rnd := rand.New(rand.NewPCG(18, 19))
	users := h.users(3)
	groups := []int64{h.group(users...), h.group(users...)}
	all := h.fill(rnd, users, groups, 400)
	h.slice()
	h.slice()
	h.reopen()
	all = append(all, h.fill(rnd, users, groups, 10)...)
	if err := h.folder.All(ctx); err != nil {
		t.Fatal(err)
	}
	h.nothingRecent()
	h.verify("at the end", all)
}

// If messages can't be moved, appends fail once recent has twice as much as it may
// hold. They work again when there is room.
func TestRecentCannotFold(t *testing.T) {
	h := recentHarness(t, Options{MaxBatch: 10})
	h.folder.Max = 50
	rnd := rand.New(rand.NewPCG(16, 17))
	users := h.users(2)
	groups := []int64{h.group(users...)}
	all := h.fill(rnd, users, groups, 40)
	if _, err := h.sql.Writer.Exec(`CREATE TRIGGER full BEFORE INSERT ON messages BEGIN SELECT RAISE(ABORT, 'full'); END`); err != nil {
		t.Fatal(err)
	}
	refused := false
	for i := 0; i < 20 && !refused; i++ {
		a := toGroup(users[0], groups[0], fmt.Sprint("refused ", i))
		if h.store(a); a.Err != nil {
			refused = true
			continue
		}
		all = append(all, written{a, a.Conv, a.Seq})
		for range 9 {
			all = append(all, h.fill(rnd, users[:1], groups, 1)...)
		}
	}
	if n := h.recent.Len(); !refused || n > 2*50+10 {
		t.Errorf("refused: %t with %d messages in recent, want a refusal at 100", refused, n)
	}
	if _, err := h.sql.Writer.Exec(`DROP TRIGGER full`); err != nil {
		t.Fatal(err)
	}
	all = append(all, h.fill(rnd, users, groups, 30)...)
	h.verify("once there is room", all)
}

// A SQLite store has the metrics of recent that docs/operations.md describes.
func TestRecentMetrics(t *testing.T) {
	h := recentHarness(t, Options{})
	users := h.users(2)
	h.store(toPeer(users[0], users[1], "a"))
	if err := h.folder.All(ctx); err != nil {
		t.Fatal(err)
	}
	var page bytes.Buffer
	h.DB.o.Set.WritePrometheus(&page)
	for _, want := range []string{"chatd_model_recent_messages 0", "chatd_model_recent_folded_total 1", "chatd_model_recent_slice_seconds_count 2",
		"chatd_model_recent_refused_conversations 0"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the metrics have no %q", want)
		}
	}
}
