package session

import (
	"sync/atomic"

	"github.com/VictoriaMetrics/metrics"

	"chatd/model"
)

// messageOverhead is the approximate memory that a chat message needs until its
// ACK, besides its text and the copy that is pushed, in bytes.
const messageOverhead = 512

// pending limits the memory of all chat messages on this node that aren't
// answered yet: in the append queue, in a transaction, or posted to a loop. Any
// loop may use it.
type pending struct {
	max     int64
	bytes   atomic.Int64
	refused *metrics.Counter
}

func newPending(limit int64, set *metrics.Set) *pending {
	p := &pending{max: limit, refused: set.NewCounter("chatd_service_unanswered_refused_total")}
	set.NewGauge("chatd_service_unanswered_bytes", func() float64 { return float64(p.bytes.Load()) })
	return p
}

// acquire reserves memory for a message of c. It returns false if there isn't
// enough. A connection may use as much as is left over: one alone gets half of
// the total, two get a third each. So there is always some left for clients that
// send little. Loops don't synchronize, so the total may exceed the limit by one
// message per loop.
func (p *pending) acquire(t Turn, c *Conn, a *model.Append) bool {
	n := memory(a)
	if left := p.max - p.bytes.Load(); n > left || c.on.pending > 0 && c.on.pending+n > left {
		p.refused.Inc()
		return false
	}
	c.on.pending += n
	p.bytes.Add(n)
	return true
}

// release returns the memory that acquire has reserved for a message.
func (p *pending) release(t Turn, c *Conn, a *model.Append) {
	n := memory(a)
	c.on.pending -= n
	p.bytes.Add(-n)
}

func memory(a *model.Append) int64 { return int64(2*(len(a.CID)+len(a.Body)) + messageOverhead) }
