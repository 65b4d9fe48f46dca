package messages

import (
	"bytes"

	"chatd/model"
	"chatd/service/session"
)

// Send stores a message of an actor in a conversation with a group or a peer: one of
// the two is 0. It returns the message's seq and time, in Unix ms, once the message
// is stored and published. All sessions of the members get it, the actor's too.
//
// If the actor has already sent a message with this cid to the conversation, Send
// returns the seq and time of that one. So after an error, call it again with the
// same cid. If t ends first, Send returns its error, and the message may be stored
// later. Errors: those of the store, such as ErrNotFound, ErrNotAllowed and ErrBusy.
func (m *Messages) Send(t Off, by session.Actor, group, peer int64, cid, text []byte) (seq, time int64, err error) {
	w := session.NewWaiting(by, model.Append{Group: group, Peer: peer, CID: bytes.Clone(cid), Body: bytes.Clone(text), Retry: true})
	if err := m.store.Append(&w.Append); err != nil {
		return 0, 0, err
	}
	select {
	case <-w.Done():
		return w.Seq, w.Time, w.Err
	case <-t.Done():
		return 0, 0, t.Err()
	}
}
