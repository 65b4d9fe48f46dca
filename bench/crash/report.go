package crash

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Report is the result of a run.
type Report struct {
	Seed        uint64        `json:"seed"`
	SQLite      bool          `json:"sqlite,omitempty"` // one node with SQLite, not a cluster
	Nodes       int           `json:"nodes"`
	Users       int           `json:"users"`
	Devices     int           `json:"devices"`
	Rate        int           `json:"rate"`        // wanted messages per second
	Duration    time.Duration `json:"duration_ns"` // wanted
	Began       time.Time     `json:"began"`
	Talked      time.Duration `json:"talked_ns"`
	Took        time.Duration `json:"took_ns"`
	Versions    []string      `json:"versions"`
	Interrupted bool          `json:"interrupted,omitempty"`

	Conversations int            `json:"conversations"`
	Said          int64          `json:"said"`
	Acknowledged  int64          `json:"acknowledged"`
	Unsure        int64          `json:"unsure"` // the device was killed before it had an answer
	Refused       int64          `json:"refused"`
	Stored        int64          `json:"stored"`
	Shown         int64          `json:"shown"`  // on all devices
	Resent        int64          `json:"resent"` // answered again, long after the ACK
	Faults        map[string]int `json:"faults"`
	FaultCount    int            `json:"fault_count"`

	Violations map[Kind]int `json:"violations"`
	First      []Violation  `json:"first,omitempty"`  // the gravest, with their histories
	Behind     []string     `json:"behind,omitempty"` // devices that never saw some message
	Remarks    []string     `json:"remarks,omitempty"`
}

// Clean reports whether every promise was kept.
func (r *Report) Clean() bool { return len(r.Violations) == 0 && r.Acknowledged > 0 }

func (r *Report) fill(x *run, e *evidence, all []Violation) {
	r.Devices, r.Conversations = len(e.journals), len(e.convs)
	for _, j := range e.journals {
		for i := range j.sent {
			r.Said++
			switch j.sent[i].outcome {
			case acked:
				r.Acknowledged++
			case unsure:
				r.Unsure++
			case refused:
				r.Refused++
			}
		}
		for c := range j.seen {
			r.Shown += int64(len(j.seen[c].list))
		}
		r.Resent += int64(len(j.repeats))
	}
	for _, rows := range e.log {
		r.Stored += int64(len(rows))
	}
	r.Faults, r.FaultCount, r.Remarks = x.runner.done, x.runner.count(), x.cluster.remarks
	for _, v := range all {
		r.Violations[v.Kind]++
	}
	r.First = all[:min(len(all), maxHistories)]
}

// maxToldHistories is how many violations String prints with their history.
const maxToldHistories = 5

// String returns the report as text.
func (r *Report) String() string {
	var b strings.Builder
	server := fmt.Sprintf("cluster of %d nodes with MariaDB and Redis", r.Nodes)
	if r.SQLite {
		server = "one node with SQLite"
	}
	fmt.Fprintf(&b, "seed %d, %s, %d users with %d devices, %d conversations; %s\n", r.Seed, server, r.Users, r.Devices, r.Conversations, strings.Join(r.Versions, ", "))
	fmt.Fprintf(&b, "messages were sent for %s; the run took %s\n", r.Talked.Round(time.Second), r.Took.Round(time.Second))
	fmt.Fprintf(&b, "messages: %d sent, %d acknowledged, %d stored, %d shown; %d unanswered because their device was killed, %d refused, %d sent again after the ACK\n",
		r.Said, r.Acknowledged, r.Stored, r.Shown, r.Unsure, r.Refused, r.Resent)
	fmt.Fprintf(&b, "faults: %d, of %d kinds\n", r.FaultCount, len(r.Faults))
	for _, name := range slices.Sorted(maps.Keys(r.Faults)) {
		fmt.Fprintf(&b, "  %4d  %s\n", r.Faults[name], name)
	}
	for _, text := range r.Remarks {
		fmt.Fprintf(&b, "note: %s\n", text)
	}
	for _, text := range r.Behind {
		fmt.Fprintf(&b, "behind: %s\n", text)
	}
	for i, v := range r.First {
		fmt.Fprintf(&b, "%s: %s\n", v.Kind, v.Text)
		if i < maxToldHistories {
			b.WriteString(v.History)
		}
	}
	var counts []string
	for _, k := range Kinds {
		counts = append(counts, fmt.Sprintf("%s %d", k, r.Violations[k]))
	}
	fmt.Fprintf(&b, "%s\n", strings.Join(counts, ", "))
	return b.String()
}
