package client

import "time"

// track is what this client has of one conversation. It belongs to
// Client.mu. It holds the set of seqs that PROTOCOL speaks of: the gapless

type conversation struct {
	conv Conv

	// started: it is known where the set begins. Until then an ACK of one's own
	// waits in own: what comes before it may still be on its way.
	started  bool
	last     int64              // the end of the gapless part
	highest  int64              // the highest seq known to exist
	buffered map[int64]Message  // messages beyond a hole, at most maxHeld
	ownSeqs  map[int64]struct{} // one's own, acknowledged, beyond a hole, at most maxOwn

	// floor is where a start that was only assumed begins, 0 after one that
	// is certain. A push from before it is new after all; late is the last
	// such push.
	assumedStart, lateSeq int64

	syncAt      time.Time     // when to do something about the hole; zero: there is none
	syncing     bool          // a SYNC is on its way
	syncBackoff time.Duration // how long to wait after the next SYNC without progress

	queued      int   // messages that wait for the handler, or are about to
	handled     int64 // receipts may say so much
	receiptSent int64 // and have said this
	receiptDue  bool  // it is in Client.dirty

	read, readSent int64 // what the application has read, and what was told of it

	receiptRID, readRID int64 // of the last receipts
}

func newConversation(conv Conv) *conversation { return &conversation{conv: conv} }

// startAt begins the set after seq, or drops all before it: what is
// there, the server says, is not for us. It appends to out what is no longer
// held back by a hole.
func (t *conversation) startAt(seq int64, out []Message) []Message {
	if t.started && t.last >= seq {
		return out
	}
	t.started, t.last, t.assumedStart = true, seq, 0
	for s := range t.buffered {
		if s <= seq {
			delete(t.buffered, s)
		}
	}
	for s := range t.ownSeqs {
		if s <= seq {
			delete(t.ownSeqs, s)
		}
	}
	out = t.releaseBuffered(out)
	t.advanceHandled()
	return out
}

// assume begins the set after seq, on no better ground than that nothing
// else has come.
func (t *conversation) startAssumed(seq int64, out []Message) []Message {
	out = t.startAt(seq, out)
	t.assumedStart = seq + 1
	return out
}

// add puts seq into the set. m is nil for an ACK of one's own. It appends to
// out what is to be shown now, in order, and reports whether seq was new.
func (t *conversation) add(seq int64, m *Message, out []Message) ([]Message, bool) {
	if !t.started && (m != nil || seq == 1) {
		// The server sends what follows this device's receipts in order, so
		// the first to come is the next one.
		out = t.startAt(seq-1, out)
	}
	switch {
	case t.started && seq <= t.last:
		if m != nil && seq < t.assumedStart && seq > t.lateSeq {
			t.lateSeq = seq
			t.queued++
			return append(out, *m), true
		}
		return out, false
	case t.started && seq == t.last+1:
		t.last = seq
		if m != nil {
			t.queued++
			out = append(out, *m)
		}
		out = t.releaseBuffered(out)
	case t.isBuffered(seq):
		return out, false
	case m == nil:
		t.highest = max(t.highest, seq)
		if t.ownSeqs == nil {
			t.ownSeqs = make(map[int64]struct{})
		}
		if len(t.ownSeqs) < maxOwnSeqs { // else it is shown as if another device had sent it
			t.ownSeqs[seq] = struct{}{}
		}
	default:
		t.highest = max(t.highest, seq)
		if t.buffered == nil {
			t.buffered = make(map[int64]Message)
		}
		if len(t.buffered) < maxBuffered { // else SYNC will bring it
			t.buffered[seq] = *m
		}
	}
	t.advanceHandled()
	return out, true
}

// has reports whether seq is in the set, beyond a hole.
func (t *conversation) isBuffered(seq int64) bool {
	_, held := t.buffered[seq]
	_, own := t.ownSeqs[seq]
	return held || own
}

// release moves what follows last from held to out.
func (t *conversation) releaseBuffered(out []Message) []Message {
	for len(t.buffered)+len(t.ownSeqs) > 0 {
		if m, ok := t.buffered[t.last+1]; ok {
			t.queued++
			out = append(out, m)
		} else if _, ok := t.ownSeqs[t.last+1]; !ok {
			break
		}
		t.last++
		delete(t.buffered, t.last)
		delete(t.ownSeqs, t.last)
	}
	t.highest = max(t.highest, t.last)
	return out
}

// caughtUp lets receipts tell of one's own messages, which no handler sees.
func (t *conversation) advanceHandled() {
	if t.started && t.queued == 0 {
		t.handled = max(t.handled, t.last)
	}
}

// readable is how far the server may be told that the conversation is read: a
// receipt for what has a push on its way would say that it has arrived.
func (t *conversation) readTo() int64 {
	if t.started {
		return min(t.read, t.last)
	}
	return t.read
}

// exists notes that seq exists, without having it.
func (t *conversation) noteExists(seq int64) { t.highest = max(t.highest, seq) }

// hole reports whether something is missing.
func (t *conversation) hasGap() bool { return t.highest > t.last }

// lowest is the lowest seq beyond a hole, 0 if there is none.
func (t *conversation) lowestBuffered() (low int64) {
	for s := range t.buffered {
		if low == 0 || s < low {
			low = s
		}
	}
	for s := range t.ownSeqs {
		if low == 0 || s < low {
			low = s
		}
	}
	return low
}

// shown notes that the handler has returned from the message with seq.
func (t *conversation) messageHandled(seq int64) {
	t.queued--
	t.handled = max(t.handled, seq)
	if t.queued == 0 && t.last > t.handled {
		t.handled = t.last
	}
}
