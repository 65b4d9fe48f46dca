package tui

import (
	"fmt"
	"testing"

	"chatd/client/chat/text"
	"chatd/client/chat/widget"
)

// TestOccurrences checks that search ignores case and finds each occurrence in
// a line, without overlaps.
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
			t.Errorf("occurrences(%q, %q) = %s, want %s", test.line, test.words, got, test.want)
		}
	}
}

// TestCurrentHitKept checks that the current hit stays current when older
// messages are loaded, and that the search then continues in them.
func TestCurrentHitKept(t *testing.T) {
	c := newConversation()
	c.addPage(pageOf(1, 20, true, pageLast, 11, 20))
	s := search{at: -1, input: widget.Editor{MaxBytes: 100}}
	s.input.Set("text 1")
	s.find(c, text.Ruler{})
	if len(s.hits) != 9 || s.current().msg.seq != 19 {
		t.Fatalf("%d hits, current %+v; want 9, seq 19", len(s.hits), s.current())
	}
	for s.older() {
	}
	s.moreFrom = *s.current()
	c.addPage(pageOf(1, 20, false, pageOlder, 1, 10))
	if s.find(c, text.Ruler{}); s.current().msg.seq != 11 {
		t.Errorf("after loading older messages: the current hit is in message %d, want 11", s.current().msg.seq)
	}
	if !s.resume() || s.current().msg.seq != 10 {
		t.Errorf("after resume: the current hit is in message %d, want 10", s.current().msg.seq)
	}
	var marks []string
	s.highlights(s.current().msg, piece{0, 2, 6}, func(from, to int, current bool) { marks = append(marks, fmt.Sprint(from, to, current)) })
	if fmt.Sprint(marks) != "[2 6 true]" {
		t.Errorf("highlights %v, want [2 6 true]", marks)
	}
}
