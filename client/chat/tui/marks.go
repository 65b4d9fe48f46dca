package tui

// Signs on the screen. All but markQueued and prompt are one column wide.
const (
	dotOnline   = "●"
	dotOffline  = "○"
	groupMark   = "#"
	markSending = "·"
	markStored  = "✓"
	markFailed  = "✗"
	markQueued  = "waiting"
	prompt      = "› "
)
