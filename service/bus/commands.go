package bus

import (
	"context"
	"fmt"
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
