package trace

import "time"

// Result says where one message is. It never holds what was said.
type Result struct {
	// Node is the node that has told what only it knows; empty: the store alone
	// was asked.
	Node         string       `json:"node,omitempty"`
	Asked        time.Time    `json:"asked"`
	Conversation Conversation `json:"conversation"`
	Stored       bool         `json:"stored"`
	Message      *Message     `json:"message,omitempty"` // where it is stored
	Missing      []string     `json:"missing,omitempty"` // where it isn't: what is known of that
	Published    string       `json:"published,omitempty"`
	Topic        *Topic       `json:"topic,omitempty"` // with Node
	Members      []*Member    `json:"members,omitempty"`
	Next         int64        `json:"next,omitempty"` // there are more members: ask with After
	Notes        []string     `json:"notes,omitempty"`
}

// Conversation is the conversation that a message is in.
type Conversation struct {
	ID      int64  `json:"id,omitempty"` // in the store; 0: a pair that never spoke
	Group   bool   `json:"group"`
	Name    string `json:"name,omitempty"`
	Pair    []User `json:"pair,omitempty"`
	Last    int64  `json:"last"`
	Members int64  `json:"members,omitempty"` // of a group
	Gone    bool   `json:"gone,omitempty"`    // a dismissed group
}

// User names a user.
type User struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
}

// Message is the message, without its text.
type Message struct {
	Seq    int64     `json:"seq"`
	Sender User      `json:"sender"`
	CID    string    `json:"cid"`
	Time   time.Time `json:"time"`
	Size   int64     `json:"size"` // bytes of text
}

// Topic is what a node has in memory of a conversation.
type Topic struct {
	Bus     string `json:"bus"`     // "up" or "away"
	Known   bool   `json:"known"`   // some session here takes part in it
	Heard   int64  `json:"heard"`   // the highest seq that the node has heard of
	Early   int    `json:"early"`   // messages that came before their turn and are held for 20 ms
	Reading bool   `json:"reading"` // a page of the log, or the members, are on their way
	// Sending: the sender's message was taken from a connection here and waits
	// for the store.
	Sending bool `json:"sending,omitempty"`
}

// Whether a device has a message, and if not, why.
const (
	Has       = "has"        // it says so by a receipt, or the kernel took the bytes
	Sent      = "sent"       // online here, written to its connection, no receipt yet
	Waits     = "waits"      // online here, without receipts, the kernel hasn't the bytes
	Behind    = "behind"     // online here, and not sent yet
	LoggingIn = "logging-in" // online here, its LOGIN_ACK is not out yet
	Elsewhere = "elsewhere"  // another node has a session of the user
	Offline   = "offline"    // the user is online nowhere
	LoggedOut = "logged-out" // it has no token
	Unknown   = "unknown"    // it has said nothing of it; whether it is online isn't known
)

// Member is a member of the conversation, or the user who was asked for.
type Member struct {
	User
	Sees    bool      `json:"sees"`          // the message is for them
	Why     string    `json:"why,omitempty"` // why not; or what is special
	Read    bool      `json:"read"`          // they have read it
	Devices []*Device `json:"devices,omitempty"`
}

// Device is a device of a member, and what became of the message there.
type Device struct {
	Device    string    `json:"device"`
	State     string    `json:"state"` // one of the constants
	Why       string    `json:"why"`
	Delivered int64     `json:"delivered"` // all up to this seq has arrived
	Login     time.Time `json:"login"`     // the last one
	Session   *Session  `json:"session,omitempty"`

	token bool
}

// Session is a session on the node that was asked.
type Session struct {
	Node     string    `json:"node"`
	Since    time.Time `json:"since"`
	Receipts bool      `json:"receipts"`
	Live     bool      `json:"live"`    // it has its LOGIN_ACK
	Placed   bool      `json:"placed"`  // Sent and Arrived are known; else nothing of the conversation is under way
	Sent     int64     `json:"sent"`    // written to its connection up to there
	Arrived  int64     `json:"arrived"` // receipted, or taken by the kernel, up to there
	Behind   bool      `json:"behind"`  // what is beyond comes from the log
	Paused   bool      `json:"paused"`  // the log waits for the connection
	Waiting  int       `json:"waiting"` // bytes that the kernel hasn't taken
}
