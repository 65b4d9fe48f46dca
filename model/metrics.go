package model

import "github.com/VictoriaMetrics/metrics"

// counters are what the store counts.
type counters struct {
	set           *metrics.Set
	batch         *metrics.PrometheusHistogram
	commit        *metrics.PrometheusHistogram
	stored        *metrics.Counter
	repeated      *metrics.Counter
	failed        *metrics.Counter
	behind        *metrics.Counter // not tried, as they were behind one of failed
	refused       *metrics.Counter
	rollbacks     *metrics.Counter
	duplicates    *metrics.Counter
	unsure        *metrics.Counter
	retried       *metrics.Counter
	missed        *metrics.Counter
	waits         *metrics.Counter // in vain
	waiterJobs    *metrics.Counter
	cursorRows    *metrics.Counter
	cursorWrites  *metrics.Counter
	cursorDropped *metrics.Counter
	cursorFailed  *metrics.Counter
	tidyFailed    *metrics.Counter
}

func newCounters(s *metrics.Set) *counters {
	return &counters{
		set: s,
		batch: s.GetOrCreatePrometheusHistogramExt("chatd_model_batch_messages",
			[]float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024}),
		commit: s.GetOrCreatePrometheusHistogramExt("chatd_model_transaction_seconds",
			[]float64{.0002, .0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5}),
		stored:        s.GetOrCreateCounter("chatd_model_messages_stored_total"),
		repeated:      s.GetOrCreateCounter("chatd_model_messages_repeated_total"),
		failed:        s.GetOrCreateCounter("chatd_model_messages_failed_total"),
		behind:        s.GetOrCreateCounter("chatd_model_messages_behind_total"),
		refused:       s.GetOrCreateCounter("chatd_model_queue_refused_total"),
		rollbacks:     s.GetOrCreateCounter("chatd_model_rollbacks_total"),
		duplicates:    s.GetOrCreateCounter("chatd_model_duplicate_batches_total"),
		unsure:        s.GetOrCreateCounter("chatd_model_unsure_commits_total"),
		retried:       s.GetOrCreateCounter("chatd_model_retries_total"),
		missed:        s.GetOrCreateCounter("chatd_model_conversations_missed_total"),
		waiterJobs:    s.GetOrCreateCounter("chatd_model_waiter_jobs_total"),
		waits:         s.GetOrCreateCounter("chatd_model_lock_waits_total"),
		cursorWrites:  s.GetOrCreateCounter("chatd_model_cursor_transactions_total"),
		cursorRows:    s.GetOrCreateCounter("chatd_model_cursor_rows_total"),
		cursorDropped: s.GetOrCreateCounter("chatd_model_cursor_dropped_total"),
		cursorFailed:  s.GetOrCreateCounter("chatd_model_cursor_failed_total"),
		tidyFailed:    s.GetOrCreateCounter("chatd_model_tidy_failed_total"),
	}
}

// gauge shows f under a name. f must not block.
func (c *counters) gauge(name string, f func() float64) { c.set.GetOrCreateGauge(name, f) }
