package load

import "slices"

// inbox is a person's part in a conversation: which messages it has.
type inbox struct {
	*conversation
	contiguous  int64   // the end of what is there without a gap
	ahead       []int64 // what is there beyond, rising
	atReconnect int64   // the highest that was there when it came back
	receipted   int64
	pushes      sequence   // on this connection
	senders     []sequence // of each member
}

func newInbox(c *conversation) *inbox {
	return &inbox{conversation: c, senders: make([]sequence, len(c.members))}
}

// add takes a message. It is false for one that was there.
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

// highest is the last message that is there, whatever is missing before it.
func (box *inbox) highest() int64 {
	if n := len(box.ahead); n > 0 {
		return box.ahead[n-1]
	}
	return box.contiguous
}
