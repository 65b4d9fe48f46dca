package main

import (
	"fmt"
	"strings"
)

// trial is what ab does. Its JSON is read by compare.
type trial struct {
	ArgsA       []string    `json:"a_args"`
	ArgsB       []string    `json:"b_args"`
	Rounds      []round     `json:"rounds"`
	Comparison  *comparison `json:"comparison,omitempty"` // nil: no round is complete
	Failed      string      `json:"failed,omitempty"`     // which run wasn't good, and why
	Interrupted bool        `json:"interrupted,omitempty"`
}

// round is a run of A and one of B; nil: it didn't come to that.
type round struct {
	First string  `json:"first"` // "A" or "B"
	A     *report `json:"a,omitempty"`
	B     *report `json:"b,omitempty"`
}

// sides are the reports of the rounds that are complete.
func (t *trial) sides() (a, b *side) {
	a, b = &side{name: strings.Join(t.ArgsA, " ")}, &side{name: strings.Join(t.ArgsB, " ")}
	counts := func(r *report) bool { return r != nil && r.good() && !r.Interrupted }
	for _, r := range t.Rounds {
		if counts(r.A) && counts(r.B) {
			a.reports, b.reports = append(a.reports, r.A), append(b.reports, r.B)
		}
	}
	return a, b
}

// table is the trial for people.
func (t *trial) table() string {
	var b strings.Builder
	complete := 0
	if t.Comparison != nil {
		complete = t.Comparison.RoundsA
	}
	fmt.Fprintf(&b, "chatbench ab, %d rounds complete\n", complete)
	if t.Comparison != nil {
		b.WriteString(t.Comparison.table())
	}
	switch {
	case t.Failed != "":
		fmt.Fprintf(&b, "result: %s\n", t.Failed)
	case t.Interrupted:
		b.WriteString("result: interrupted\n")
	default:
		b.WriteString("result: all runs are good\n")
	}
	return b.String()
}
