package client

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"chatd/proto"
)

// Conv identifies a conversation: with a user, or of a group. Exactly one field
// is set in a valid Conv. It can be a map key.
type Conv struct {
	Peer  int64 // the other user's ID; the client's own user ID is for notes to self
	Group int64 // the group's ID
}

// User returns the conversation with a user. The client's own user ID is for notes
// to self.
func User(id int64) Conv { return Conv{Peer: id} }

// Group returns the conversation of a group.
func Group(id int64) Conv { return Conv{Group: id} }

// String returns "user 7" or "group 7".
func (c Conv) String() string {
	if c.Group != 0 {
		return "group " + strconv.FormatInt(c.Group, 10)
	}
	return "user " + strconv.FormatInt(c.Peer, 10)
}

// MarshalText returns the form in which a Conv is saved: "u7" or "g7". The error
// is always nil.
func (c Conv) MarshalText() ([]byte, error) {
	if c.Group != 0 {
		return strconv.AppendInt([]byte("g"), c.Group, 10), nil
	}
	return strconv.AppendInt([]byte("u"), c.Peer, 10), nil
}

// UnmarshalText parses the result of MarshalText.
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
	return fmt.Errorf("client: invalid conversation %q", b)
}

// check returns an error if the server would refuse c.
func (c Conv) check() error {
	if id := c.Peer + c.Group; c.Peer < 0 || c.Group < 0 || c.Peer != 0 && c.Group != 0 || id < 1 || id > proto.MaxID {
		return proto.Errorf(proto.BadRequest, "invalid conversation: Peer is %d and Group is %d; set one of them to an ID", c.Peer, c.Group)
	}
	return nil
}

// Message is one message of a conversation.
type Message struct {
	Conv    Conv      // the conversation
	Seq     int64     // its number in the conversation, from 1
	From    int64     // the sender's ID; the client's own user ID if another of the user's devices sent it
	Name    string    // the sender's name
	Gone    bool      // the sender's account was deleted; only set in a Page of History and in missed messages
	Text    string    // as sent; escape it before displaying it
	CID     string    // the sender's own ID for the message
	Time    time.Time // when the server stored it, to the millisecond
	Backlog bool      // missed while this device was offline; came with the answer to a login
}

// Event is an ephemeral notification from another user's client. It isn't
// stored.
type Event struct {
	Conv Conv   // the conversation
	From int64  // the sender's ID
	Name string // the sender's name
	Kind string // such as "typing"
	Data string // additional data, often ""
}

// Read reports that a user has read a conversation up to Seq: the peer, or the
// client's own user on another device.
type Read struct {
	Conv Conv  // the conversation
	User int64 // the reader's ID
	Seq  int64 // the last message read
}

// Presence reports that a friend came online or went offline.
type Presence struct {
	User   int64 // the friend's ID
	Online bool  // true if any device is online
}

// ChangeKind is the kind of a Change.
type ChangeKind int

// Kinds of changes to friends and groups, with the fields that they set.
const (
	FriendAdded    ChangeKind = iota + 1 // User, Name
	FriendRemoved                        // User
	MemberJoined                         // Group, User (the client's own if another device joined), Name
	MemberLeft                           // Group, User: left or was removed; may be the client's own
	GroupDismissed                       // Group
	UserBlocked                          // User, by another of the user's devices
	UserUnblocked                        // User, by another of the user's devices
)

// Change reports a change to friends or groups that this client didn't request.
// Friends and Groups already include it. Kind determines which fields are set.
type Change struct {
	Kind  ChangeKind // what has changed
	User  int64      // the ID of the user who was added, joined, left or was blocked
	Name  string     // the user's name
	Group int64      // the group's ID
}

// State is the state of the connection.
type State int

// The states.
const (
	Disconnected State = iota // the client may reconnect
	Connected                 // connected, but not logged in yet
	LoggedIn                  // logged in: messages are sent
)

// String returns "disconnected", "connected" or "logged in". It panics for other
// values.
func (s State) String() string { return [...]string{"disconnected", "connected", "logged in"}[s] }

// StateChange reports a new state of the connection.
type StateChange struct {
	State State         // the new state
	Addr  string        // the server's address, if connected to one
	Err   error         // if Disconnected, the reason
	Retry time.Duration // if Disconnected, the time until the next attempt
	Final bool          // if Disconnected, whether the client won't reconnect
}

// Handlers are callbacks of a Client; each may be nil. One goroutine calls them,
// one at a time. Messages of a conversation come in the order of Seq, each once. A
// message counts as received when its handler has returned.
//
// A handler may call every method except Close and Handled. A slow handler
// delays all following calls, but loses no message: messages that don't fit into
// the queue are read from the server later. Other notifications that don't fit are
// dropped, except state changes.
type Handlers struct {
	State    func(StateChange) // the state of the connection has changed
	Message  func(Message)     // a message from another user, or from another of the user's own devices
	Event    func(Event)       // an ephemeral event
	Read     func(Read)        // a user has read a conversation
	Presence func(Presence)    // a friend came online or went offline
	Change   func(Change)      // friends or groups have changed
}
