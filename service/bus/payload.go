package bus

import (
	"encoding/binary"
	"fmt"
)

// Payload is the content of a Message. Exactly one of its fields is set.
type Payload struct {
	NewMessages *NewMessages
	Push        *Push
	Login       *Login
	Members     *Members
	Blocked     *Blocked
	// Presence is sent to the channels of the user's friends.
	Presence *Presence
}

// NewMessages is a hint about new messages of one conversation. The first one
// has seq First; the others follow without a gap. Without Bodies it only says
// that the messages before First are committed.
type NewMessages struct {
	Conv    int64
	Group   int64 // 0 for two users
	Lo, Hi  int64 // the two users, the smaller id first; 0 for a group
	Version int64 // the group's membership version
	First   int64
	Bodies  [][]byte // as pushed to clients
}

// Push is the body of a frame to push to clients, other than a stored message.
// On a user's channel it is a notice or an event for all sessions of the user; a
// session that hasn't got its LOGIN_ACK yet gets the push after it. On a group's
// channel it is an event for the members who are online, and may be dropped.
type Push struct{ Body []byte }

// Login ends sessions of a user that started before At: those of Device or, if
// All is set, those of every other device.
type Login struct {
	User   int64
	Device string
	All    bool   // every device but Device
	Reason string // for the KICK
	At     int64  // Unix microseconds, by Bus.Now
}

// Members announces a change in the membership of a group: User has joined it
// or, if Joined isn't set, is no longer in it. With User 0 the group was
// dismissed.
type Members struct {
	Group   int64
	Version int64 // after the change
	User    int64 // who joined or left; 0 if the group was dismissed
	Joined  bool
	Seq     int64  // if Joined: the seq of the last message before the join
	Notice  []byte // the body of the notice for clients
}

// Presence says that a user is now online or offline.
type Presence struct {
	User   int64
	Online bool
}

// Blocked says that user By has blocked or unblocked user Whom.
type Blocked struct{ By, Whom int64 }

const (
	kindNewMessages byte = 1 + iota
	kindPush
	kindLogin
	kindMembers
	kindBlocked
	kindPresence
)

// Append appends the encoding of p to dst.
func (p *Payload) Append(dst []byte) []byte {
	switch {
	case p.NewMessages != nil:
		n := p.NewMessages
		dst = appendInts(append(dst, kindNewMessages), n.Conv, n.Group, n.Lo, n.Hi, n.Version, n.First, int64(len(n.Bodies)))
		for _, b := range n.Bodies {
			dst = appendBytes(dst, b)
		}
	case p.Push != nil:
		dst = appendBytes(append(dst, kindPush), p.Push.Body)
	case p.Login != nil:
		l := p.Login
		dst = appendInts(append(dst, kindLogin), l.User, l.At, boolInt(l.All))
		dst = appendBytes(appendBytes(dst, []byte(l.Device)), []byte(l.Reason))
	case p.Members != nil:
		m := p.Members
		dst = appendInts(append(dst, kindMembers), m.Group, m.Version, m.User, m.Seq, boolInt(m.Joined))
		dst = appendBytes(dst, m.Notice)
	case p.Presence != nil:
		dst = appendInts(append(dst, kindPresence), p.Presence.User, boolInt(p.Presence.Online))
	case p.Blocked != nil:
		dst = appendInts(append(dst, kindBlocked), p.Blocked.By, p.Blocked.Whom)
	}
	return dst
}

// Decode decodes the output of Append. Byte slices in the payload alias b. The
// error wraps ErrVersion if b has a kind that only another release knows.
func Decode(b []byte) (Payload, error) {
	if len(b) == 0 {
		return Payload{}, errTruncated
	}
	d := decoder{b: b[1:]}
	var p Payload
	switch b[0] {
	case kindNewMessages:
		g := &NewMessages{Conv: d.int(), Group: d.int(), Lo: d.int(), Hi: d.int(), Version: d.int(), First: d.int()}
		n := d.int()
		if n < 0 || n > int64(len(d.b)) { // each body takes at least one byte
			return Payload{}, errTruncated
		}
		g.Bodies = make([][]byte, n)
		for i := range g.Bodies {
			g.Bodies[i] = d.bytes()
		}
		p.NewMessages = g
	case kindPush:
		p.Push = &Push{Body: d.bytes()}
	case kindLogin:
		p.Login = &Login{User: d.int(), At: d.int(), All: d.int() != 0, Device: string(d.bytes()), Reason: string(d.bytes())}
	case kindMembers:
		p.Members = &Members{Group: d.int(), Version: d.int(), User: d.int(), Seq: d.int(), Joined: d.int() != 0, Notice: d.bytes()}
	case kindPresence:
		p.Presence = &Presence{User: d.int(), Online: d.int() != 0}
	case kindBlocked:
		p.Blocked = &Blocked{By: d.int(), Whom: d.int()}
	default:
		return Payload{}, fmt.Errorf("%w: payload of kind %d", ErrVersion, b[0])
	}
	return p, d.err
}

func boolInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func appendInts(dst []byte, vs ...int64) []byte {
	for _, v := range vs {
		dst = binary.AppendVarint(dst, v)
	}
	return dst
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// decoder reads fields in order. After an error all reads return zero values.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.b, d.err = nil, errTruncated
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) bytes() []byte {
	n, k := binary.Uvarint(d.b)
	if k <= 0 || n > uint64(len(d.b)-k) {
		d.b, d.err = nil, errTruncated
		return nil
	}
	b := d.b[k : k+int(n) : k+int(n)]
	d.b = d.b[k+int(n):]
	return b
}
