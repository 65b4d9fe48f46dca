// Package tui is the full-screen face of the terminal client: conversations at
// the left, messages at the right, what is typed at the bottom.
//
// One goroutine, Bubble Tea's, owns the model; it is changed by Update alone,
// which never waits. What has to wait for the server is a command, run beside
// it; what the server sends comes through a mailbox.
package tui
