package tui

import (
	"fmt"
	"testing"

	"chatd/client/chat/text"
	"chatd/client/chat/widget"
)

// Words are found without regard to case, where they stand, also across the
// rows that a line is broken into; line ends part them.
func TestOccurrences(t *testing.T) {
	for _, test := range []struct{ line, words, want string }{
		{"one One ONE", "one", "[[0 3] [4 7] [8 11]]"},
		{"aaaa", "aa", "[[0 2] [2 4]]"},
		{"ÄÖ äö", "äö", "[[0 4] [5 9]]"},
		{"你好世界", "世", "[[6 9]]"},
		{"abc", "abcd", "[]"},
		{"", "x", "[]"},
	} {
		if got := fmt.Sprint(occurrences(test.line, folded(test.words))); got != test.want {
			t.Errorf("%q in %q: %s, want %s", test.words, test.line, got, test.want)
		}
	}
}

// The hit that one looks at stays the same while messages come at either end.
func TestSearchStays(t *testing.T) {
	c := newConversation()
	c.addPage(pageOf(1, 20, true, pageLast, 11, 20))
	s := search{at: -1, input: widget.Editor{MaxBytes: 100}}
	s.input.Set("text 1")
	s.find(c, text.Ruler{})
	if len(s.hits) != 9 || s.current().msg.seq != 19 {
		t.Fatalf("%d hits, at %+v", len(s.hits), s.current())
	}
	for s.older() {
	}
	s.moreFrom = *s.current()
	c.addPage(pageOf(1, 20, false, pageOlder, 1, 10))
	if s.find(c, text.Ruler{}); s.current().msg.seq != 11 {
		t.Errorf("it has moved to %d", s.current().msg.seq)
	}
	if !s.resume() || s.current().msg.seq != 10 {
		t.Errorf("older than 11 is %d", s.current().msg.seq)
	}
	var marks []string
	s.highlights(s.current().msg, piece{0, 2, 6}, func(from, to int, here bool) { marks = append(marks, fmt.Sprint(from, to, here)) })
	if fmt.Sprint(marks) != "[2 6 true]" {
		t.Errorf("in a part of the line: %v", marks)
	}
}
