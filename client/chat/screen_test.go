package main

import "testing"

// A first visit: the form asks, tells in place what is wrong, registers, and
// the screen of the chat follows; Ctrl-C ends it and leaves the terminal as
// it was.
func TestRegister(t *testing.T) {
	n := newNode(t)
	x := n.terminal(80, 24)
	x.see("Log in", "Register a new user")
	x.picture("login")
	x.line("nobody")
	x.line("secret1")
	x.see("✗ wrong id, name, password")
	x.keys(tab, tab, enter)
	x.see("Password again", "nobody")
	x.line("secret1")
	x.line("secret2")
	x.see("✗ the two passwords are not the same")
	x.line("secret1")
	x.see("nobody, welcome")
	x.picture("welcome")
	x.keys(ctrlC)
	if code := x.exit(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	x.restored()
}
