package bus

import (
	"bytes"
	"context"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// Bus is how nodes tell each other what is new. Node and Redis implement it.
// Only Await, Publish, Online and Now may block: for half a second, or until
// their context ends.
type Bus interface {
	// Subscribe and Unsubscribe count: the last Unsubscribe ends the subscription.
	Subscribe(Channel)
	Unsubscribe(Channel)
	// Await returns once all subscriptions made before the call are in force.
	Await(context.Context) error
	// MayHaveSubscribers reports whether another node may listen on the channel.
	MayHaveSubscribers(Channel) bool
	// Publish sends messages to all other nodes, in order.
	Publish(context.Context, []Message) error
	// Online reports which users have a session on any node. With an error it
	// still reports those who are certain to be online.
	Online(context.Context, []int64) ([]bool, error)
	// Now is the time by the clock that all nodes share, in Unix microseconds.
	Now(context.Context) int64
}

// PublishTimeout bounds one call of Await or Publish.
const PublishTimeout = 500 * time.Millisecond

const (
	courierLen   = 8192 // messages that wait to be published
	courierBatch = 256  // messages in one Publish
	courierPause = 5 * time.Millisecond
)

// Courier publishes notices for other nodes from a queue, so that event loops
// don't block. Chat messages don't use it: they are published as part of their
// commit. All methods but Run and WaitForRoom never block; any goroutine may
// call them.
//
// A full queue drops messages and counts them. Notices are hints: the store
// has what they say.
type Courier struct {
	bus     Bus
	queue   chan Message
	dropped *metrics.Counter
}

// NewCourier makes a courier. dropped counts the messages that it drops.
func NewCourier(b Bus, dropped *metrics.Counter) *Courier {
	return &Courier{bus: b, queue: make(chan Message, courierLen), dropped: dropped}
}

// Publish queues a message.
func (c *Courier) Publish(ch Channel, p Payload) {
	if !c.bus.MayHaveSubscribers(ch) {
		return
	}
	select {
	case c.queue <- Message{Channel: ch, Payload: p}:
	default:
		c.dropped.Inc()
	}
}

// PublishEvent queues a copy of an event. It drops the event when the queue is
// more than three quarters full: the rest is for notices, which matter more.
func (c *Courier) PublishEvent(ch Channel, body []byte) {
	if !c.bus.MayHaveSubscribers(ch) {
		return
	}
	if len(c.queue) > courierLen*3/4 {
		c.dropped.Inc()
		return
	}
	c.Publish(ch, Payload{Notice: &Notice{Body: bytes.Clone(body)}})
}

// WaitForRoom blocks while the queue is more than half full, or until ctx ends.
// Callers that produce many messages use it to leave room for others.
func (c *Courier) WaitForRoom(ctx context.Context) {
	for len(c.queue) > courierLen/2 && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(courierPause):
		}
	}
}

// Run publishes what is queued until ctx ends.
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
		c.PublishNow(ctx, batch)
	}
}

// PublishNow publishes a batch at once, and counts its messages as dropped
// where that fails. It blocks for PublishTimeout at most.
func (c *Courier) PublishNow(ctx context.Context, batch []Message) {
	ctx, cancel := context.WithTimeout(ctx, PublishTimeout)
	defer cancel()
	if err := c.bus.Publish(ctx, batch); err != nil {
		c.dropped.Add(len(batch))
	}
}

// Await waits until earlier subscriptions are in force, or PublishTimeout has
// passed. It doesn't wait longer for a bus that is slow or away: repair finds
// what was missed.
func (c *Courier) Await(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, PublishTimeout)
	defer cancel()
	_ = c.bus.Await(ctx)
}
