// Package tui is the full-screen terminal client: conversations on the left,
// messages on the right, the input at the bottom.
//
// Bubble Tea's goroutine owns the model, which changes only in Update. Update
// never blocks: requests to the server run in other goroutines, as tea.Cmds.
// Events from the server arrive through the mailbox.
//
// Package widget says why the list of conversations and the transcript aren't
// widgets of charm.land/bubbles/v2.
package tui
