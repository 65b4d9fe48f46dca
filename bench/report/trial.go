package report

import (
	"fmt"
	"strings"
)

// Trial is the result of ab.
type Trial struct {
	ArgsA       []string    `json:"a_args"`
	ArgsB       []string    `json:"b_args"`
	Rounds      []Round     `json:"rounds"`
	Comparison  *Comparison `json:"comparison,omitempty"` // nil: no round is complete
	Failed      string      `json:"failed,omitempty"`     // which run failed, and why
	Interrupted bool        `json:"interrupted,omitempty"`
}

// Round is a run of A and one of B. A run that didn't take place is nil.
type Round struct {
	First string  `json:"first"` // "A" or "B"
	A     *Report `json:"a,omitempty"`
	B     *Report `json:"b,omitempty"`
}

// Sides returns the reports of complete rounds.
func (t *Trial) Sides() (a, b *Side) {
	a, b = &Side{name: strings.Join(t.ArgsA, " ")}, &Side{name: strings.Join(t.ArgsB, " ")}
	counts := func(r *Report) bool { return r != nil && r.Good() && !r.Interrupted }
	for _, r := range t.Rounds {
		if counts(r.A) && counts(r.B) {
			a.Reports, b.Reports = append(a.Reports, r.A), append(b.Reports, r.B)
		}
	}
	return a, b
}

// Table returns the trial as text.
func (t *Trial) Table() string {
	var b strings.Builder
	complete := 0
	if t.Comparison != nil {
		complete = t.Comparison.RoundsA
	}
	fmt.Fprintf(&b, "chatbench ab, %d rounds complete\n", complete)
	if t.Comparison != nil {
		b.WriteString(t.Comparison.Table())
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
