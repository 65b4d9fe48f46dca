package tui

// Signs. Each is one column wide.
const (
	dotOnline   = "●"
	dotOffline  = "○"
	groupMark   = "#"
	markSending = "·"
	markStored  = "✓"
	markFailed  = "✗"
	markQueued  = "queued"
	prompt      = "› "
)
