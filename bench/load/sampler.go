package load

import (
	"fmt"
	"time"

	"chatd/bench/report"
)

// Sampler collects metrics once per interval. It is for a single goroutine.
type Sampler struct {
	metrics  []*Metric
	Interval time.Duration // between two samples of TakeUntil
	refused  map[int32]int64
	samples  []report.Sample
	lastAt   time.Time // time of the last sample
}

func NewSampler(metrics ...*Metric) *Sampler {
	return &Sampler{metrics: metrics, Interval: SampleInterval, refused: make(map[int32]int64), lastAt: time.Now()}
}

// Take takes a sample of what was measured since the last one, and reports
// whether it was anything.
func (sp *Sampler) Take() (s report.Sample, anything bool) {
	now := time.Now()
	since := now.Sub(sp.lastAt)
	sp.lastAt = now
	s = report.Sample{Seconds: since.Seconds()}
	for _, m := range sp.metrics {
		m.Collect(sp.refused)
		anything = anything || m.tick.TotalCount() > 0
		s.Add(m.tick)
	}
	if s.Seconds > sp.Interval.Seconds()/2 || len(sp.samples) == 0 { // otherwise too short to be representative
		sp.samples = append(sp.samples, s)
	}
	return s, anything
}

// TakeUntil takes samples and shows them until done is closed.
func (sp *Sampler) TakeUntil(done <-chan struct{}, p *report.Progress, what string) {
	ticker := time.NewTicker(sp.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			sp.Take()
			return
		case <-ticker.C:
			s, _ := sp.Take()
			p.Show("%s", what+":"+sp.summary(&s))
		}
	}
}

// summary returns a sample as text.
func (sp *Sampler) summary(s *report.Sample) (text string) {
	for i, m := range sp.metrics {
		if m.RateName != "" {
			text += fmt.Sprintf(" %s %s/s, p99 %s;", m.RateName, report.FormatCount(s.Rates[i]), report.FormatMicros(s.P99us[i]))
		}
	}
	return text
}

// AddTo writes samples, latencies and refusals into a report. Rates are left to
// the scenario.
func (sp *Sampler) AddTo(rep *report.Report) {
	rep.Samples = sp.samples
	for _, m := range sp.metrics {
		rep.AddLatency(m.LatencyName, m.Total)
		rep.Series = append(rep.Series, report.Series{Rate: m.RateName, Latency: m.LatencyName})
	}
	for errno, n := range sp.refused {
		rep.AddRefusals(errno, n)
	}
}
