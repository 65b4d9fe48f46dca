package report

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Comparison compares A and B, figure by figure.
type Comparison struct {
	A        string   `json:"a"` // description
	B        string   `json:"b"`
	RoundsA  int      `json:"a_rounds"`
	RoundsB  int      `json:"b_rounds"`
	Paired   bool     `json:"paired"` // rounds of A and B alternated
	Warnings []string `json:"warnings,omitempty"`
	Changes  []change `json:"changes"`

	badB bool // a run of B wasn't good
}

// NewComparison compares two checked sides.
func NewComparison(a, b *Side, paired bool) *Comparison {
	c := &Comparison{A: a.describe(), B: b.describe(), RoundsA: len(a.Reports), RoundsB: len(b.Reports), Paired: paired}
	for _, s := range []struct {
		*Side
		name string
	}{{a, "A"}, {b, "B"}} {
		for i, r := range s.Reports {
			bad := r.Interrupted || !r.Good()
			if bad {
				c.Warnings = append(c.Warnings, fmt.Sprintf("%s, run %d: %s", s.name, i+1, r.outcome()))
			}
			c.badB = c.badB || bad && s.Side == b
			if n := r.refusals(); n > 0 {
				c.Warnings = append(c.Warnings, fmt.Sprintf("%s, run %d: %d refusals, so its latencies are those of the accepted messages", s.name, i+1, n))
			}
		}
	}
	var missing []string
	c.Changes, missing = changes(a, b, paired)
	c.Warnings = append(c.Warnings, missing...)
	return c
}

// describe describes a side in one line.
func (s *Side) describe() string {
	r := s.Reports[0]
	runs := "one run of "
	if n := len(s.Reports); n > 1 {
		runs = fmt.Sprintf("%d runs of ", n)
	}
	return fmt.Sprintf("%s: %s%s, %s; %s", s.name, runs, r.Scenario, r.Began.Format("2006-01-02 15:04"), r.Server)
}

// differences lists how other runs differ from the first of A in ways that make
// them harder to compare.
func differences(a, b *Side) []string {
	var found []string
	first := a.Reports[0]
	for _, s := range []struct {
		*Side
		name string
	}{{a, "A"}, {b, "B"}} {
		for i, r := range s.Reports {
			differ := func(what, one, other string) {
				if one == other {
					return
				}
				who := s.name
				if s.Side == a {
					who = fmt.Sprintf("run %d of A", i+1)
				}
				text := fmt.Sprintf("different %s: %s in A, %s in %s", what, orNone(one), orNone(other), who)
				if !slices.Contains(found, text) {
					found = append(found, text)
				}
			}
			names := maps.Clone(first.Settings)
			maps.Copy(names, r.Settings)
			for _, name := range slices.Sorted(maps.Keys(names)) {
				differ("--"+name, first.Settings[name], r.Settings[name])
			}
			one, other := first.Machine, r.Machine
			differ("cores", fmt.Sprint(one.Cores), fmt.Sprint(other.Cores))
			differ("CPU", one.CPU, other.CPU)
			differ("system", one.System, other.System)
			differ("Go of chatbench", one.Go, other.Go)
			differ("store", first.Server.Store, r.Server.Store)
			differ("nodes", fmt.Sprint(max(first.Server.Nodes, 1)), fmt.Sprint(max(r.Server.Nodes, 1)))
			differ("services", strings.Join(first.Server.Services, ", "), strings.Join(r.Server.Services, ", "))
		}
	}
	return found
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

// Worse reports whether anything got worse, or B broke a promise.
func (c *Comparison) Worse() bool {
	return c.badB || slices.ContainsFunc(c.Changes, func(c change) bool { return c.Verdict == Worse })
}

// Table returns the comparison as text.
func (c *Comparison) Table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "A: %s\nB: %s\n", c.A, c.B)
	for _, w := range c.Warnings {
		fmt.Fprintln(&b, "warning:", w)
	}
	b.WriteByte('\n')
	w := newTable(&b)
	fmt.Fprintln(w, "\tA\tB\tunit\tB/A\tnoise\tfrom\t\t")
	used := make(map[string]bool)
	for _, ch := range c.Changes {
		used[ch.Noise] = true
		ratio, noise, of := "–", "–", "–"
		if ch.Ratio > 0 {
			ratio = fmt.Sprintf("%.3f", ch.Ratio)
		}
		if ch.Noise != "" {
			noise, of = fmt.Sprintf("%.3f..%.3f", ch.Low, ch.High), ch.Noise
		}
		before, after, unit := FormatCount(ch.A), FormatCount(ch.B), ch.Unit
		if unit == microseconds {
			before, after, unit = FormatMicros(int64(ch.A)), FormatMicros(int64(ch.B)), ""
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", ch.Name, before, after, unit, ratio, noise, of, ch.Verdict)
	}
	_ = w.Flush() // writes to memory
	b.WriteByte('\n')
	if used[FromRounds] {
		what, chance := "of any run of B to any run of A", unpairedChance(c.RoundsA, c.RoundsB)
		if c.Paired {
			what, chance = "of B to A in any round", pairedChance(c.RoundsA)
		}
		fmt.Fprintf(&b, "noise from rounds: the smallest and largest ratio %s. Where 1 is outside, all rounds agree;\n"+
			"by chance alone that happens in %.2g %% of the lines.\n", what, chance*100)
	}
	if used[FromSeconds] {
		b.WriteString("noise from seconds: the 99 % confidence interval, estimated from how much the seconds within each run differ.\n" +
			"It doesn't include drift between runs; chatbench ab measures that.\n")
	}
	return b.String()
}
func CompareFiles(fileA, fileB string) (*Comparison, error) {
	if fileB == "" {
		s, err := ReadSaved(fileA)
		if err != nil {
			return nil, err
		}
		if s.Trial == nil {
			return nil, fmt.Errorf("%s: a single run: name another file to compare it with", fileA)
		}
		a, b := s.Trial.Sides()
		if err := errors.Join(a.check(), b.check()); err != nil {
			return nil, err
		}
		cmp := NewComparison(a, b, true)
		if s.Trial.Failed != "" {
			cmp.Warnings = append(cmp.Warnings, "ab ended early: "+s.Trial.Failed)
		}
		for _, r := range s.Trial.Rounds {
			cmp.badB = cmp.badB || r.B != nil && !r.B.Good()
		}
		return cmp, nil
	}
	a, errA := readSide(fileA)
	b, errB := readSide(fileB)
	if err := errors.Join(errA, errB); err != nil {
		return nil, err
	}
	if one, other := a.Reports[0].Scenario, b.Reports[0].Scenario; one != other {
		return nil, fmt.Errorf("%s is of %s and %s of %s: different scenarios can't be compared", fileA, one, fileB, other)
	}
	cmp := NewComparison(a, b, false)
	cmp.Warnings = append(differences(a, b), cmp.Warnings...)
	return cmp, nil
}
