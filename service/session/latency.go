package session

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"chatd/proto"
)

// latencyBounds are the upper bounds of the histogram's buckets.
var latencyBounds = [...]time.Duration{time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second}

const latencyName = "chatd_service_request_seconds"

// latency has the durations of the requests of one op on one loop. Only that loop
// writes it, so the atomics don't contend.
type latency struct {
	buckets [len(latencyBounds) + 1]atomic.Uint64 // not cumulative
	sum     atomic.Int64                          // nanoseconds
}

// latencies has the durations of the requests of one loop, by op. Each loop has a
// pointer to its own, so that loops don't share cache lines.
type latencies [proto.OpCount]latency

// observe adds a duration. It takes no lock and reads no clock: durations are
// differences between the starts of turns.
func (l *latencies) observe(op proto.Op, d time.Duration) {
	i := 0
	for i < len(latencyBounds) && d > latencyBounds[i] {
		i++
	}
	l[op].buckets[i].Add(1)
	l[op].sum.Add(int64(d))
}

// alwaysShown are the ops whose histograms are written even if they are empty.
var alwaysShown = [proto.OpCount]bool{proto.LOGIN: true, proto.ONE_CHAT: true, proto.GROUP_CHAT: true}

// writeLatencies writes the histograms of all loops together, in the format of
// Prometheus.
func writeLatencies(w io.Writer, loops []*latencies) {
	metrics.WriteMetadataIfNeeded(w, latencyName, "histogram")
	for op := range proto.OpCount {
		var counts [len(latencyBounds) + 1]uint64
		var sum int64
		var all uint64
		for _, l := range loops {
			sum += l[op].sum.Load()
			for i := range counts {
				n := l[op].buckets[i].Load()
				counts[i] += n
				all += n
			}
		}
		if all == 0 && !alwaysShown[op] {
			continue
		}
		name, n := proto.Op(op).String(), uint64(0)
		for i, bound := range latencyBounds {
			n += counts[i]
			fmt.Fprintf(w, "%s_bucket{op=%q,le=\"%g\"} %d\n", latencyName, name, bound.Seconds(), n)
		}
		fmt.Fprintf(w, "%s_bucket{op=%q,le=\"+Inf\"} %d\n%s_sum{op=%q} %g\n%s_count{op=%q} %d\n",
			latencyName, name, all, latencyName, name, time.Duration(sum).Seconds(), latencyName, name, all)
	}
}

// Begin notes the request that the connection serves from now on. When its job is
// done, its duration is counted. Chat messages are counted when they are answered,
// see Message.
func (c *Conn) Begin(t Turn, op proto.Op) { c.on.op, c.on.began = op, t.Now() }
