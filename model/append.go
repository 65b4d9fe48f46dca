package model

import "errors"

// Append is a message on its way into the log. What the caller sets first
// must not change until the sink has it.
type Append struct {
	Sender      int64
	Group, Peer int64  // exactly one is set; Peer may be Sender: notes
	CID, Body   []byte // owned by the Append; neither is empty
	Retry       bool   // the sender isn't sure whether it was stored before
	Owner       any    // the caller's; untouched
	Run         *Run   // nil: none

	// The outcome, set before the sink sees it.
	Conv, Seq int64
	Time      int64 // Unix ms
	Version   int64 // of the group's membership
	Last      int64 // the conversation's last seq after this batch
	Stored    bool  // false with Err nil: answered from the log, a repeat of its cid
	Err       error // ErrNotFound, ErrNotAllowed, or the database could not, with this one or with one before it in its line

	given   int64 // the seq that a COMMIT of unknown outcome gave
	look    bool  // it may be in the log, whatever Retry says
	skipped bool  // another node had its conversation locked: not tried
	unmade  bool  // of skipped: the pair has no conversation yet
}

// appendOverhead is what a message costs the queue besides its bytes.
const appendOverhead = 128

var errMalformed = errors.New("append: want a cid, a body, and a group or a peer")

func (a *Append) size() int { return len(a.CID) + len(a.Body) + appendOverhead }

// settled: nothing more is to be done for it in this transaction.
func (a *Append) settled() bool { return a.Err != nil || a.skipped }

func (a *Append) malformed() bool {
	return len(a.CID) == 0 || len(a.Body) == 0 || (a.Group == 0) == (a.Peer == 0)
}

// Append takes messages to be stored, in the order of the calls in each
// conversation; the sink gets the outcome. It never blocks. ErrBusy: too many
// are waiting, none of these was taken. ErrClosed.
func (db *DB) Append(batch ...*Append) error {
	err := db.queue.put(batch)
	if errors.Is(err, ErrBusy) {
		db.m.refused.Add(len(batch))
	}
	return err
}

// convKey names a conversation before its id is known.
type convKey struct {
	group int64
	pair  pair
}

func convOf(a *Append) convKey {
	if a.Group != 0 {
		return convKey{group: a.Group}
	}
	return convKey{pair: pairOf(a.Sender, a.Peer)}
}

// byConversation splits a batch, the order within each conversation kept.
func byConversation(batch []*Append) [][]*Append {
	at := make(map[convKey]int)
	var parts [][]*Append
	for _, a := range batch {
		k := convOf(a)
		i, ok := at[k]
		if !ok {
			i = len(parts)
			at[k] = i
			parts = append(parts, nil)
		}
		parts[i] = append(parts[i], a)
	}
	return parts
}
