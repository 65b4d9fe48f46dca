package tui

import (
	"slices"
	"strings"
	"testing"
)

// TestParseCommand checks that spaces separate arguments, that a name with
// spaces must be in quotation marks or come last, and that text is unchanged.
func TestParseCommand(t *testing.T) {
	for _, test := range []struct {
		line, name string
		args       []string
		err        string // part of the error
	}{
		{line: "/friends", name: "friends"},
		{line: "/chat bob", name: "chat", args: []string{"bob"}},
		{line: "/chat bob hello  there", name: "chat", args: []string{"bob", "hello  there"}},
		{line: `/chat "Carol Smith" hi "you"`, name: "chat", args: []string{"Carol Smith", `hi "you"`}},
		{line: "/addfriend Carol Smith", name: "addfriend", args: []string{"Carol Smith"}},
		{line: `/addfriend "Carol Smith"`, name: "addfriend", args: []string{"Carol Smith"}},
		{line: `/addfriend "odd`, name: "addfriend", args: []string{`"odd`}},
		{line: "/kickmember bob the tea group", name: "kickmember", args: []string{"bob", "the tea group"}},
		{line: "/creategroup tea what we: drink", name: "creategroup", args: []string{"tea", "what we: drink"}},
		{line: "/search two words", name: "search", args: []string{"two words"}},
		{line: "/members", name: "members"},
		{line: "/loginout", name: "logout"},
		{line: "/dismissgroup tea", name: "deletegroup", args: []string{"tea"}},
		{line: "/chat", err: "usage: /chat <name> [message]"},
		{line: "/friends of mine", err: "takes no arguments"},
		{line: "/dance", err: "/dance"},
		{line: "/", err: "/help lists them"},
	} {
		c, args, err := parseCommand(commands(), test.line)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) || strings.Contains(err.Error(), "\n") {
				t.Errorf("parseCommand(%q): error %v, want one line with %q", test.line, err, test.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("parseCommand(%q): %v", test.line, err)
		} else if c.name != test.name || !slices.Equal(args, test.args) {
			t.Errorf("parseCommand(%q) = %s %q, want %s %q", test.line, c.name, args, test.name, test.args)
		}
	}
	for s, want := range map[string]bool{"/quit": true, "//etc/passwd is a file": false, "a /quit": false} {
		if got := isCommand(s); got != want {
			t.Errorf("isCommand(%q) = %v, want %v", s, got, want)
		}
	}
}
