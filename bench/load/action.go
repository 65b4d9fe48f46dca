package load

// Action is what a user does.
type Action int

const (
	ActionPing Action = iota
	ActionTyping
	ActionChat
	ActionGroup
	ActionLeave
)

// ActionRate is one kind of act, and how often it comes: per second and 1000 users.
type ActionRate struct {
	Action Action
	Flag   string
	Rate   float64
}
