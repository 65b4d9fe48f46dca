package main

import (
	"slices"
	"strings"
	"testing"
)

// TestParse checks that the last argument takes the rest of the line, and that
// an error is one line that shows the correct syntax.
func TestParse(t *testing.T) {
	for _, test := range []struct {
		line string
		name string
		args []string
		err  string // part of the error
	}{
		{line: "help", name: "help"},
		{line: "  help ", name: "help"},
		{line: "chat:bob:hello", name: "chat", args: []string{"bob", "hello"}},
		{line: "chat:2:a:b::c ", name: "chat", args: []string{"2", "a:b::c "}},
		{line: "chat: bob : hi", name: "chat", args: []string{"bob", " hi"}},
		{line: "groupchat:5:a:b", name: "groupchat", args: []string{"5", "a:b"}},
		{line: "creategroup:go:", name: "creategroup", args: []string{"go", ""}},
		{line: "history:bob", name: "history", args: []string{"bob"}},
		{line: "history:bob:5", name: "history", args: []string{"bob", "5"}},
		{line: "login", name: "login"},
		{line: "login:alice:a: b", name: "login", args: []string{"alice", "a: b"}},
		{line: "chat:bob", err: "usage: chat:user:message"},
		{line: "chat", err: "usage: chat:user:message"},
		{line: "chat:bob:", err: "message is missing"},
		{line: "chat::hello", err: "user is missing"},
		{line: "addfriend:", err: "user is missing; usage: addfriend:user"},
		{line: "logout:now", err: "takes no arguments"},
		{line: "loginout", name: "logout"},
		{line: "dismissgroup:tea", name: "deletegroup", args: []string{"tea"}},
		{line: "history", err: "usage: history:who[:n]"},
		{line: "dance:bob", err: `"dance"`},
		{line: ":", err: "unknown command"},
	} {
		c, args, err := parse(commands(), test.line)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) || strings.Contains(err.Error(), "\n") {
				t.Errorf("parse(%q): error %v, want one line with %q", test.line, err, test.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("parse(%q): %v", test.line, err)
		} else if c.name != test.name || !slices.Equal(args, test.args) {
			t.Errorf("parse(%q) = %s %q, want %s %q", test.line, c.name, args, test.name, test.args)
		}
	}
}
