package client

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// With any order, duplicates, own ACKs and number of SYNC pages, each message of
// others is delivered once, in order, and receipts never report a message that
// no handler has returned from.
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
				t.Fatalf("receipts report %d, but %v is not handled", tr.handled, pending)
			}
			if tr.handled > tr.last {
				t.Fatalf("receipts report %d, above the last seq %d", tr.handled, tr.last)
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
			t.Fatalf("shown %v, want %v; %+v", shown, want, tr)
		}
	})
}

// The number of buffered messages is bounded; SYNC reads the rest.
func TestConversationBound(t *testing.T) {
	tr := newConversation(User(2))
	tr.startAt(0, nil)
	for seq := int64(2); seq < 10*maxBuffered; seq++ {
		tr.add(seq, &Message{Seq: seq}, nil)
	}
	if len(tr.buffered) != maxBuffered || tr.highest != 10*maxBuffered-1 {
		t.Errorf("%d held, high %d", len(tr.buffered), tr.highest)
	}
	// Own messages, of which only seqs are kept, have a bound of their own.
	own := int64(20 * maxBuffered)
	tr.add(own, nil, nil)
	for seq := int64(1); seq <= own; seq++ {
		out, fresh := tr.add(seq, &Message{Seq: seq}, nil)
		for _, m := range out {
			if m.Seq == own {
				t.Error("one's own is shown")
			}
		}
		if seq == own && fresh {
			t.Error("one's own is new")
		}
	}
}

// A start that was assumed from an own ACK may be wrong: a push from before it
// is still delivered once.
func TestConversationAssumedStart(t *testing.T) {
	tr := newConversation(User(2))
	tr.add(5, nil, nil)
	tr.startAssumed(4, nil)
	if tr.last != 5 || tr.hasGap() {
		t.Fatalf("%+v", tr)
	}
	var got []int64
	for _, seq := range []int64{3, 4, 4, 3, 5, 6} {
		out, _ := tr.add(seq, &Message{Seq: seq}, nil)
		for _, m := range out {
			got = append(got, m.Seq)
		}
	}
	if !slices.Equal(got, []int64{3, 4, 6}) {
		t.Errorf("shown %v", got)
	}
}

// The first push determines the start of the set, whatever own ACKs came before.
func TestConversationStart(t *testing.T) {
	for first, want := range map[int64]int64{2: 2, 3: 5, 5: 5, 6: 6} {
		tr := newConversation(User(2))
		tr.add(4, nil, nil)
		tr.add(5, nil, nil)
		tr.add(first, &Message{Seq: first}, nil)
		if tr.last != want || first > 4 && len(tr.ownSeqs) != 0 {
			t.Errorf("first push %d: %+v", first, tr)
		}
	}
}
