package client

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"chatd/proto"
)

// Conv names a conversation: one with a user, or a group. Exactly one of the
// two is set; Conv{} names none.
type Conv struct{ Peer, Group int64 }

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

// MarshalText is the form in which a Conv is saved: "u7" or "g7".
func (c Conv) MarshalText() ([]byte, error) {
	if c.Group != 0 {
		return strconv.AppendInt([]byte("g"), c.Group, 10), nil
	}
	return strconv.AppendInt([]byte("u"), c.Peer, 10), nil
}

// UnmarshalText reads what MarshalText wrote.
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
	Conv    Conv
	Seq     int64 // its number in the conversation, from 1
	From    int64 // the sender; one's own id: another of one's devices
	Name    string
	Text    string
	CID     string
	Time    time.Time // the server's
	Backlog bool      // it came with the answer to a login: unread until then
}

// Event is what another user's client tells at the moment, never stored.
type Event struct {
	Conv Conv
	From int64
	Name string
	Kind string // "typing"
	Data string
}

// Read tells that a user has read a conversation up to Seq: the peer, or
// oneself on another device.
type Read struct {
	Conv Conv
	User int64
	Seq  int64
}

// Presence tells that a friend came or went.
type Presence struct {
	User   int64
	Online bool
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
// changed the friends or groups; Friends and Groups show it already.
type Change struct {
	Kind  ChangeKind
	User  int64
	Name  string
	Group int64
}

// State is how far a client is connected.
type State int

// The states.
const (
	Disconnected State = iota
	Connected          // not logged in (yet)
	LoggedIn
)

// String is "disconnected", "connected" or "logged in".
func (s State) String() string { return [...]string{"disconnected", "connected", "logged in"}[s] }

// StateChange tells that the connection has changed.
type StateChange struct {
	State State
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
// A handler may call every method but Close. While a handler runs, nothing
// else is handled; one that takes long delays all that follow, but loses
// nothing: what does not fit into the queue is read from the server later
// (presence, reads and events, which no server stores, are dropped then).
type Handlers struct {
	State    func(StateChange)
	Message  func(Message)
	Event    func(Event)
	Read     func(Read)
	Presence func(Presence)
	Change   func(Change)
}
