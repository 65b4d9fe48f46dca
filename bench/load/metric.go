package load

import (
	"sync"

	"github.com/HdrHistogram/hdrhistogram-go"

	"chatd/bench/report"
)

// Recorder counts what one connection sees. Its goroutine adds, the sampling
// goroutine drains.
type Recorder struct {
	mu      sync.Mutex
	latency *hdrhistogram.Histogram
	refused map[int32]int64 // by errno
}

func newRecorder() *Recorder { return &Recorder{latency: report.NewHistogram()} }

// Add adds messages by their latencies in nanoseconds.
func (r *Recorder) Add(latencies []int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, ns := range latencies {
		us := min(max(ns/1000, 1), report.MaxLatencyUs)
		_ = r.latency.RecordValue(us) // within its range
	}
}

// refuse counts a refused message.
func (r *Recorder) refuse(errno int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refused == nil {
		r.refused = make(map[int32]int64)
	}
	r.refused[errno]++
}

// drain moves the counts since the last call into to and refused.
func (r *Recorder) drain(to *hdrhistogram.Histogram, refused map[int32]int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.latency.TotalCount() > 0 {
		to.Merge(r.latency)
		r.latency.Reset()
	}
	for errno, n := range r.refused {
		refused[errno] += n
	}
	clear(r.refused)
}

// Metric is one measured quantity over all connections, such as acknowledged
// messages. Only the sampling goroutine uses it.
type Metric struct {
	RateName    string // of the rate, e.g. "acknowledged"; "": no rate
	LatencyName string // of the latency, e.g. "ack"
	Recorders   []*Recorder

	tick  *hdrhistogram.Histogram // counts since the last Collect
	Total *hdrhistogram.Histogram
}

// NewMetric returns a metric without recorders. A rate or a latency without a name
// isn't reported.
func NewMetric(rateName, latencyName string) *Metric {
	return &Metric{RateName: rateName, LatencyName: latencyName, tick: report.NewHistogram(), Total: report.NewHistogram()}
}

// NewRecorder adds a recorder for one more connection.
func (m *Metric) NewRecorder() *Recorder {
	r := newRecorder()
	m.Recorders = append(m.Recorders, r)
	return r
}

// Collect drains all recorders into Total.
func (m *Metric) Collect(refused map[int32]int64) {
	m.tick.Reset()
	for _, r := range m.Recorders {
		r.drain(m.tick, refused)
	}
	m.Total.Merge(m.tick)
}
