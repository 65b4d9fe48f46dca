package session

import (
	"sync/atomic"

	"github.com/VictoriaMetrics/metrics"

	"chatd/model"
)

// messageOverhead is about what a chat message takes in memory until its ACK,
// besides its text and the copy that is pushed.
const messageOverhead = 512

// pending bounds the memory of all chat messages of this node that have no
// answer yet: in the log's queue, in a transaction, or on the way back to their
// loop. Any loop may use it.
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

// acquire counts a message of c, and reports false if there is no room for it.
// One connection may have as much as is left for all others, so that a few who
// send much can't shut out those who send little: one alone gets half of the
// room, two get a third each. The bound may be exceeded by a message per loop,
// since loops don't wait for each other.
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

// release returns the room of a message that acquire counted.
func (p *pending) release(t Turn, c *Conn, a *model.Append) {
	n := memory(a)
	c.on.pending -= n
	p.bytes.Add(-n)
}

func memory(a *model.Append) int64 { return int64(2*(len(a.CID)+len(a.Body)) + messageOverhead) }
