package main

import (
	"slices"
	"strings"
	"testing"
)

// The last argument takes the rest of the line. Errors are one line and show the
// right form.
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
		{line: "chat:bob", err: "usage: chat:friendid:message"},
		{line: "chat", err: "usage: chat:friendid:message"},
		{line: "chat:bob:", err: "message is missing"},
		{line: "chat::hello", err: "friendid is missing"},
		{line: "addfriend:", err: "friendid is missing; usage: addfriend:friendid"},
		{line: "loginout:now", err: "takes no argument"},
		{line: "history", err: "usage: history:who[:n]"},
		{line: "dance:bob", err: `"dance"`},
		{line: ":", err: "no command"},
	} {
		c, args, err := parse(commands(), test.line)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q: error %v, want one with %q", test.line, err, test.err)
			}
			continue
		}
		if err != nil || c.name != test.name || !slices.Equal(args, test.args) {
			t.Errorf("%q: %v %q, %v", test.line, c, args, err)
		}
	}
}
