package client

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Whatever the order of pushes, duplicates, own ACKs and SYNC pages, each message from
// others is delivered once and in order, and receipts only report messages whose
// handler has returned.
func TestConversation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const end = 30
		start := rapid.Int64Range(0, 5).Draw(t, "start")
		own := make(map[int64]bool)
		for _, s := range rapid.SliceOf(rapid.Int64Range(start+1, end)).Draw(t, "own") {
			own[s] = true
		}
		tr := newConversation(User(2))
		tr.startAt(start, nil)
		var shown []int64
		var pending []int64
		feed := func(seq int64) {
			m := &Message{Seq: seq}
			if own[seq] {
				m = nil
			}
			out, _ := tr.add(seq, m, nil)
			for _, m := range out {
				shown = append(shown, m.Seq)
				pending = append(pending, m.Seq)
			}
		}
		check := func() {
			if len(pending) > 0 && tr.handled >= pending[0] {
				t.Fatalf("handled = %d, want less than %d, which no handler has returned from", tr.handled, pending[0])
			}
			if tr.handled > tr.last {
				t.Fatalf("handled = %d, want at most last, which is %d", tr.handled, tr.last)
			}
		}
		for range rapid.IntRange(0, 80).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"push", "push", "push", "handle", "sync"}).Draw(t, "step") {
			case "push":
				feed(rapid.Int64Range(max(1, start), end).Draw(t, "seq"))
			case "handle":
				if len(pending) > 0 {
					tr.messageHandled(pending[0])
					pending = pending[1:]
				}
			case "sync":
				for seq, n := tr.last+1, 0; tr.hasGap() && seq <= tr.highest && n < 3; seq, n = seq+1, n+1 {
					feed(seq)
				}
			}
			check()
		}
		for seq := tr.last + 1; seq <= end; seq++ {
			feed(seq)
		}
		for _, seq := range pending {
			tr.messageHandled(seq)
		}
		var want []int64
		for seq := start + 1; seq <= end; seq++ {
			if !own[seq] {
				want = append(want, seq)
			}
		}
		if !slices.Equal(shown, want) || tr.last != end || tr.handled != end || len(tr.buffered)+len(tr.ownSeqs) != 0 || tr.queued != 0 {
			t.Fatalf("delivered %v, want %v and an empty, complete set up to %d; got %+v", shown, want, end, tr)
		}
	})
}

// The number of buffered messages is bounded; SYNC reads the others.
func TestConversationBound(t *testing.T) {
	tr := newConversation(User(2))
	tr.startAt(0, nil)
	for seq := int64(2); seq < 10*maxBuffered; seq++ {
		tr.add(seq, &Message{Seq: seq}, nil)
	}
	if len(tr.buffered) != maxBuffered || tr.highest != 10*maxBuffered-1 {
		t.Errorf("%d messages buffered, highest %d; want %d and %d", len(tr.buffered), tr.highest, maxBuffered, 10*maxBuffered-1)
	}
	// Own messages, of which only the seqs are kept, have a separate bound.
	own := int64(20 * maxBuffered)
	tr.add(own, nil, nil)
	for seq := int64(1); seq <= own; seq++ {
		out, fresh := tr.add(seq, &Message{Seq: seq}, nil)
		for _, m := range out {
			if m.Seq == own {
				t.Errorf("own message %d was delivered to the handler", own)
			}
		}
		if seq == own && fresh {
			t.Errorf("add(%d) of an own message reports it as new", own)
		}
	}
}

// A start that was assumed after an own ACK may be wrong: a push from before it is
// still delivered, once.
func TestConversationAssumedStart(t *testing.T) {
	tr := newConversation(User(2))
	tr.add(5, nil, nil)
	tr.startAssumed(4, nil)
	if tr.last != 5 || tr.hasGap() {
		t.Fatalf("after startAssumed(4): %+v, want last 5 and no gap", tr)
	}
	var got []int64
	for _, seq := range []int64{3, 4, 4, 3, 5, 6} {
		tr.pushed(seq)
		out, _ := tr.add(seq, &Message{Seq: seq}, nil)
		for _, m := range out {
			got = append(got, m.Seq)
		}
	}
	if !slices.Equal(got, []int64{3, 4, 6}) {
		t.Errorf("delivered %v, want [3 4 6]", got)
	}
}

// The first push determines the start of the set, even after own ACKs.
func TestConversationStart(t *testing.T) {
	for first, want := range map[int64]int64{2: 2, 3: 5, 5: 5, 6: 6} {
		tr := newConversation(User(2))
		tr.add(4, nil, nil)
		tr.add(5, nil, nil)
		tr.add(first, &Message{Seq: first}, nil)
		if tr.last != want || first > 4 && len(tr.ownSeqs) != 0 {
			t.Errorf("first push %d: got %+v, want last %d", first, tr, want)
		}
	}
}
