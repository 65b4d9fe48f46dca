package service

import (
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
// it. It ends when one of those comes again that were refused: its sender
// knows, and sends again in order. (That need not be the first of them: it may
// have been stored after all, by way of another connection.) What the log has
// of these messages it stops by itself, see model.Line.
type stop struct {
	refused map[string]struct{} // cids, of the first maxRefused whose refusal is told; nil: it goes on
	until   time.Time
	round   int64 // of the messages that are taken since it goes on
}

// maxRefused is far more than a sender has on the way who listens.
const maxRefused = proto.DefaultWindow

// maxStops bounds the conversations of one connection that stand still, or
// did: one that has more of them begins anew.
const maxStops = 1024

// stands reports whether a message is to be refused.
func (st *stop) stands(t Turn, cid []byte) bool {
	if st == nil || st.refused == nil {
		return false
	}
	_, again := st.refused[string(cid)]
	return !again && t.Now().Before(st.until)
}

// roundOf is that of the next message for a conversation, which is taken: it
// goes on, if it stood still.
func (x *client) roundOf(st *stop) int64 {
	switch {
	case st == nil:
		return 0
	case st.refused != nil:
		x.round++
		st.refused, st.round = nil, x.round
	}
	return st.round
}

// failed is for a message that is refused at this moment because it could not
// be stored, or because of one before it. It reports whether with it more
// conversations stand still than may.
func (x *client) failed(t Turn, sn *sending) (tooMany bool) {
	if sn.taken && x.session != sn.session {
		return false
	}
	k := target{sn.Group, sn.Peer}
	st := x.stops[k]
	switch {
	case st != nil && st.refused != nil:
		if len(st.refused) < maxRefused {
			st.refused[string(sn.CID)] = struct{}{}
		}
		return false
	case !sn.taken || st != nil && sn.Round < st.round:
		return false // it was refused before one of them came again
	case st == nil:
		if x.stops == nil {
			x.stops = make(map[target]*stop)
		}
		st = &stop{}
		x.stops[k] = st
		tooMany = len(x.stops) == maxStops+1
	}
	st.refused = map[string]struct{}{string(sn.CID): {}}
	st.until, st.round = t.Now().Add(stopTime), sn.Round
	return tooMany
}

// stored is for a message that is stored: where its conversation had stood
// still, nothing from before that is on its way any more.
func (x *client) stored(sn *sending) {
	k := target{sn.Group, sn.Peer}
	if st := x.stops[k]; st != nil && x.session == sn.session && st.refused == nil && sn.Round == st.round {
		delete(x.stops, k)
		x.line.Mended(&sn.Append)
	}
}

// noStops is for a connection's next session.
func (x *client) noStops() { x.line, x.stops = new(model.Line), nil }
