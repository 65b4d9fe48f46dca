package bus

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gomodule/redigo/redis"
)

// Publish offers the messages to all other nodes in one pipeline. The order of
// a channel's messages is kept; they are one payload. It blocks for 500 ms at
// most. The error is ErrUnavailable, or why it isn't known whether others have got
// them; Redis is away then until a new connection to it stands.
func (r *Redis) Publish(ctx context.Context, ms []Message) error {
	if len(ms) == 0 {
		return nil
	}
	var err error
	if r.up.Load() {
		names, envelopes := r.envelopes(ms)
		err = r.ask(ctx, func(c *conn) error {
			for i, name := range names {
				if err := c.Send("PUBLISH", name, envelopes[i]); err != nil {
					return err
				}
			}
			return receiveAll(c, len(names), func(any) error { return nil })
		})
	} else {
		err = ErrUnavailable
	}
	if err != nil {
		r.m.errors.Inc()
		r.m.dropped.Add(len(ms))
		return fmt.Errorf("publish: %w", err)
	}
	r.m.published.Add(len(ms))
	return nil
}

// envelopes puts the messages of each channel into one envelope. The channels
// come in the order of their first messages.
func (r *Redis) envelopes(ms []Message) (names []string, envelopes [][]byte) {
	at := make(map[Channel]int, len(ms))
	for i := range ms {
		c := ms[i].Channel
		n, ok := at[c]
		if !ok {
			n = len(names)
			at[c] = n
			names = append(names, c.String())
			envelopes = append(envelopes, openEnvelope(nil, r.self))
		}
		envelopes[n] = addPayload(envelopes[n], &ms[i].Payload)
	}
	return names, envelopes
}

// Online reports, for each user, whether any node has subscribed to their
// channel: the subscription is the presence. Of what this node subscribes to
// itself it knows without asking; while Redis is away, it knows only that. It
// blocks for 500 ms at most. An error says that Redis could not be asked: what
// is returned with it is only what the node knows itself.
func (r *Redis) Online(ctx context.Context, users []int64) ([]bool, error) {
	on := make([]bool, len(users))
	var unknown []int
	for i, u := range users {
		if on[i] = r.subs.has(User(u)); !on[i] {
			unknown = append(unknown, i)
		}
	}
	if len(unknown) == 0 || !r.up.Load() {
		return on, nil
	}
	within, cancel := context.WithTimeout(ctx, r.answer)
	defer cancel()
	// A channel that this node has just left is still its own in Redis's eyes
	// until that is confirmed.
	if err := r.subs.await(within); err != nil {
		return on, fmt.Errorf("ask Redis who is online: %w", err)
	}
	err := r.ask(within, func(c *conn) error {
		commands := 0
		for some := range slices.Chunk(unknown, channelBatch) {
			args := append(make([]any, 0, 1+len(some)), "NUMSUB")
			for _, i := range some {
				args = append(args, User(users[i]).String())
			}
			if err := c.Send("PUBSUB", args...); err != nil {
				return err
			}
			commands++
		}
		next := 0
		return receiveAll(c, commands, func(reply any) error {
			pairs, err := redis.Values(reply, nil) // name, count, name, count, …
			if err != nil {
				return err
			}
			for k := 1; k < len(pairs) && next < len(unknown); k += 2 {
				count, err := redis.Int64(pairs[k], nil)
				if err != nil {
					return err
				}
				on[unknown[next]] = count > 0
				next++
			}
			return nil
		})
	})
	if err != nil {
		return on, fmt.Errorf("ask Redis who is online: %w", err)
	}
	return on, nil
}

// Now returns the cluster's time in Unix microseconds: Redis's, or this
// machine's while Redis is away. It blocks for 500 ms at most.
func (r *Redis) Now(ctx context.Context) int64 {
	now := int64(0)
	if r.up.Load() {
		_ = r.ask(ctx, func(c *conn) error { // Redis is away then
			if err := c.Send("TIME"); err != nil {
				return err
			}
			return receiveAll(c, 1, func(reply any) error {
				parts, err := redis.Int64s(reply, nil) // seconds and microseconds
				if err == nil && len(parts) == 2 {
					now = parts[0]*1e6 + parts[1]
				}
				return err
			})
		})
	}
	if now == 0 {
		now = time.Now().UnixMicro()
	}
	return now
}

// ask runs f on a connection that nobody else uses meanwhile, within
// askTimeout. When f fails the connection is dropped and Redis is away, unless
// it was the caller who gave up.
func (r *Redis) ask(ctx context.Context, f func(*conn) error) error {
	within, cancel := context.WithTimeout(ctx, r.answer)
	defer cancel()
	c, err := r.pool.get(within)
	if err == nil {
		err = c.within(within, func() error { return f(c) })
		r.pool.put(c, err == nil)
	}
	if err != nil && ctx.Err() != context.Canceled && r.ctx.Err() == nil {
		r.lose(asking, err)
	}
	return err
}

// receiveAll flushes, and hands n replies to each.
func receiveAll(c *conn, n int, each func(reply any) error) error {
	if err := c.Flush(); err != nil {
		return err
	}
	for range n {
		reply, err := c.Receive()
		if err == nil {
			err = each(reply)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
