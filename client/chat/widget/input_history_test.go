package widget

import (
	"slices"
	"testing"
)

// Older and newer lines come back, and so does what was being typed.
func TestRecall(t *testing.T) {
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
		t.Errorf("%q", got)
	}
	for range 2 * maxHistory {
		r.Add("x")
		r.Add("y")
	}
	if len(r.lines) != maxHistory {
		t.Errorf("%d lines are kept", len(r.lines))
	}
}
