package main

import (
	"fmt"
	"time"
)

// sampler collects gauges second by second. It is for one goroutine, the
// collector.
type sampler struct {
	gauges  []*gauge
	every   time.Duration // between samples that until takes
	refused map[int32]int64
	samples []sample
	lastAt  time.Time // of the last sample
}

func newSampler(gauges ...*gauge) *sampler {
	return &sampler{gauges: gauges, every: tickEvery, refused: make(map[int32]int64), lastAt: time.Now()}
}

// take collects what was measured since the last time. Nothing at all may have
// been.
func (sp *sampler) take() (s sample, anything bool) {
	now := time.Now()
	since := now.Sub(sp.lastAt)
	sp.lastAt = now
	s = sample{Seconds: since.Seconds()}
	for _, g := range sp.gauges {
		g.collect(sp.refused)
		anything = anything || g.tick.TotalCount() > 0
		s.add(g.tick)
	}
	if s.Seconds > sp.every.Seconds()/2 || len(sp.samples) == 0 { // else too short to say anything
		sp.samples = append(sp.samples, s)
	}
	return s, anything
}

// until takes samples, and shows them, until done is closed.
func (sp *sampler) until(done <-chan struct{}, p *progress, what string) {
	ticker := time.NewTicker(sp.every)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			sp.take()
			return
		case <-ticker.C:
			s, _ := sp.take()
			p.line("%s", what+":"+sp.text(&s))
		}
	}
}

// text is a sample in words.
func (sp *sampler) text(s *sample) (text string) {
	for i, g := range sp.gauges {
		if g.name != "" {
			text += fmt.Sprintf(" %s %s/s, p99 %s;", g.name, thousands(s.Rates[i]), micros(s.P99us[i]))
		}
	}
	return text
}

// tell writes what was measured into a report, but for rates: what they are
// by is the scenario's to say.
func (sp *sampler) tell(rep *report) {
	rep.Samples = sp.samples
	for _, g := range sp.gauges {
		rep.latency(g.delay, g.total)
		rep.Series = append(rep.Series, series{g.name, g.delay})
	}
	for errno, n := range sp.refused {
		rep.refused(errno, n)
	}
}
