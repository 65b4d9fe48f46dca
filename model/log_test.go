package model

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func seqs(l []Message) []int64 {
	var s []int64
	for _, m := range l {
		s = append(s, m.Seq)
	}
	return s
}

// Page and PageBefore keep their limits of messages and bytes, and return at least
// one message if there is one, so that callers make progress.
func TestPages(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(2)
		var batch []*Append
		for i := range 9 {
			a := toPeer(u[0], u[1], fmt.Sprint(i))
			a.Body = make([]byte, 100-len(a.CID)-len("user0")) // 100 bytes each
			batch = append(batch, a)
		}
		h.store(batch...)
		conv := batch[0].Conv
		for _, c := range []struct {
			after        int64
			limit, bytes int
			want         []int64
		}{
			{0, 3, 1 << 20, []int64{1, 2, 3}},
			{7, 30, 1 << 20, []int64{8, 9}},
			{9, 30, 1 << 20, nil},
			{2, 30, 300, []int64{3, 4, 5}},
			{2, 30, 399, []int64{3, 4, 5}},
			{2, 30, 1, []int64{3}},
		} {
			l, err := h.Page(ctx, conv, c.after, c.limit, c.bytes)
			want(t, err, nil)
			if !slices.Equal(seqs(l), c.want) {
				t.Errorf("Page(after %d, limit %d, %d bytes): seqs %v, want %v", c.after, c.limit, c.bytes, seqs(l), c.want)
			}
		}
		for _, c := range []struct {
			before, floor int64
			limit, bytes  int
			want          []int64
		}{
			{0, 0, 3, 1 << 20, []int64{7, 8, 9}},
			{4, 1, 30, 1 << 20, []int64{1, 2, 3}},
			{4, 3, 30, 1 << 20, []int64{3}},
			{4, 4, 30, 1 << 20, nil},
			{1, 0, 30, 1 << 20, nil},
			{8, 0, 30, 250, []int64{6, 7}},
			{8, 0, 30, 1, []int64{7}},
		} {
			l, err := h.PageBefore(ctx, conv, c.before, c.floor, c.limit, c.bytes)
			want(t, err, nil)
			if !slices.Equal(seqs(l), c.want) {
				t.Errorf("PageBefore(before %d, floor %d, limit %d, %d bytes): seqs %v, want %v", c.before, c.floor, c.limit, c.bytes, seqs(l), c.want)
			}
		}
		if l, err := h.Page(ctx, 999, 0, 10, 100); len(l) != 0 || err != nil {
			t.Errorf("Page of no conversation = %v (error %v), want no messages", l, err)
		}
	})
}

// Pages returns any number of pages in the order requested. Each starts after its
// seq and keeps its limit; the limit of bytes holds for all of them together.
func TestPagesOfSeveralConversations(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(maxPages + 4)
		var pages []PageRequest
		for i, peer := range u[1:] {
			var batch []*Append
			for j := range 4 {
				a := toPeer(u[0], peer, fmt.Sprint(i, j))
				a.Body = make([]byte, 100-len(a.CID)-len("user0")) // 100 bytes each
				batch = append(batch, a)
			}
			h.store(batch...)
			pages = append(pages, PageRequest{Conv: batch[0].Conv, After: int64(i % 3), Limit: 1 + i%4})
		}
		slices.Reverse(pages)
		pages = append(pages, PageRequest{Conv: 999, Limit: 5}) // no such conversation
		for _, n := range []int{0, 1, 2, 5, maxPages, maxPages + 1, len(pages)} {
			var all []string
			for _, p := range pages[:min(n, len(pages)-1)] {
				for seq := p.After + 1; seq <= min(4, p.After+int64(p.Limit)); seq++ {
					all = append(all, fmt.Sprint(p.Conv, " ", seq))
				}
			}
			for _, room := range []int{0, 1, 2, 7, len(all) - 1, len(all), len(all) + 1} {
				l, err := h.Pages(ctx, pages[:n], room*100)
				want(t, err, nil)
				var got []string
				for _, m := range l {
					got = append(got, fmt.Sprint(m.Conv, " ", m.Seq))
				}
				if room = min(max(room, 1), len(all)); !slices.Equal(got, all[:room]) {
					t.Errorf("%d pages, bytes for %d messages: got %q, want %q", n, room, got, all[:room])
				}
			}
		}
	})
}

// GroupVersions returns the versions of the groups that a user is in, and leaves out
// others, deleted groups and pairs.
func TestGroupVersions(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(3)
		both, other, deleted := h.group(u[0], u[1]), h.group(u[0]), h.group(u[0], u[1])
		_, err := h.JoinGroup(ctx, both, u[2], 10, 10)
		want(t, err, nil)
		_, err = h.DismissGroup(ctx, deleted, u[0])
		want(t, err, nil)
		pair := toPeer(u[0], u[1], "a")
		h.store(pair)
		v, err := h.VisibleRange(ctx, u[1], both, 0)
		want(t, err, nil)
		got, err := h.GroupVersions(ctx, u[1], []int64{other, both, deleted, pair.Conv, 999})
		want(t, err, nil)
		if len(got) != 1 || got[both] != v.Version || v.Version == 0 {
			t.Errorf("GroupVersions = %v, want only group %d with version %d", got, both, v.Version)
		}
		if got, err := h.GroupVersions(ctx, u[1], nil); len(got) != 0 || err != nil {
			t.Errorf("GroupVersions of no groups = %v (error %v), want none", got, err)
		}
	})
}

// VisibleRange returns the messages that a user may see of a pair and of a group,
// or an error.
func TestVisibleRange(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(3)
		v, err := h.VisibleRange(ctx, u[0], 0, u[1])
		want(t, err, nil)
		check := func(got, want VisibleRange) {
			t.Helper()
			if got != want {
				t.Errorf("VisibleRange = %+v, want %+v", got, want)
			}
		}
		check(v, VisibleRange{First: 1, Lo: u[0], Hi: u[1]})
		_, err = h.VisibleRange(ctx, u[0], 0, 999)
		want(t, err, ErrNotFound)
		g := h.group(u[0])
		a, b := toPeer(u[1], u[0], "a"), toGroup(u[0], g, "b")
		h.store(a, b)
		for _, x := range [][2]int64{{u[0], u[1]}, {u[1], u[0]}} {
			v, err = h.VisibleRange(ctx, x[0], 0, x[1])
			want(t, err, nil)
			check(v, VisibleRange{Conv: a.Conv, First: 1, Last: 1, Lo: u[0], Hi: u[1]})
		}
		_, err = h.JoinGroup(ctx, g, u[2], 10, 10)
		want(t, err, nil)
		h.store(toGroup(u[2], g, "c"))
		v, err = h.VisibleRange(ctx, u[2], g, 0)
		want(t, err, nil)
		check(v, VisibleRange{Conv: g, First: 2, Last: 2, Version: 2})
		_, err = h.VisibleRange(ctx, u[1], g, 0)
		want(t, err, ErrNotAllowed)
		_, err = h.VisibleRange(ctx, u[1], 999, 0)
		want(t, err, ErrNotFound)
	})
}

// Compares the log with a simple model, a list per conversation. The batches are
// random, with repeats within and across them, and the store is reopened in
// between.
func TestLogAgainstModel(t *testing.T) {
	t.Parallel()
	for _, d := range dialects {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			logModel(t, newHarness(t, Options{DB: d.url(t), MaxBatch: 20}))
		})
	}
}

func logModel(t *testing.T, h *harness) {
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		u := []int64{h.user(fmt.Sprint("a", runs)), h.user(fmt.Sprint("b", runs)), h.user(fmt.Sprint("c", runs))}
		g := h.group(u[0], u[1]) // u[2] is not a member
		type key struct{ group, lo, hi int64 }
		type entry struct {
			sender int64
			cid    string
			seq    int64
		}
		logs := make(map[key][]entry)
		convs := make(map[key]int64)
		for range rapid.IntRange(1, 12).Draw(rt, "batches") {
			var batch []*Append
			for range rapid.IntRange(1, 30).Draw(rt, "messages") {
				a := &Append{
					Sender: rapid.SampledFrom(u).Draw(rt, "sender"),
					CID:    fmt.Append(nil, rapid.IntRange(0, 30).Draw(rt, "cid")),
					Retry:  rapid.Bool().Draw(rt, "retry"),
				}
				if a.Body = a.CID; rapid.Bool().Draw(rt, "group") {
					a.Group = g
				} else {
					a.Peer = rapid.SampledFrom(u).Draw(rt, "peer")
				}
				batch = append(batch, a)
			}
			h.store(batch...)
			for i, a := range batch {
				k := key{group: a.Group}
				if a.Group == 0 {
					k.lo, k.hi = min(a.Sender, a.Peer), max(a.Sender, a.Peer)
				}
				if a.Group != 0 && a.Sender == u[2] {
					if a.Err == nil {
						rt.Fatalf("message %d of the batch, from a user who isn't a member: %s; want an error", i, show(a))
					}
					continue
				}
				at := slices.IndexFunc(logs[k], func(e entry) bool { return e.sender == a.Sender && e.cid == string(a.CID) })
				if at < 0 {
					at = len(logs[k])
					logs[k] = append(logs[k], entry{a.Sender, string(a.CID), int64(at + 1)})
					convs[k] = a.Conv
					if !a.Stored {
						rt.Fatalf("message %d of the batch: %s; want it stored", i, show(a))
					}
				} else if a.Stored {
					rt.Fatalf("message %d of the batch, a repeat: %s; want it not stored again", i, show(a))
				}
				if a.Err != nil || a.Seq != int64(at+1) || a.Conv != convs[k] {
					rt.Fatalf("message %d of the batch: %s; want seq %d of conversation %d", i, show(a), at+1, convs[k])
				}
			}
			if rapid.IntRange(0, 9).Draw(rt, "reopen") == 0 {
				h.reopen()
			}
		}
		for k, log := range logs {
			var got []entry
			for _, m := range h.log(convs[k]) {
				got = append(got, entry{m.Sender, string(m.CID), m.Seq})
			}
			if !slices.Equal(got, log) {
				rt.Fatalf("log of %+v = %v, want %v", k, got, log)
			}
		}
	})
}
