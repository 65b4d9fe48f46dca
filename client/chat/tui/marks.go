package tui

// What marks are drawn with. All are one column wide.
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
