package reactor

import "github.com/VictoriaMetrics/metrics"

// counters are the reactor's counters. Their names begin with chatd_reactor_.
type counters struct {
	accepted, closed                                     *metrics.Counter
	refusedFull, refusedAddr, refusedRate, refusedFailed *metrics.Counter
	acceptBackoff                                        *metrics.Counter
	framesIn, framesOut, bytesIn, bytesOut               *metrics.Counter
	badFrames, badLength, badStream, badProxy, panics    *metrics.Counter
	kicks                                                [kickReasons]*metrics.Counter
	limited                                              [limitKinds]*metrics.Counter
	addrForgotten                                        *metrics.Counter
	laneFull, mailboxFull, slowDropped                   *metrics.Counter
	wsUpgraded, wsRefused, httpOther                     *metrics.Counter
}

func newCounters(set *metrics.Set) *counters {
	n := func(name string) *metrics.Counter { return set.GetOrCreateCounter("chatd_reactor_" + name) }
	c := &counters{
		accepted:      n(`connections_accepted_total`),
		closed:        n(`connections_closed_total`),
		refusedFull:   n(`connections_refused_total{reason="full"}`),
		refusedAddr:   n(`connections_refused_total{reason="address"}`),
		refusedRate:   n(`connections_refused_total{reason="rate"}`),
		refusedFailed: n(`connections_refused_total{reason="failed"}`),
		acceptBackoff: n(`accept_backoffs_total`),
		framesIn:      n(`frames_in_total`),
		framesOut:     n(`frames_out_total`),
		bytesIn:       n(`bytes_in_total`),
		bytesOut:      n(`bytes_out_total`),
		badFrames:     n(`bad_frames_total`),
		badLength:     n(`bad_lengths_total`),
		badStream:     n(`websocket_errors_total`),
		badProxy:      n(`bad_proxy_headers_total`),
		panics:        n(`panics_total`),
		laneFull:      n(`lane_full_total`),
		mailboxFull:   n(`mailbox_full_total`),
		slowDropped:   n(`droppable_frames_dropped_total`),
		wsUpgraded:    n(`websocket_upgrades_total`),
		wsRefused:     n(`websocket_refusals_total`),
		httpOther:     n(`http_other_total`),
	}
	c.addrForgotten = n(`addresses_forgotten_total`)
	for k := range c.limited {
		c.limited[k] = n(`limited_total{limit="` + limitNames[k] + `"}`)
	}
	for k := range c.kicks {
		c.kicks[k] = n(`kicks_total{reason="` + kickTexts[k].counter + `"}`)
	}
	return c
}

// gauges registers the gauges. They are computed when they are read.
func (r *Reactor) gauges(set *metrics.Set) {
	set.GetOrCreateGauge("chatd_reactor_connections", func() float64 { return float64(r.open.Load()) })
	set.GetOrCreateGauge("chatd_reactor_held_bytes", func() float64 { return float64(r.held.Load()) })
	set.GetOrCreateGauge("chatd_reactor_waiting_bytes", func() (n float64) {
		for _, l := range r.loops {
			n += float64(l.unsentBytes.Load())
		}
		return n
	})
	set.GetOrCreateGauge("chatd_reactor_mailbox_bytes", func() (n float64) {
		for _, l := range r.loops {
			n += float64(l.mailbox.bytes.Load())
		}
		return n
	})
	set.GetOrCreateGauge(`chatd_reactor_lane_waiting{lane="quick"}`, func() (n float64) {
		for _, q := range r.workers.quick {
			n += float64(len(q))
		}
		return n
	})
	for lane, name := range map[Lane]string{Slow: "slow", SlowLast: "slow_last"} {
		set.GetOrCreateGauge(`chatd_reactor_lane_waiting{lane="`+name+`"}`, func() float64 { return float64(r.workers.slow.waiting(lane)) })
	}
}

// countsOnLoop holds a loop's counts within a turn. They are added to the shared
// counters once, at the end of the turn, so that the loops don't contend for cache
// lines.
type countsOnLoop struct{ framesIn, framesOut, bytesIn, bytesOut int }

func (n *countsOnLoop) flush(t Turn, c *counters) {
	if n.framesIn|n.bytesIn != 0 {
		c.framesIn.Add(n.framesIn)
		c.bytesIn.Add(n.bytesIn)
	}
	if n.framesOut|n.bytesOut != 0 {
		c.framesOut.Add(n.framesOut)
		c.bytesOut.Add(n.bytesOut)
	}
	*n = countsOnLoop{}
}
