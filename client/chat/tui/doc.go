// Package tui is the full-screen terminal client: conversations on the left,
// messages on the right, the input at the bottom.
//
// The model belongs to Bubble Tea's goroutine and only changes in Update, which
// never blocks. Requests to the server run outside of it as commands. Events
// from the server arrive through the mailbox.
//
// Two parts could be widgets of charm.land/bubbles/v2 but aren't, see package
// widget: the list of conversations and the transcript.
package tui
