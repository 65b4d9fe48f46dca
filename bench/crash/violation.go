package crash

// Kind is a way in which a server can break its promises.
type Kind string

// Kinds of violations.
const (
	Lost           Kind = "lost"            // acknowledged but not stored, or never shown to a member's device
	Doubled        Kind = "doubled"         // shown twice, or shown to the device that sent it
	Reordered      Kind = "reordered"       // shown after a message with a higher seq, or stored with another seq than acknowledged
	Overtaken      Kind = "overtaken"       // stored after what its device sent later to the same conversation
	Gap            Kind = "gap"             // a seq is missing: on a connection, on a device, or in the log
	Invented       Kind = "invented"        // shown but not in the log, altered, or never sent
	DuplicateStore Kind = "duplicate store" // stored twice
	Stuck          Kind = "stuck"           // never answered, long after everything was repaired
	LockedOut      Kind = "locked out"      // a device can never log in again
	Died           Kind = "died"            // a node ended unexpectedly, or with an error
)

// Kinds lists all kinds, the gravest first.
var Kinds = []Kind{Lost, Doubled, Reordered, Overtaken, Gap, Invented, DuplicateStore, Stuck, LockedOut, Died}

// Violation is one broken promise.
type Violation struct {
	Kind    Kind   `json:"kind"`
	Text    string `json:"text"`
	History string `json:"history,omitempty"` // what happened to the message, and when

	msg  message
	past message // the message that overtook it, if any
}
