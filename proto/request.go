package proto

// Request is one message from a client: the union of the fields of all ops
// that a client sends. Which of them stand in a message, Fields says; the
// table in fields.go says which may.
//
// Byte slices alias the frame they were decoded from, or the decoder's
// scratch: they hold until the decoder's next call. Clone what must live.
type Request struct {
	Op     Op
	Fields Fields // what was there
	RID    int64

	ID, ToID, Peer, GroupID, FriendID, UserID int64
	Seq, After, Before, Limit                 int64
	Ack, Brief, Retry, Read, On               bool

	Msg, CID, Event, Data []byte

	Name, Password, NewPassword, Token, Device, GroupName, GroupDesc string
}

// Has reports whether f stood in the message.
func (r *Request) Has(f Field) bool { return r.Fields.Has(f) }

// Clone is a copy of r that owns its bytes.
func (r *Request) Clone() *Request {
	c := *r
	all := make([]byte, 0, len(r.Msg)+len(r.CID)+len(r.Event)+len(r.Data))
	for _, p := range []*[]byte{&c.Msg, &c.CID, &c.Event, &c.Data} {
		n := len(all)
		all = append(all, *p...)
		*p = all[n:len(all):len(all)]
	}
	return &c
}
