package tui

import (
	"slices"
	"strings"
	"testing"
)

// Words are separated by spaces. A name with spaces is quoted or comes last.
// Message text is taken as it is.
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
		{line: "/chat", err: "usage: /chat who [message]"},
		{line: "/friends of mine", err: "takes no argument"},
		{line: "/dance", err: "/dance"},
		{line: "/", err: "/help lists them"},
	} {
		c, args, err := parseCommand(commands(), test.line)
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
	if isCommand("//etc/passwd is a file") || !isCommand("/quit") || isCommand("a /quit") {
		t.Error("want isCommand for one leading slash only: not for two, not for a slash inside")
	}
}
