package main

import "slices"

// talking is a person's part in a conversation: which messages it has.
type talking struct {
	*conversation
	last      int64   // the end of what is there without a gap
	ahead     []int64 // what is there beyond, rising
	before    int64   // the highest that was there when it came back
	receipted int64
	pushed    sequence   // on this connection
	numbers   []sequence // of each member
}

func newTalking(c *conversation) *talking {
	return &talking{conversation: c, numbers: make([]sequence, len(c.members))}
}

// add takes a message. It is false for one that was there.
func (k *talking) add(seq int64) bool {
	if seq <= k.last {
		return false
	}
	i, found := slices.BinarySearch(k.ahead, seq)
	if found {
		return false
	}
	k.ahead = slices.Insert(k.ahead, i, seq)
	for len(k.ahead) > 0 && k.ahead[0] == k.last+1 {
		k.last++
		k.ahead = k.ahead[1:]
	}
	return true
}

// highest is the last message that is there, whatever is missing before it.
func (k *talking) highest() int64 {
	if n := len(k.ahead); n > 0 {
		return k.ahead[n-1]
	}
	return k.last
}
