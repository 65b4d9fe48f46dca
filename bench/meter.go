package main

import (
	"sync"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// meter counts what one connection sees: its goroutine adds, the collector
// takes it away.
type meter struct {
	mu      sync.Mutex
	latency *hdrhistogram.Histogram
	refused map[int32]int64 // by errno
}

func newMeter() *meter { return &meter{latency: newHistogram()} }

// add counts messages by their latencies in nanoseconds.
func (m *meter) add(latencies []int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, ns := range latencies {
		us := min(max(ns/1000, 1), maxLatencyUs)
		_ = m.latency.RecordValue(us) // within its range
	}
}

// refuse counts a refusal.
func (m *meter) refuse(errno int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refused == nil {
		m.refused = make(map[int32]int64)
	}
	m.refused[errno]++
}

// drain moves what was counted since the last call to where it is added up.
func (m *meter) drain(to *hdrhistogram.Histogram, refused map[int32]int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.latency.TotalCount() > 0 {
		to.Merge(m.latency)
		m.latency.Reset()
	}
	for errno, n := range m.refused {
		refused[errno] += n
	}
	clear(m.refused)
}

// gauge is one thing that is measured, over all connections: acknowledged
// messages, say. Only the collector uses it.
type gauge struct {
	name   string // of the rate: "acknowledged"
	delay  string // of the latency: "ack"
	meters []*meter

	tick  *hdrhistogram.Histogram // since the last tick
	total *hdrhistogram.Histogram
}

func newGauge(name, delay string) *gauge {
	return &gauge{name: name, delay: delay, tick: newHistogram(), total: newHistogram()}
}

// meter is one more connection's.
func (g *gauge) meter() *meter {
	m := newMeter()
	g.meters = append(g.meters, m)
	return m
}

// collect gathers a tick from all connections, and adds it to the total.
func (g *gauge) collect(refused map[int32]int64) {
	g.tick.Reset()
	for _, m := range g.meters {
		m.drain(g.tick, refused)
	}
	g.total.Merge(g.tick)
}
