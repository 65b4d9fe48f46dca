package bus

import (
	"encoding/binary"
	"fmt"
)

// Payload is what is sent on a channel: exactly one of its fields is set.
type Payload struct {
	NewMessages *NewMessages
	Notice      *Notice
	Login       *Login
	Members     *Members
	Blocked     *Blocked
	// Presence goes to the channels of the user's friends.
	Presence *Presence
}

// NewMessages says that a conversation has new messages, and brings them: the
// first has seq First, the others follow without a gap.
type NewMessages struct {
	Conv    int64
	Group   int64 // 0: a pair
	Lo, Hi  int64 // of a pair
	Version int64 // of the membership
	First   int64
	Bodies  [][]byte // as pushed to clients
}

// Notice is a body for all sessions of a user, or of a group's members: what
// is told them besides stored messages.
type Notice struct{ Body []byte }

// Login says that sessions of a user end: those of Device, or with All those
// of every other device, that are older than At by the clock of the cluster.
type Login struct {
	User   int64
	Device string
	All    bool   // every device but Device
	Reason string // of the KICK
	At     int64  // Unix microseconds
}

// Members says that the membership of a group has changed.
type Members struct {
	Group   int64
	Version int64 // after the change
	User    int64 // who came or went; 0 where the group is gone
	Joined  bool
	Seq     int64 // with Joined: the head when they joined
	Notice  []byte
}

// Presence says that a user has come or gone.
type Presence struct {
	User   int64
	Online bool
}

// Blocked says that what one user has blocked of another has changed.
type Blocked struct{ By, Whom int64 }

const (
	kindNewMessages byte = 1 + iota
	kindNotice
	kindLogin
	kindMembers
	kindBlocked
	kindPresence
)

// Append encodes p behind dst.
func (p *Payload) Append(dst []byte) []byte {
	switch {
	case p.NewMessages != nil:
		g := p.NewMessages
		dst = ints(append(dst, kindNewMessages), g.Conv, g.Group, g.Lo, g.Hi, g.Version, g.First, int64(len(g.Bodies)))
		for _, b := range g.Bodies {
			dst = bytesOf(dst, b)
		}
	case p.Notice != nil:
		dst = bytesOf(append(dst, kindNotice), p.Notice.Body)
	case p.Login != nil:
		l := p.Login
		dst = ints(append(dst, kindLogin), l.User, l.At, flag(l.All))
		dst = bytesOf(bytesOf(dst, []byte(l.Device)), []byte(l.Reason))
	case p.Members != nil:
		m := p.Members
		dst = ints(append(dst, kindMembers), m.Group, m.Version, m.User, m.Seq, flag(m.Joined))
		dst = bytesOf(dst, m.Notice)
	case p.Presence != nil:
		dst = ints(append(dst, kindPresence), p.Presence.User, flag(p.Presence.Online))
	case p.Blocked != nil:
		dst = ints(append(dst, kindBlocked), p.Blocked.By, p.Blocked.Whom)
	}
	return dst
}

// Decode reads what Append wrote. The payload's bytes alias b. The error is
// ErrVersion where b is of a kind that only other releases know.
func Decode(b []byte) (Payload, error) {
	if len(b) == 0 {
		return Payload{}, errShort
	}
	d := decoder{b: b[1:]}
	var p Payload
	switch b[0] {
	case kindNewMessages:
		g := &NewMessages{Conv: d.int(), Group: d.int(), Lo: d.int(), Hi: d.int(), Version: d.int(), First: d.int()}
		n := d.int()
		if n < 0 || n > int64(len(d.b)) { // each body takes a byte at least
			return Payload{}, errShort
		}
		g.Bodies = make([][]byte, n)
		for i := range g.Bodies {
			g.Bodies[i] = d.bytes()
		}
		p.NewMessages = g
	case kindNotice:
		p.Notice = &Notice{Body: d.bytes()}
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

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func ints(dst []byte, vs ...int64) []byte {
	for _, v := range vs {
		dst = binary.AppendVarint(dst, v)
	}
	return dst
}

func bytesOf(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// decoder reads fields in order; its first error stays.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.b, d.err = nil, errShort
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) bytes() []byte {
	n, k := binary.Uvarint(d.b)
	if k <= 0 || n > uint64(len(d.b)-k) {
		d.b, d.err = nil, errShort
		return nil
	}
	b := d.b[k : k+int(n) : k+int(n)]
	d.b = d.b[k+int(n):]
	return b
}
