package load

import (
	"fmt"
	"time"

	"chatd/bench/report"
)

// sampler collects gauges second by second. It is for one goroutine, the
// collector.
type Sampler struct {
	metrics  []*Metric
	Interval time.Duration // between samples that until takes
	refused  map[int32]int64
	samples  []report.Sample
	lastAt   time.Time // of the last sample
}

func NewSampler(gauges ...*Metric) *Sampler {
	return &Sampler{metrics: gauges, Interval: SampleInterval, refused: make(map[int32]int64), lastAt: time.Now()}
}

// Take collects what was measured since the last time. Nothing at all may have
// been.
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
	if s.Seconds > sp.Interval.Seconds()/2 || len(sp.samples) == 0 { // else too short to say anything
		sp.samples = append(sp.samples, s)
	}
	return s, anything
}

// TakeUntil takes samples, and shows them, until done is closed.
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

// summary is a sample in words.
func (sp *Sampler) summary(s *report.Sample) (text string) {
	for i, m := range sp.metrics {
		if m.RateName != "" {
			text += fmt.Sprintf(" %s %s/s, p99 %s;", m.RateName, report.FormatCount(s.Rates[i]), report.FormatMicros(s.P99us[i]))
		}
	}
	return text
}

// AddTo writes what was measured into a report, but for rates: what they are
// by is the scenario's to say.
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
