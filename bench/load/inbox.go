package load

import "slices"

// inbox records which messages of one conversation a user has.
type inbox struct {
	*conversation
	contiguous  int64   // last seq before the first gap
	ahead       []int64 // seqs beyond the gap, rising
	atReconnect int64   // highest seq it had when it reconnected
	receipted   int64
	pushes      sequence   // seqs pushed on this connection
	senders     []sequence // numbers of each member's messages
}

func newInbox(c *conversation) *inbox {
	return &inbox{conversation: c, senders: make([]sequence, len(c.members))}
}

// add adds a message and reports whether it is new.
func (box *inbox) add(seq int64) bool {
	if seq <= box.contiguous {
		return false
	}
	i, found := slices.BinarySearch(box.ahead, seq)
	if found {
		return false
	}
	box.ahead = slices.Insert(box.ahead, i, seq)
	for len(box.ahead) > 0 && box.ahead[0] == box.contiguous+1 {
		box.contiguous++
		box.ahead = box.ahead[1:]
	}
	return true
}

// highest returns the highest seq that has arrived.
func (box *inbox) highest() int64 {
	if n := len(box.ahead); n > 0 {
		return box.ahead[n-1]
	}
	return box.contiguous
}
