package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gomodule/redigo/redis"
)

// hear keeps the subscriber's connection, until the bus is closed. c is the
// first one, which has begun already, nil where there was none.
func (r *Redis) hear(c *conn, begin uint64) {
	var pause backoff
	var warned time.Time
	for {
		if c != nil {
			pause.good()
			err := r.listen(c, begin)
			if r.ctx.Err() != nil {
				r.up.Store(false)
				return
			}
			r.lose(hearing, err)
		}
		if !pause.wait(r.ctx) {
			return
		}
		var err error
		if c, err = r.where.dial(r.ctx); err == nil {
			r.m.reconnects.Inc()
			begin = r.subs.begin()
		} else if now := time.Now(); now.Sub(warned) > warnEvery && r.ctx.Err() == nil {
			warned = now
			r.log.Warn("connecting to Redis failed; trying on", "err", err)
		}
	}
}

// listen hands on what one connection hears, until it ends.
func (r *Redis) listen(c *conn, begin uint64) error {
	stop := context.AfterFunc(r.ctx, func() { _ = c.raw.Close() }) // to end the reading is all that is asked of it
	defer stop()
	written := make(chan error, 1)
	done := make(chan struct{})
	go func() {
		err := r.tell(c, done)
		_ = c.raw.Close() // to end the reading is all that is asked of it
		written <- err
	}()
	err := r.read(c, begin)
	close(done)
	_ = c.raw.Close() // it has failed already
	err = errors.Join(err, <-written)
	r.subs.end()
	return err
}

// tell writes to the subscriber's connection: what has changed in the
// subscriptions, and a PING now and then, so that silence means something.
func (r *Redis) tell(c *conn, done <-chan struct{}) error {
	ticker := time.NewTicker(pingEvery)
	defer ticker.Stop()
	for ping := true; ; { // the first answer comes when all is subscribed
		if err := r.write(c, ping); err != nil {
			return fmt.Errorf("subscribe: %w", err)
		}
		ping = false
		select {
		case <-done:
			return nil
		case <-r.subs.wake:
		case <-ticker.C:
			ping = true
		}
	}
}

func (r *Redis) write(c *conn, ping bool) error {
	on, off := r.subs.next()
	if err := sendChannels(c, "SUBSCRIBE", on); err != nil {
		return err
	}
	if err := sendChannels(c, "UNSUBSCRIBE", off); err != nil {
		return err
	}
	if err := c.raw.SetWriteDeadline(time.Now().Add(silence)); err != nil {
		return err
	}
	if ping {
		if err := c.Send("PING"); err != nil {
			return err
		}
	}
	return c.Flush()
}

func sendChannels(c *conn, command string, channels []Channel) error {
	for batch := range slices.Chunk(channels, channelBatch) {
		args := make([]any, len(batch))
		for i, ch := range batch {
			args[i] = ch.String()
		}
		if err := c.raw.SetWriteDeadline(time.Now().Add(silence)); err != nil {
			return err
		}
		if err := c.Send(command, args...); err != nil {
			return err
		}
	}
	return nil
}

// read reads the subscriber's connection until it fails.
func (r *Redis) read(c *conn, begin uint64) error {
	arrived := false
	var batch []Message
	for {
		reply, err := redis.ReceiveWithTimeout(c.Conn, silence)
		if err != nil {
			return err
		}
		if parts, ok := reply.([]any); ok && len(parts) == 3 { // else it is the answer to a PING
			kind, _ := parts[0].([]byte)
			switch string(kind) {
			case "subscribe", "unsubscribe":
				r.subs.confirmed()
			case "message":
				channel, _ := parts[1].([]byte)
				payload, _ := parts[2].([]byte)
				batch = r.open(batch[:0], channel, payload)
				if len(batch) > 0 {
					r.m.received.Add(len(batch))
					r.receive(batch)
					clear(batch) // what was in it may be garbage now
				}
			}
		}
		if !arrived && r.subs.arrived(begin) {
			arrived = true
			r.regain(hearing)
		}
	}
}

// open adds what an envelope has to batch. What this node can't read, or has
// sent itself, is counted and left out.
func (r *Redis) open(batch []Message, channel, envelope []byte) []Message {
	from, payloads, err := readEnvelope(envelope)
	if err == nil && from == r.self {
		r.m.echoes.Inc()
		return batch
	}
	var c Channel
	if err == nil {
		c, err = parseChannel(channel)
	}
	for err == nil && len(payloads) > 0 {
		var b []byte
		if b, payloads, err = nextPayload(payloads); err != nil {
			break
		}
		p, bad := Decode(b)
		if bad != nil {
			r.strange(bad)
			continue
		}
		batch = append(batch, Message{c, p})
	}
	if err != nil {
		r.strange(err)
	}
	return batch
}

func (r *Redis) strange(err error) {
	if errors.Is(err, ErrVersion) {
		r.m.unknown.Inc()
	} else {
		r.m.broken.Inc()
	}
}
