package client

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"chatd/proto"
)

// Conv names a conversation: one with a user, or a group. Exactly one of the
// two is set; Conv{} names none. It may be the key of a map.
type Conv struct {
	Peer  int64 // the other user's id; one's own: notes
	Group int64 // the group's id
}

// User is the conversation with a user; with oneself: notes.
func User(id int64) Conv { return Conv{Peer: id} }

// Group is the conversation of a group.
func Group(id int64) Conv { return Conv{Group: id} }

// String is "user 7" or "group 7".
func (c Conv) String() string {
	if c.Group != 0 {
		return "group " + strconv.FormatInt(c.Group, 10)
	}
	return "user " + strconv.FormatInt(c.Peer, 10)
}

// MarshalText is the form in which a Conv is saved: "u7" or "g7". The error is
// always nil.
func (c Conv) MarshalText() ([]byte, error) {
	if c.Group != 0 {
		return strconv.AppendInt([]byte("g"), c.Group, 10), nil
	}
	return strconv.AppendInt([]byte("u"), c.Peer, 10), nil
}

// UnmarshalText reads what MarshalText wrote. The error names what is no such.
func (c *Conv) UnmarshalText(b []byte) error {
	kind, digits := strings.TrimRight(string(b), "0123456789"), strings.TrimLeft(string(b), "ug")
	id, err := strconv.ParseInt(digits, 10, 64)
	switch {
	case err != nil || id <= 0:
	case kind == "u":
		*c = User(id)
		return nil
	case kind == "g":
		*c = Group(id)
		return nil
	}
	return fmt.Errorf("client: %q names no conversation", b)
}

// check refuses what no server takes.
func (c Conv) check() error {
	if id := c.Peer + c.Group; c.Peer < 0 || c.Group < 0 || c.Peer != 0 && c.Group != 0 || id < 1 || id > proto.MaxID {
		return proto.Errorf(proto.BadRequest, "%+v is no conversation", c)
	}
	return nil
}

// Message is one message of a conversation.
type Message struct {
	Conv    Conv      // where it was said
	Seq     int64     // its number in the conversation, from 1
	From    int64     // the sender; one's own id: another of one's devices
	Name    string    // the sender's
	Text    string    // as it was sent: what is shown needs quoting
	CID     string    // the sender's own id for it
	Time    time.Time // the server's, to the millisecond
	Backlog bool      // it came with the answer to a login: unread until then
}

// Event is what another user's client tells at the moment, never stored.
type Event struct {
	Conv Conv   // where it is told
	From int64  // who tells it
	Name string // theirs
	Kind string // such as "typing"
	Data string // more about it, often ""
}

// Read tells that a user has read a conversation up to Seq: the peer, or
// oneself on another device.
type Read struct {
	Conv Conv  // what was read
	User int64 // who has read
	Seq  int64 // the last message read
}

// Presence tells that a friend came or went.
type Presence struct {
	User   int64 // the friend's id
	Online bool  // on any device
}

// ChangeKind says what a Change is about.
type ChangeKind int

// The changes of the friends and groups.
const (
	FriendAdded    ChangeKind = iota + 1 // User, Name
	FriendRemoved                        // User
	MemberJoined                         // Group, User (perhaps oneself, by another device), Name
	MemberLeft                           // Group, User: left or was removed, perhaps oneself
	GroupDismissed                       // Group
	UserBlocked                          // User, by another device of one's own
	UserUnblocked                        // User, by another device of one's own
)

// Change tells that something other than this client's own requests has
// changed the friends or groups; Friends and Groups show it already. Which
// fields are set depends on Kind.
type Change struct {
	Kind  ChangeKind // what has happened
	User  int64      // who was added, has joined, left or was blocked
	Name  string     // the user's
	Group int64      // which group
}

// State is how far a client is connected.
type State int

// The states.
const (
	Disconnected State = iota // perhaps to connect again by itself
	Connected                 // not logged in (yet)
	LoggedIn                  // in touch: what is sent goes out
)

// String is "disconnected", "connected" or "logged in". It panics for what is
// none of the three.
func (s State) String() string { return [...]string{"disconnected", "connected", "logged in"}[s] }

// StateChange tells that the connection has changed.
type StateChange struct {
	State State         // what it is now
	Addr  string        // of the server, where there is one
	Err   error         // Disconnected: why
	Retry time.Duration // Disconnected: how long until the next attempt
	Final bool          // Disconnected: the client does nothing more by itself
}

// Handlers are the functions a Client calls; each may be nil. They are
// called from one goroutine, one at a time, and a conversation's messages in
// the order of their Seq, each once. A message counts as received when its
// handler has returned.
//
// A handler may call every method but Close and Handled. While a handler runs, nothing
// else is handled; one that takes long delays all that follow, but loses
// nothing: what does not fit into the queue is read from the server later
// (presence, reads and events, which no server stores, are dropped then).
type Handlers struct {
	State    func(StateChange) // the connection has changed
	Message  func(Message)     // somebody else has said something, or oneself on another device
	Event    func(Event)       // somebody tells something at the moment
	Read     func(Read)        // somebody has read a conversation
	Presence func(Presence)    // a friend came or went
	Change   func(Change)      // friends or groups have changed
}
