package bus

import (
	"bytes"
	"context"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// PublishTimeout is how long the Courier waits for one Await or Publish.
const PublishTimeout = 500 * time.Millisecond

const (
	courierLen   = 8192                 // capacity of the queue, in messages
	courierBatch = 256                  // most messages in one Publish
	courierPoll  = 5 * time.Millisecond // how often WaitForRoom looks at the queue
)

// Courier publishes hints for other nodes from a queue, so that event loops
// don't block. Hints about chat messages don't go through the queue: they are
// published with PublishNow, right after the commit. Publish and PublishEvent
// don't block; the other methods do. All may be called from any goroutine.
//
// If the queue is full, hints are dropped and counted. Whatever must survive is
// in the store too; events are lost.
type Courier struct {
	bus     Bus
	queue   chan Message
	dropped *metrics.Counter
}

// NewCourier returns a Courier that publishes on b. Call Run to start it.
// dropped counts the hints that couldn't be queued or published.
func NewCourier(b Bus, dropped *metrics.Counter) *Courier {
	return &Courier{bus: b, queue: make(chan Message, courierLen), dropped: dropped}
}

// Publish queues a hint, unless no other node subscribes to its channel. It
// returns false if the queue is full and the hint is dropped.
func (c *Courier) Publish(ch Channel, p Payload) bool {
	if !c.bus.MayHaveSubscribers(ch) {
		return true
	}
	select {
	case c.queue <- Message{Channel: ch, Payload: p}:
		return true
	default:
		c.dropped.Inc()
		return false
	}
}

// PublishEvent queues a copy of an event, such as a typing indicator. It drops
// the event if the queue is over three quarters full. The rest of the queue is
// reserved for other hints, which are more important.
func (c *Courier) PublishEvent(ch Channel, body []byte) {
	if !c.bus.MayHaveSubscribers(ch) {
		return
	}
	if len(c.queue) > courierLen*3/4 {
		c.dropped.Inc()
		return
	}
	c.Publish(ch, Payload{Push: &Push{Body: bytes.Clone(body)}})
}

// WaitForRoom blocks until the queue is at most half full or ctx ends. Callers
// that send many messages call it before each, to leave room for others.
func (c *Courier) WaitForRoom(ctx context.Context) {
	for len(c.queue) > courierLen/2 && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(courierPoll):
		}
	}
}

// Run publishes the queued messages in batches. It returns when ctx ends;
// messages that are still queued are then lost.
func (c *Courier) Run(ctx context.Context) {
	batch := make([]Message, 0, courierBatch)
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-c.queue:
			batch = append(batch[:0], m)
		}
		for len(batch) < courierBatch && len(c.queue) > 0 {
			batch = append(batch, <-c.queue)
		}
		_ = c.PublishNow(ctx, batch) // counts what it drops
	}
}

// PublishNow publishes a batch without queueing it. It blocks for up to
// PublishTimeout. If it fails, the messages are counted as dropped, and it
// returns the error of Publish.
func (c *Courier) PublishNow(ctx context.Context, batch []Message) error {
	ctx, cancel := context.WithTimeout(ctx, PublishTimeout)
	defer cancel()
	err := c.bus.Publish(ctx, batch)
	if err != nil {
		c.dropped.Add(len(batch))
	}
	return err
}

// Await blocks until earlier subscriptions are active, or for PublishTimeout. It
// returns false if they are still not active then. Repair finds messages that were
// missed because of that. Await returns true at once while the bus is unavailable.
func (c *Courier) Await(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, PublishTimeout)
	defer cancel()
	return c.bus.Await(ctx) == nil
}
