package model

import "github.com/VictoriaMetrics/metrics"

// counters are the metrics of a DB, apart from those of package groupcommit.
type counters struct {
	set           *metrics.Set
	commit        *metrics.PrometheusHistogram
	retried       *metrics.Counter
	cursorRows    *metrics.Counter
	cursorWrites  *metrics.Counter
	cursorDropped *metrics.Counter
	cursorFailed  *metrics.Counter
	tidyFailed    *metrics.Counter
}

func newCounters(s *metrics.Set) *counters {
	return &counters{
		set: s,
		commit: s.GetOrCreatePrometheusHistogramExt("chatd_model_transaction_seconds",
			[]float64{.0002, .0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5}),
		retried:       s.GetOrCreateCounter("chatd_model_retries_total"),
		cursorWrites:  s.GetOrCreateCounter("chatd_model_cursor_transactions_total"),
		cursorRows:    s.GetOrCreateCounter("chatd_model_cursor_rows_total"),
		cursorDropped: s.GetOrCreateCounter("chatd_model_cursor_dropped_total"),
		cursorFailed:  s.GetOrCreateCounter("chatd_model_cursor_failed_total"),
		tidyFailed:    s.GetOrCreateCounter("chatd_model_tidy_failed_total"),
	}
}

// gauge registers a gauge. f must not block.
func (c *counters) gauge(name string, f func() float64) { c.set.GetOrCreateGauge(name, f) }
