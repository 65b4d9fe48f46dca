package report

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// soakMetric is one measured property of a process.
type soakMetric int

const (
	soakMemory soakMetric = iota
	soakPrivate
	soakHeap
	soakGoroutines
	soakFiles
	soakMetricCount
)

// soakMetrics has the name and the limit of each metric. The median of the last
// third of the samples may be at most that of the first third times factor, plus
// slack. A metric without a factor is not judged. Slack allows for normal
// changes: Go's heap and the cache of the database grow in steps of some MiB, and
// connections come and go.
var soakMetrics = [soakMetricCount]struct {
	name, unit string
	factor     float64
	slack      float64
}{
	soakMemory:     {name: "memory", unit: "MiB"}, // includes mapped pages of a growing store
	soakPrivate:    {"private memory", "MiB", 1.10, 8},
	soakHeap:       {"heap goal", "MiB", 1.15, 4},
	soakGoroutines: {"goroutines", "", 1.05, 5},
	soakFiles:      {"file descriptors", "", 1.05, 5},
}

// SoakBounds returns the limits as text.
func SoakBounds() string {
	var all []string
	for _, m := range soakMetrics {
		if m.factor > 0 {
			all = append(all, fmt.Sprintf("%s: %.0f %% plus %g%s", m.name, (m.factor-1)*100, m.slack, strings.TrimSuffix(" "+m.unit, " ")))
		}
	}
	return strings.Join(all, "; ") + "."
}

// Soak is what a soak measured.
type Soak struct {
	EverySeconds float64       `json:"every_seconds"`
	Processes    []SoakProcess `json:"processes"`
	Trends       []Trend       `json:"trends"`
}

// SoakProcess is one process over time.
type SoakProcess struct {
	Name    string       `json:"name"`
	Node    bool         `json:"node"` // it is judged
	Samples []SoakSample `json:"looks"`
}

// SoakSample is the usage of a process at one moment. Unknown values are 0.
type SoakSample struct {
	At         float64 `json:"at_seconds"` // since the end of the warm-up; negative: before
	Memory     float64 `json:"memory_mib"`
	Private    float64 `json:"private_memory_mib"`
	Heap       float64 `json:"heap_goal_mib,omitempty"`
	Goroutines float64 `json:"goroutines,omitempty"`
	Files      float64 `json:"file_descriptors"`
}

func (l *SoakSample) value(k soakMetric) float64 {
	return [soakMetricCount]float64{l.Memory, l.Private, l.Heap, l.Goroutines, l.Files}[k]
}

// Trend compares the medians of the first and the last third of the measured
// time.
type Trend struct {
	Process string  `json:"process"`
	What    string  `json:"what"`
	Unit    string  `json:"unit,omitempty"`
	First   float64 `json:"first"`
	Last    float64 `json:"last"`
	Most    float64 `json:"at_most,omitempty"` // limit of Last; 0: not judged
}

func (t *Trend) flat() bool { return t.Most == 0 || t.Last <= t.Most }

func (t *Trend) String() string {
	return strings.TrimSuffix(fmt.Sprintf("%s, %s: from %.1f to %.1f %s", t.Process, t.What, t.First, t.Last, t.Unit), " ")
}

// NewTrends compares the samples after the warm-up.
func NewTrends(all []SoakProcess) []Trend {
	var out []Trend
	for _, p := range all {
		looks := slices.DeleteFunc(slices.Clone(p.Samples), func(l SoakSample) bool { return l.At < 0 })
		third := len(looks) / 3
		if third == 0 {
			continue
		}
		for k, m := range soakMetrics {
			t := Trend{Process: p.Name, What: m.name, Unit: m.unit, First: medianValue(looks[:third], soakMetric(k)),
				Last: medianValue(looks[len(looks)-third:], soakMetric(k))}
			if t.First == 0 && t.Last == 0 {
				continue // unknown
			}
			if p.Node && m.factor > 0 {
				t.Most = t.First*m.factor + m.slack
			}
			out = append(out, t)
		}
	}
	return out
}

func medianValue(looks []SoakSample, k soakMetric) float64 {
	values := make([]float64, len(looks))
	for i := range looks {
		values[i] = looks[i].value(k)
	}
	return Median(values)
}

// grown lists the trends above their limits. It may be called on nil.
func (s *Soak) grown() (all []string) {
	if s == nil {
		return nil
	}
	for i := range s.Trends {
		if t := &s.Trends[i]; !t.flat() {
			all = append(all, t.String())
		}
	}
	return all
}

// soakTableRows is roughly how many rows the table of a process has.
const soakTableRows = 20

// table writes the soak as text.
func (s *Soak) table(b *strings.Builder) {
	for _, p := range s.Processes {
		fmt.Fprintf(b, "\n%s over time\n", p.Name)
		w := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprint(w, "at\t")
		for _, m := range soakMetrics {
			fmt.Fprintf(w, "%s\t", strings.TrimSuffix(m.name+" "+m.unit, " "))
		}
		fmt.Fprintln(w)
		step := max(1, (len(p.Samples)+soakTableRows-1)/soakTableRows)
		for i := 0; i < len(p.Samples); i += step {
			l := &p.Samples[i]
			fmt.Fprintf(w, "%s\t", time.Duration(l.At*float64(time.Second)).Round(time.Second))
			for k := range soakMetrics {
				fmt.Fprintf(w, "%s\t", FormatCount(l.value(soakMetric(k))))
			}
			fmt.Fprintln(w)
		}
		_ = w.Flush() // writes to memory
	}
	b.WriteString("\nfirst third to last third, medians\n")
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "process\twhat\tfirst\tlast\tat most\t  verdict")
	for i := range s.Trends {
		t := &s.Trends[i]
		most, verdict := "", "not judged"
		if t.Most > 0 {
			most, verdict = FormatCount(t.Most), "flat"
		}
		if !t.flat() {
			verdict = "NOT FLAT"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t  %s\n", t.Process, strings.TrimSuffix(t.What+" "+t.Unit, " "), FormatCount(t.First), FormatCount(t.Last), most, verdict)
	}
	_ = w.Flush()
}
