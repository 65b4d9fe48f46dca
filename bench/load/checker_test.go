package load

import (
	"strings"
	"testing"
)

// A sequence reports each gap, repeat and step back once.
func TestSequence(t *testing.T) {
	for _, c := range []struct {
		name  string
		exact bool
		see   []int64
		wrong []string // for each; "": correct
	}{
		{"in order", true, []int64{1, 2, 3}, []string{"", "", ""}},
		{"begins late", true, []int64{2, 3}, []string{"1 missing", ""}},
		{"gap", true, []int64{1, 4, 5}, []string{"", "4 came after 1: 2 missing", ""}},
		{"repeat", true, []int64{1, 2, 2, 3}, []string{"", "", "2 came twice", ""}},
		{"step back", true, []int64{1, 2, 3, 1, 4}, []string{"", "", "", "1 came after 3", ""}},
		{"swapped", true, []int64{1, 3, 2, 4}, []string{"", "1 missing", "2 came after 3", ""}},
		{"rising with gaps", false, []int64{5, 9, 10}, []string{"", "", ""}},
		{"rising, repeat", false, []int64{5, 9, 9}, []string{"", "", "9 came twice"}},
		{"rising, step back", false, []int64{5, 9, 7, 10}, []string{"", "", "7 came after 9", ""}},
		{"zero", true, []int64{0, 1}, []string{"0 came twice", ""}},
	} {
		s := sequence{gapless: c.exact}
		for i, n := range c.see {
			got := s.check(n)
			if (got == "") != (c.wrong[i] == "") || !strings.Contains(got, c.wrong[i]) {
				t.Errorf("%s: check(%d), call %d, = %q, want %q", c.name, n, i, got, c.wrong[i])
			}
		}
	}
}

// However often a promise is broken, the report describes only the first few
// faults and counts the others.
func TestFaultsAreBounded(t *testing.T) {
	var f Faults
	v := newChatView("pair 0", 1, &f)
	for range 1000 {
		v.addMessage(1, 0, 1)
	}
	count, first := f.Summary()
	if count != 2*999 || len(first) != maxFaultTexts {
		t.Errorf("%d faults, %d described; want %d and %d", count, len(first), 2*999, maxFaultTexts)
	}
}
