package groupcommit

import "github.com/VictoriaMetrics/metrics"

type counters struct {
	batch      *metrics.PrometheusHistogram // messages in a transaction
	stored     *metrics.Counter
	repeated   *metrics.Counter
	failed     *metrics.Counter
	runFailed  *metrics.Counter // messages that follow a failed one in its run
	refused    *metrics.Counter // messages the queue had no room for
	rollbacks  *metrics.Counter
	duplicates *metrics.Counter // transactions that a unique index refused
	ambiguous  *metrics.Counter // commits whose outcome was unknown
	retries    *metrics.Counter
	deferred   *metrics.Counter // conversations, each time one was locked
	timeouts   *metrics.Counter // waits for a lock that was not released
	lockWaits  *metrics.Counter // batches given to a lock waiter
}

func newCounters(s *metrics.Set) *counters {
	return &counters{
		batch: s.GetOrCreatePrometheusHistogramExt("chatd_model_batch_messages",
			[]float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024}),
		stored:     s.GetOrCreateCounter("chatd_model_messages_stored_total"),
		repeated:   s.GetOrCreateCounter("chatd_model_messages_repeated_total"),
		failed:     s.GetOrCreateCounter("chatd_model_messages_failed_total"),
		runFailed:  s.GetOrCreateCounter("chatd_model_messages_behind_total"),
		refused:    s.GetOrCreateCounter("chatd_model_queue_refused_total"),
		rollbacks:  s.GetOrCreateCounter("chatd_model_rollbacks_total"),
		duplicates: s.GetOrCreateCounter("chatd_model_duplicate_batches_total"),
		ambiguous:  s.GetOrCreateCounter("chatd_model_unsure_commits_total"),
		retries:    s.GetOrCreateCounter("chatd_model_retries_total"),
		deferred:   s.GetOrCreateCounter("chatd_model_conversations_missed_total"),
		timeouts:   s.GetOrCreateCounter("chatd_model_lock_waits_total"),
		lockWaits:  s.GetOrCreateCounter("chatd_model_waiter_jobs_total"),
	}
}

// addGauges registers the gauges. Reading one doesn't block.
func (c *Committer) addGauges() {
	gauge := func(name string, value func() int64) {
		c.config.Set.GetOrCreateGauge(name, func() float64 { return float64(value()) })
	}
	sum := func(name string, of func(w *writer) int64) {
		gauge(name, func() (n int64) {
			for _, w := range c.writers {
				n += of(w)
			}
			return n
		})
	}
	gauge("chatd_model_queue_messages", func() int64 { n, _ := c.queue.waiting(); return int64(n) })
	gauge("chatd_model_queue_bytes", func() int64 { _, n := c.queue.waiting(); return int64(n) })
	sum("chatd_model_handover_batches", func(w *writer) int64 { return int64(len(w.out)) })
	sum("chatd_model_conversations_waiting", func(w *writer) int64 { return w.deferred.size.Load() })
}
