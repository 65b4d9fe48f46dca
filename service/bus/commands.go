package bus

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gomodule/redigo/redis"
)

// Publish sends the messages to all other nodes in one pipeline. All messages
// for a channel become one Redis message, in which they keep their order. It
// blocks for up to 500 ms. It returns ErrUnavailable without trying if Redis is
// unavailable. After any other error the messages may or may not have been
// published, and Redis counts as unavailable until a new connection succeeds.
func (r *Redis) Publish(ctx context.Context, ms []Message) error {
	if len(ms) == 0 {
		return nil
	}
	var err error
	if r.up.Load() {
		names, envelopes := r.encode(ms)
		err = r.withConn(ctx, func(c *conn) error {
			for i, name := range names {
				if err := c.Send("PUBLISH", name, envelopes[i]); err != nil {
					return err
				}
			}
			return receiveReplies(c, len(names), func(any) error { return nil })
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

// encode puts the messages of each channel into one envelope. The channels are
// in the order of their first messages.
func (r *Redis) encode(ms []Message) (names []string, envelopes [][]byte) {
	index := make(map[Channel]int, len(ms)) // in names and envelopes
	for i := range ms {
		c := ms[i].Channel
		n, ok := index[c]
		if !ok {
			n = len(names)
			index[c] = n
			names = append(names, c.String())
			envelopes = append(envelopes, appendHeader(nil, r.self))
		}
		envelopes[n] = appendPayload(envelopes[n], &ms[i].Payload)
	}
	return names, envelopes
}

// Online reports, for each user, whether any node has subscribed to their
// channel. A node does so while the user has a session there. It asks Redis
// only about users that this node has no subscription for, and not while Redis
// is unavailable. It blocks for up to 500 ms. If it returns an error, the
// result is what this node knows without Redis.
func (r *Redis) Online(ctx context.Context, users []int64) ([]bool, error) {
	online := make([]bool, len(users))
	var unknown []int
	for i, u := range users {
		if online[i] = r.subs.has(User(u)); !online[i] {
			unknown = append(unknown, i)
		}
	}
	if len(unknown) == 0 || !r.up.Load() {
		return online, nil
	}
	ctxTimeout, cancel := context.WithTimeout(ctx, r.commandTimeout)
	defer cancel()
	// Redis counts a channel that this node has just left as subscribed until
	// it has processed the UNSUBSCRIBE.
	if err := r.subs.await(ctxTimeout); err != nil {
		return online, fmt.Errorf("ask Redis who is online: %w", err)
	}
	err := r.withConn(ctxTimeout, func(c *conn) error {
		commands := 0
		for batch := range slices.Chunk(unknown, channelBatch) {
			args := append(make([]any, 0, 1+len(batch)), "NUMSUB")
			for _, i := range batch {
				args = append(args, User(users[i]).String())
			}
			if err := c.Send("PUBSUB", args...); err != nil {
				return err
			}
			commands++
		}
		next := 0
		return receiveReplies(c, commands, func(reply any) error {
			pairs, err := redis.Values(reply, nil) // name, count, name, count, …
			if err != nil {
				return err
			}
			for k := 1; k < len(pairs) && next < len(unknown); k += 2 {
				count, err := redis.Int64(pairs[k], nil)
				if err != nil {
					return err
				}
				online[unknown[next]] = count > 0
				next++
			}
			return nil
		})
	})
	if err != nil {
		return online, fmt.Errorf("ask Redis who is online: %w", err)
	}
	return online, nil
}

// Now returns the time of Redis in Unix microseconds, or the time of this
// machine if Redis is unavailable. It blocks for up to 500 ms.
func (r *Redis) Now(ctx context.Context) int64 {
	now := int64(0)
	if r.up.Load() {
		_ = r.withConn(ctx, func(c *conn) error { // if it fails, use this machine's time
			if err := c.Send("TIME"); err != nil {
				return err
			}
			return receiveReplies(c, 1, func(reply any) error {
				fields, err := redis.Int64s(reply, nil) // seconds and microseconds
				if err == nil && len(fields) == 2 {
					now = fields[0]*1e6 + fields[1]
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

// withConn calls f with a connection from the pool. It blocks for up to
// commandTimeout. If f fails, the connection is closed and Redis counts as
// unavailable, unless the caller canceled ctx.
func (r *Redis) withConn(ctx context.Context, f func(*conn) error) error {
	ctxTimeout, cancel := context.WithTimeout(ctx, r.commandTimeout)
	defer cancel()
	c, err := r.pool.get(ctxTimeout)
	if err == nil {
		err = c.withContext(ctxTimeout, func() error { return f(c) })
		r.pool.put(c, err == nil)
	}
	if err != nil && ctx.Err() != context.Canceled && r.ctx.Err() == nil {
		r.markFailed(commandConns, err)
	}
	return err
}

// receiveReplies sends the buffered commands and calls f with each of n replies.
func receiveReplies(c *conn, n int, f func(reply any) error) error {
	if err := c.Flush(); err != nil {
		return err
	}
	for range n {
		reply, err := c.Receive()
		if err == nil {
			err = f(reply)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
