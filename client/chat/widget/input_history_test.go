package widget

import (
	"slices"
	"testing"
)

// Moving through the history returns older lines, newer lines and finally the
// draft.
func TestInputHistory(t *testing.T) {
	var r InputHistory
	for _, s := range []string{"one", "two", "two", ""} {
		r.Add(s)
	}
	var got []string
	for _, by := range []int{-1, -1, -1, 1, 1, 1} {
		s, ok := r.Move(by, "draft")
		if !ok {
			s = "-"
		}
		got = append(got, s)
	}
	if want := []string{"two", "one", "-", "two", "draft", "-"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for range 2 * maxHistory {
		r.Add("x")
		r.Add("y")
	}
	if len(r.lines) != maxHistory {
		t.Errorf("%d lines are kept, want %d", len(r.lines), maxHistory)
	}
}
