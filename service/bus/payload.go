package bus

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// Payload is the content of a Message. Exactly one of its fields is set.
type Payload struct {
	NewMessages *NewMessages
	Push        *Push
	Ended       *Ended
	Members     *Members
	Blocked     *Blocked
	// Presence is sent to the channels of the user's friends.
	Presence *Presence
	// Relation is sent to the channels of both users.
	Relation *Relation
	// Those below are sent to the channel Nodes.
	Heartbeat     *Heartbeat
	RosterDelta   *RosterDelta
	RosterChunk   *RosterChunk
	RosterRequest *RosterRequest
	Wrong         *Wrong
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
type Push struct {
	Body  []byte
	About About // of a notice that is also in the feed
}

// About says what a notice is about. Of two notices about the same, the one with the
// higher number is newer.
type About struct {
	Subject Subject
	ID, By  int64 // see Subject
	Number  int64 // 0: the notice isn't in the feed
}

// Subject is what a notice is about.
type Subject byte

const (
	Friendship Subject = 1 + iota // with the user ID. Number is that of feed.Party
	Block                         // of the user ID. Number is that of feed.Party
	ReadUpTo                      // what the user By has read in the conversation ID. Number is the seq
)

// Ended ends sessions of a user: those with numbers below Before, on Device or, if
// that is empty, on all devices, but not the one with number Keep. The numbers are
// those of the store. With the reason proto.Replaced, it announces the session with
// number Before.
type Ended struct {
	User         int64
	Device       string
	Before, Keep int64
	Reason       string // for the KICK
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

// Presence says that a user has come online.
type Presence struct{ User int64 }

// Relation says that the friendship of two users, or a block between them, has
// changed. The receiver reads the new state from the store.
type Relation struct {
	A, B int64
	// Friendship is set if the two have become friends, or no longer are.
	// Whatever their clients have been told of each other then no longer counts.
	Friendship bool
	// Echo is set if a node of one user passes the hint on to the nodes of the
	// other.
	Echo bool
}

// NodeID is the random ID of a process. A node that restarts has a new one.
type NodeID int64

// A roster is the set of users who are online on a node. Its version starts at 0,
// for no users, and rises by one with each RosterDelta.

// Heartbeat says that a node is alive.
type Heartbeat struct {
	Node    NodeID
	Name    string // for operators; two nodes may have the same
	Version int64  // of the roster
	Nodes   int64  // number of nodes that the sender knows, including itself
	Hello   bool   // every other node answers with a heartbeat
	Bye     bool   // the node is stopping
}

// RosterDelta says which users came and went since the version before.
type RosterDelta struct {
	Node       NodeID
	Version    int64 // after the change
	Came, Went []int64
}

// RosterChunk has the users of a node's roster whose IDs are Index modulo
// Chunks.
type RosterChunk struct {
	Node          NodeID
	Version       int64
	Index, Chunks int64
	Users         []int64 // sorted
}

// RosterRequest asks a node to publish its roster.
type RosterRequest struct{ Node NodeID }

// Limits of what nodes send each other. Decode refuses payloads that exceed
// them.
const (
	MaxNodeName     = 256     // bytes
	MaxWrongName    = 1024    // bytes
	MaxDeltaUsers   = 1024    // in Came and in Went
	MaxRosterChunks = 256     // a power of two
	MaxChunkUsers   = 1 << 14 // in one RosterChunk
)

var errLimit = errors.New("bus: payload exceeds a limit")

// Wrong says that a node has been given a wrong password for an account, so that the
// nodes count them together. User is 0, and Name is set, if there is no such
// account.
type Wrong struct {
	User int64
	Name string
	Addr netip.Addr // of the client; may be invalid
}

// Blocked says that user By has blocked or unblocked user Whom.
type Blocked struct{ By, Whom int64 }

const (
	kindNewMessages byte = 1 + iota
	kindPush
	_ // an earlier release used it
	kindMembers
	kindBlocked
	kindPresence
	kindRelation
	kindHeartbeat
	kindRosterDelta
	kindRosterChunk
	kindRosterRequest
	kindEnded
	kindWrong
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
		if a := p.Push.About; a.Number != 0 { // earlier releases ignore it
			dst = appendInts(dst, int64(a.Subject), a.ID, a.By, a.Number)
		}
	case p.Ended != nil:
		e := p.Ended
		dst = appendInts(append(dst, kindEnded), e.User, e.Before, e.Keep)
		dst = appendBytes(appendBytes(dst, []byte(e.Device)), []byte(e.Reason))
	case p.Members != nil:
		m := p.Members
		dst = appendInts(append(dst, kindMembers), m.Group, m.Version, m.User, m.Seq, boolInt(m.Joined))
		dst = appendBytes(dst, m.Notice)
	case p.Presence != nil:
		dst = appendInts(append(dst, kindPresence), p.Presence.User)
	case p.Blocked != nil:
		dst = appendInts(append(dst, kindBlocked), p.Blocked.By, p.Blocked.Whom)
	case p.Relation != nil:
		r := p.Relation
		dst = appendInts(append(dst, kindRelation), r.A, r.B, boolInt(r.Friendship), boolInt(r.Echo))
	case p.Heartbeat != nil:
		h := p.Heartbeat
		dst = appendInts(append(dst, kindHeartbeat), int64(h.Node), h.Version, h.Nodes, boolInt(h.Hello), boolInt(h.Bye))
		dst = appendBytes(dst, []byte(h.Name))
	case p.RosterDelta != nil:
		r := p.RosterDelta
		dst = appendInts(append(dst, kindRosterDelta), int64(r.Node), r.Version)
		dst = appendUsers(appendUsers(dst, r.Came), r.Went)
	case p.RosterChunk != nil:
		r := p.RosterChunk
		dst = appendInts(append(dst, kindRosterChunk), int64(r.Node), r.Version, r.Index, r.Chunks)
		dst = appendUsers(dst, r.Users)
	case p.RosterRequest != nil:
		dst = appendInts(append(dst, kindRosterRequest), int64(p.RosterRequest.Node))
	case p.Wrong != nil:
		w := p.Wrong
		dst = appendInts(append(dst, kindWrong), w.User)
		dst = appendBytes(appendBytes(dst, []byte(w.Name)), w.Addr.AsSlice())
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
		if len(d.b) > 0 {
			p.Push.About = About{Subject: Subject(d.int()), ID: d.int(), By: d.int(), Number: d.int()}
		}
	case kindEnded:
		p.Ended = &Ended{User: d.int(), Before: d.int(), Keep: d.int(), Device: string(d.bytes()), Reason: string(d.bytes())}
	case kindMembers:
		p.Members = &Members{Group: d.int(), Version: d.int(), User: d.int(), Seq: d.int(), Joined: d.int() != 0, Notice: d.bytes()}
	case kindPresence:
		p.Presence = &Presence{User: d.int()}
	case kindBlocked:
		p.Blocked = &Blocked{By: d.int(), Whom: d.int()}
	case kindRelation:
		p.Relation = &Relation{A: d.int(), B: d.int(), Friendship: d.int() != 0, Echo: d.int() != 0}
	case kindHeartbeat:
		h := &Heartbeat{Node: NodeID(d.int()), Version: d.int(), Nodes: d.int(), Hello: d.int() != 0, Bye: d.int() != 0}
		name := d.bytes()
		d.limit(len(name) <= MaxNodeName)
		h.Name = string(name)
		p.Heartbeat = h
	case kindRosterDelta:
		p.RosterDelta = &RosterDelta{Node: NodeID(d.int()), Version: d.int(), Came: d.users(MaxDeltaUsers), Went: d.users(MaxDeltaUsers)}
	case kindRosterChunk:
		r := &RosterChunk{Node: NodeID(d.int()), Version: d.int(), Index: d.int(), Chunks: d.int()}
		d.limit(r.Chunks > 0 && r.Chunks <= MaxRosterChunks && r.Chunks&(r.Chunks-1) == 0 && r.Index >= 0 && r.Index < r.Chunks)
		r.Users = d.users(MaxChunkUsers)
		p.RosterChunk = r
	case kindRosterRequest:
		p.RosterRequest = &RosterRequest{Node: NodeID(d.int())}
	case kindWrong:
		w := &Wrong{User: d.int()}
		name, addr := d.bytes(), d.bytes()
		d.limit(len(name) <= MaxWrongName)
		w.Name = string(name)
		w.Addr, _ = netip.AddrFromSlice(addr)
		p.Wrong = w
	default:
		return Payload{}, fmt.Errorf("%w: payload of kind %d", ErrVersion, b[0])
	}
	if d.err != nil {
		return Payload{}, d.err
	}
	return p, nil
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

// appendUsers appends the number of users, and of each the difference from the
// one before: sorted IDs take little space.
func appendUsers(dst []byte, users []int64) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(users)))
	last := int64(0)
	for _, u := range users {
		dst = binary.AppendVarint(dst, u-last)
		last = u
	}
	return dst
}

// decoder reads fields in order. After an error all reads return zero values.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail(errTruncated)
		return 0
	}
	d.b = d.b[n:]
	return v
}

// limit makes decoding fail if a value exceeds a limit.
func (d *decoder) limit(ok bool) {
	if !ok {
		d.fail(errLimit)
	}
}

// fail ends decoding. The first error counts.
func (d *decoder) fail(err error) { d.b, d.err = nil, cmp.Or(d.err, err) }

// users reads the output of appendUsers, for at most max users.
func (d *decoder) users(max int) []int64 {
	n, k := binary.Uvarint(d.b)
	if k <= 0 {
		d.fail(errTruncated)
		return nil
	}
	d.b = d.b[k:]
	d.limit(n <= uint64(max))
	if n > uint64(len(d.b)) { // each user takes at least one byte
		d.fail(errTruncated)
		return nil
	}
	users := make([]int64, n)
	last := int64(0)
	for i := range users {
		last += d.int()
		users[i] = last
	}
	return users
}

func (d *decoder) bytes() []byte {
	n, k := binary.Uvarint(d.b)
	if k <= 0 || n > uint64(len(d.b)-k) {
		d.fail(errTruncated)
		return nil
	}
	b := d.b[k : k+int(n) : k+int(n)]
	d.b = d.b[k+int(n):]
	return b
}
