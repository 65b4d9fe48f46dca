package service

import (
	"bytes"
	"time"

	"chatd/model"
	"chatd/proto"
)

// stopTime is how long a conversation stands still on a connection for a
// sender who doesn't try again: by then all has arrived that was on its way
// when the sender was told.
const stopTime = 15 * time.Second

// errBehind refuses a message whose conversation stands still.
var errBehind = proto.Errorf(proto.Unavailable, "a message before this one could not be stored; try again with that one")

// target is a conversation as its sender names it.
type target struct{ group, peer int64 }

// stop is a conversation in which a connection's messages don't go on, as one
// of them could not be stored: what was on its way behind it would overtake
// it. It ends when that one comes again. What the log holds of these messages
// it stops by itself, see model.Line.
type stop struct {
	cid   []byte // of the first that failed; nil: it has come again
	until time.Time
	round int64 // of the messages that are taken since
}

// stands reports whether a message is to be refused.
func (st *stop) stands(t Turn, cid []byte) bool {
	return st != nil && st.cid != nil && !bytes.Equal(st.cid, cid) && t.Now().Before(st.until)
}

// roundOf is that of the next message for a conversation, which is taken: it
// goes on, if it stood still.
func (x *client) roundOf(st *stop) int64 {
	switch {
	case st == nil:
		return 0
	case st.cid != nil:
		x.round++
		st.cid, st.round = nil, x.round
	}
	return st.round
}

// failed is for a message that is about to be refused, as the log could not
// store it.
func (x *client) failed(t Turn, sn *sending) {
	if x.session != sn.session {
		return
	}
	k := target{sn.Group, sn.Peer}
	st := x.stops[k]
	switch {
	case st == nil:
		if x.stops == nil {
			x.stops = make(map[target]*stop)
		}
		st = &stop{}
		x.stops[k] = st
	case st.cid != nil || sn.Round < st.round:
		return // behind the first, or sent before it came again
	}
	st.cid, st.until, st.round = bytes.Clone(sn.CID), t.Now().Add(stopTime), sn.Round
}

// stored is for a message that is stored: where its conversation had stood
// still, nothing from before that is on its way any more.
func (x *client) stored(sn *sending) {
	k := target{sn.Group, sn.Peer}
	if st := x.stops[k]; st != nil && x.session == sn.session && st.cid == nil && sn.Round == st.round {
		delete(x.stops, k)
		x.line.Mended(&sn.Append)
	}
}

// noStops is for a connection's next session.
func (x *client) noStops() { x.line, x.stops = new(model.Line), nil }
