package trace

import "time"

// Result is the result of a Query. It never contains the text of a message.
type Result struct {
	// Node is the node that was asked, or "" if only the store was.
	Node         string       `json:"node,omitempty"`
	Asked        time.Time    `json:"asked"`
	Conversation Conversation `json:"conversation"`
	Stored       bool         `json:"stored"`
	Message      *Message     `json:"message,omitempty"` // if stored
	Missing      []string     `json:"missing,omitempty"` // if not stored: what is known about that
	Published    string       `json:"published,omitempty"`
	Topic        *Topic       `json:"topic,omitempty"` // if Node is set
	Members      []*Member    `json:"members,omitempty"`
	Next         int64        `json:"next,omitempty"` // not 0: there are more members, for Query.After
	Notes        []string     `json:"notes,omitempty"`
}

// Conversation is the conversation of a message.
type Conversation struct {
	ID      int64  `json:"id,omitempty"` // in the store; 0: a pair without messages
	Group   bool   `json:"group"`
	Name    string `json:"name,omitempty"`
	Pair    []User `json:"pair,omitempty"`
	Last    int64  `json:"last"`
	Members int64  `json:"members,omitempty"` // number of members of a group
	Gone    bool   `json:"gone,omitempty"`    // the group was dismissed
}

// User is a user.
type User struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
}

// Message is a stored message without its text.
type Message struct {
	Seq    int64     `json:"seq"`
	Sender User      `json:"sender"`
	CID    string    `json:"cid"`
	Time   time.Time `json:"time"`
	Size   int64     `json:"size"` // bytes of text
}

// Topic is the state of the conversation on the node that was asked.
type Topic struct {
	Bus     string `json:"bus"`     // "up", or "away" if Redis is unavailable
	Known   bool   `json:"known"`   // the node has a session in the conversation
	Heard   int64  `json:"heard"`   // the highest seq that the node has heard of
	Early   int    `json:"early"`   // messages held back for up to 20 ms because earlier ones are missing
	Reading bool   `json:"reading"` // a page of the log, or the group's members, are being read
	// Sending is set if the node has received the message from its sender and is
	// still storing it.
	Sending bool `json:"sending,omitempty"`
}

// The states of a device.
const (
	Has       = "has"        // has the message: it sent a receipt, or the kernel accepted the bytes
	Sent      = "sent"       // online on this node; written to the connection, but no receipt yet
	Waits     = "waits"      // online on this node, without receipts; the kernel hasn't accepted all bytes
	Behind    = "behind"     // online on this node; not sent yet
	LoggingIn = "logging-in" // online on this node; LOGIN_ACK not sent yet
	Elsewhere = "elsewhere"  // the user is online on another node
	Offline   = "offline"    // the user, or this device, isn't online
	LoggedOut = "logged-out" // has no token
	Unknown   = "unknown"    // no delivery recorded; it isn't known whether the device is online
)

// Member is a member of the conversation, or the user of Query.User.
type Member struct {
	User
	Sees    bool      `json:"sees"`          // may see the message
	Why     string    `json:"why,omitempty"` // why not, or other remarks
	Read    bool      `json:"read"`          // has read the message
	Devices []*Device `json:"devices,omitempty"`
}

// Device is a device of a member.
type Device struct {
	Device    string    `json:"device"`
	State     string    `json:"state"`     // one of the constants above
	Why       string    `json:"why"`       // the state in words
	Delivered int64     `json:"delivered"` // the delivered cursor
	Login     time.Time `json:"login"`     // when it was last used, to 10 minutes
	Session   *Session  `json:"session,omitempty"`

	token bool // the device has a token
}

// Session is a session on the node that was asked.
type Session struct {
	Node     string    `json:"node"`
	Since    time.Time `json:"since"`
	Receipts bool      `json:"receipts"`
	Live     bool      `json:"live"`    // LOGIN_ACK was sent
	Placed   bool      `json:"placed"`  // Sent and Arrived are known
	Sent     int64     `json:"sent"`    // the last seq written to the connection
	Arrived  int64     `json:"arrived"` // the last seq with a receipt or, without receipts, whose bytes the kernel has accepted
	Behind   bool      `json:"behind"`  // later messages are read from the log
	Paused   bool      `json:"paused"`  // the backlog waits until the client reads
	Waiting  int       `json:"waiting"` // bytes that the kernel hasn't accepted yet
}
