package crash

// Kind is one of the ways in which a server can fail its users.
type Kind string

// The kinds.
const (
	Lost           Kind = "lost"            // acknowledged, and not stored, or never seen by a member's device
	Doubled        Kind = "doubled"         // shown twice, or shown to the device that has sent it
	Reordered      Kind = "reordered"       // shown after one with a higher seq, or stored elsewhere than acknowledged
	Overtaken      Kind = "overtaken"       // stored behind what its device sent later to the same conversation
	Gap            Kind = "gap"             // a seq is missing: on a connection, in a view, or in the log
	Invented       Kind = "invented"        // in a view and not in the log, altered, or never sent
	DuplicateStore Kind = "duplicate store" // stored twice
	Stuck          Kind = "stuck"           // never answered, long after everything was well again
	LockedOut      Kind = "locked out"      // a device was turned away for good
	Died           Kind = "died"            // a node ended by itself, or not as it should
)

// Kinds lists all kinds, the gravest first.
var Kinds = []Kind{Lost, Doubled, Reordered, Overtaken, Gap, Invented, DuplicateStore, Stuck, LockedOut, Died}

// Violation is one broken promise.
type Violation struct {
	Kind    Kind   `json:"kind"`
	Text    string `json:"text"`
	History string `json:"history,omitempty"` // of the message: where it was, and when

	msg  message
	past message // the one that has overtaken it, if it is about that
}
