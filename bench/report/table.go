package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"chatd/proto"
)

// newTable returns a writer that aligns columns to the right.
func newTable(b *strings.Builder) *tabwriter.Writer {
	return tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
}

// Table returns the report as text.
func (r *Report) Table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "chatbench %s, %s measured\n", r.Scenario, r.measured())
	fmt.Fprintf(&b, "load:    %s\n", strings.Join(r.flags(), " "))
	fmt.Fprintf(&b, "machine: %s\n", r.Machine)
	fmt.Fprintf(&b, "server:  %s\n", r.Server)

	figures, processes := r.costs()
	if len(figures) > 0 {
		b.WriteByte('\n')
		w := newTable(&b)
		for _, f := range figures {
			fmt.Fprintf(w, "%s\t%s\t  %s\n", f.Name, FormatCount(f.Value), f.Unit)
		}
		_ = w.Flush() // writes to memory
	}
	if len(r.Latencies) > 0 {
		b.WriteByte('\n')
		w := newTable(&b)
		fmt.Fprintln(w, "latency\tp50\tp90\tp99\tp99.9\tmax\tcount\t")
		for _, l := range r.Latencies {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t\n", l.Name,
				FormatMicros(l.P50), FormatMicros(l.P90), FormatMicros(l.P99), FormatMicros(l.P999), FormatMicros(l.Max), l.Count)
		}
		_ = w.Flush()
	}
	if len(processes) > 0 {
		b.WriteByte('\n')
		w := newTable(&b)
		fmt.Fprint(w, "process\t")
		for _, c := range processColumns {
			fmt.Fprintf(w, "%s\t", c.title)
		}
		fmt.Fprintln(w)
		for _, p := range processes {
			fmt.Fprintf(w, "%s\t", p.Name)
			for _, cell := range p.Cells {
				fmt.Fprintf(w, "%s\t", cell)
			}
			fmt.Fprintln(w)
		}
		_ = w.Flush()
	}
	if r.Soak != nil {
		r.Soak.table(&b)
	}
	b.WriteByte('\n')
	for _, line := range r.remarks() {
		fmt.Fprintln(&b, line)
	}
	fmt.Fprintf(&b, "result: %s; faults: %d; refusals: %d\n", r.outcome(), r.Faults, r.refusals())
	return b.String()
}

func (r *Report) measured() time.Duration {
	return time.Duration(r.Seconds * float64(time.Second)).Round(time.Millisecond)
}

// flags returns the scenario's flags as they would be typed.
func (r *Report) flags() []string {
	var flags []string
	for _, name := range slices.Sorted(maps.Keys(r.Settings)) {
		flags = append(flags, "--"+name+" "+r.Settings[name])
	}
	return flags
}

// remarks returns refusals, faults and notes, one per line.
func (r *Report) remarks() []string {
	var lines []string
	for _, errno := range slices.Sorted(maps.Keys(r.Refusals)) {
		lines = append(lines, fmt.Sprintf("refused with errno %s: %d", errno, r.Refusals[errno]))
	}
	for _, f := range r.FirstFaults {
		lines = append(lines, "fault: "+f)
	}
	for _, n := range r.Notes {
		lines = append(lines, "note: "+n)
	}
	if r.Refusals[fmt.Sprint(int32(proto.TooFast))] > 0 {
		lines = append(lines, "note: the server refused some messages as too fast (errno 9); latencies are those of the accepted ones")
	}
	return lines
}

// refusals returns the number of refusals of all kinds.
func (r *Report) refusals() (n int64) {
	for _, c := range r.Refusals {
		n += c
	}
	return n
}

// processColumns are the figures of each process, by the end of their names.
var processColumns = []struct{ ending, title, unit string }{
	{" CPU per million messages", "CPU s per million", "s"},
	{" CPU", "% of a core", "% of a core"},
	{" memory", "memory MiB", "MiB"},
	{" memory, peak", "peak MiB", "MiB"},
}

type processCost struct {
	Name  string
	Cells []string // one for each of processColumns; "": not measured
}

// costs splits the figures into those of processes and the rest.
func (r *Report) costs() (rest []Figure, processes []processCost) {
next:
	for _, f := range r.Figures {
		for i, c := range processColumns {
			name, ok := strings.CutSuffix(f.Name, c.ending)
			if !ok || f.Unit != c.unit {
				continue
			}
			at := slices.IndexFunc(processes, func(p processCost) bool { return p.Name == name })
			if at < 0 {
				at = len(processes)
				processes = append(processes, processCost{name, make([]string, len(processColumns))})
			}
			processes[at].Cells[i] = FormatCount(f.Value)
			continue next
		}
		rest = append(rest, f)
	}
	return rest, processes
}
