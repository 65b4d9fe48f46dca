package client

import "time"

// conversation is the state of one conversation: which seqs this device has, and
// what it has reported to the server. It is the "set of seqs" of docs/protocol.md
// ("Receiving"): seqs up to last are complete; buffered and ownSeqs hold those
// after a gap. Client.mu guards it.
type conversation struct {
	conv Conv

	// started is set once the start of the set is known. Until then, seqs of own
	// messages wait in ownSeqs: pushes from before them may be on their way.
	started  bool
	last     int64              // the last seq without a gap before it
	highest  int64              // the highest seq known to exist
	buffered map[int64]Message  // messages after a gap, at most maxBuffered
	ownSeqs  map[int64]struct{} // seqs of own acknowledged messages after a gap, at most maxOwnSeqs

	// assumedStart is the first seq of a start that is only assumed, 0 if the start is
	// certain. The first push makes it certain, or shows that it is too late. In that
	// case last goes back to the seq before the push. What came earlier is after a gap
	// then: aheadFrom to aheadTo are in the set, 0 if there are none.
	assumedStart, aheadFrom, aheadTo int64

	syncAt      time.Time     // when to send a SYNC for the gap; zero if there is no gap
	syncing     bool          // a SYNC is in flight
	syncBackoff time.Duration // delay after the last SYNC without progress

	queued      int   // messages queued for the handler, or about to be
	unordered   int   // the first ones of these came before messages with lower seqs
	handled     int64 // receipts may report up to here
	receiptSent int64 // receipts have reported up to here
	receiptDue  bool  // it is in Client.receiptsDue

	read, readSent int64     // highest seq passed to MarkRead, and highest one reported as read
	readSentAt     time.Time // when that was reported

	receiptRID, readRID int64 // rids of the last receipts
}

func newConversation(conv Conv) *conversation { return &conversation{conv: conv} }

// startAt makes the set start after seq, because the server says that earlier
// messages aren't for this device. If the set has already started, startAt drops
// what it has up to seq. It appends the messages that became deliverable to out.
func (t *conversation) startAt(seq int64, out []Message) []Message {
	if t.started && t.last >= seq {
		return out
	}
	t.started, t.last, t.assumedStart = true, seq, 0
	if t.aheadFrom > 0 && seq >= t.aheadFrom {
		t.last, t.aheadFrom, t.aheadTo = max(seq, t.aheadTo), 0, 0
	}
	for s := range t.buffered {
		if s <= t.last {
			delete(t.buffered, s)
		}
	}
	for s := range t.ownSeqs {
		if s <= t.last {
			delete(t.ownSeqs, s)
		}
	}
	out = t.releaseBuffered(out)
	t.advanceHandled()
	return out
}

// startAssumed starts the set after seq as a guess, because nothing from before
// it has come.
func (t *conversation) startAssumed(seq int64, out []Message) []Message {
	out = t.startAt(seq, out)
	t.assumedStart = seq + 1
	return out
}

// pushed records that the server has pushed seq; call it before add. The server pushes
// in order, so it has pushed everything that it is going to push before seq. If seq is
// before an assumed start, all messages from there on are missing until they come.
func (t *conversation) pushed(seq int64) {
	if seq < t.assumedStart {
		t.aheadFrom, t.aheadTo, t.last = t.assumedStart, t.last, seq-1
		t.unordered = t.queued
		t.handled, t.receiptSent = min(t.handled, seq-1), min(t.receiptSent, seq-1)
	}
	t.assumedStart = 0
}

// toSave returns the seq up to which this device has handled all messages, 0 if that is
// only assumed.
func (t *conversation) toSave() int64 {
	if t.assumedStart > 0 {
		return 0
	}
	return t.handled
}

// add adds seq to the set. m is nil for the ACK of an own message. It appends
// the messages that became deliverable to out, in order, and reports whether seq
// was new.
func (t *conversation) add(seq int64, m *Message, out []Message) ([]Message, bool) {
	if !t.started && (m != nil || seq == 1) {
		// The server sends messages in order, starting after this device's receipts. So
		// this is the first one.
		out = t.startAt(seq-1, out)
	}
	switch {
	case t.started && seq <= t.last:
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
		if len(t.ownSeqs) < maxOwnSeqs { // otherwise it is delivered like a message from another device
			t.ownSeqs[seq] = struct{}{}
		}
	default:
		t.highest = max(t.highest, seq)
		if t.buffered == nil {
			t.buffered = make(map[int64]Message)
		}
		if len(t.buffered) < maxBuffered { // otherwise a SYNC reads it later
			t.buffered[seq] = *m
		}
	}
	t.advanceHandled()
	return out, true
}

// isBuffered reports whether seq is in the set, after a gap.
func (t *conversation) isBuffered(seq int64) bool {
	_, held := t.buffered[seq]
	_, own := t.ownSeqs[seq]
	return held || own || t.aheadFrom <= seq && seq <= t.aheadTo
}

// releaseBuffered appends the buffered messages that directly follow last to
// out.
func (t *conversation) releaseBuffered(out []Message) []Message {
	for len(t.buffered)+len(t.ownSeqs) > 0 || t.aheadFrom > 0 {
		if t.last+1 == t.aheadFrom {
			t.last, t.aheadFrom, t.aheadTo = t.aheadTo, 0, 0
			continue
		}
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

// advanceHandled moves handled past own messages, which no handler gets.
func (t *conversation) advanceHandled() {
	if t.started && t.queued == 0 {
		t.handled = max(t.handled, t.last)
	}
}

// readTo returns the seq that may be reported as read. Messages that are yet to be
// pushed must not be reported: the server would count them as received.
func (t *conversation) readTo() int64 {
	if t.started {
		return min(t.read, t.last)
	}
	return t.read
}

// noteExists records that seq exists, without adding it to the set.
func (t *conversation) noteExists(seq int64) { t.highest = max(t.highest, seq) }

// hasGap reports whether messages are missing.
func (t *conversation) hasGap() bool { return t.highest > t.last }

// lowestBuffered returns the lowest seq after a gap, 0 if there is none.
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

// messageHandled records that the handler has returned from message seq.
func (t *conversation) messageHandled(seq int64) {
	t.queued--
	if t.unordered > 0 {
		t.unordered-- // messages before it may be missing
	} else {
		t.handled = max(t.handled, seq)
	}
	t.advanceHandled()
}
