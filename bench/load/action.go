package load

// Action is what a user of a population does on its own.
type Action int

const (
	ActionPing Action = iota
	ActionTyping
	ActionChat
	ActionGroup
	ActionLeave
)

// ActionRate says how often an action happens, per second and 1000 users.
type ActionRate struct {
	Action Action
	Flag   string
	Rate   float64
}
