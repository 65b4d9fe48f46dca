package widget

import (
	"slices"
	"testing"
)

// TestInputHistory checks that moving through the history returns older lines,
// newer lines and finally the draft, and that the number of lines is limited.
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
		t.Errorf("moves returned %q, want %q", got, want)
	}
	for range 2 * maxHistory {
		r.Add("x")
		r.Add("y")
	}
	if len(r.lines) != maxHistory {
		t.Errorf("%d lines kept, want %d", len(r.lines), maxHistory)
	}
}
