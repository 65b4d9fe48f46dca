package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gomodule/redigo/redis"
)

// runSubscriber keeps a connection for subscriptions open until the bus is
// closed. c is the first connection, or nil if it couldn't be made; startChange
// is what subs.onConnect returned for it.
func (r *Redis) runSubscriber(c *conn, startChange uint64) {
	var retry backoff
	var lastWarning time.Time
	for {
		if c != nil {
			retry.succeeded()
			err := r.serveSubscriber(c, startChange)
			if r.ctx.Err() != nil {
				r.up.Store(false)
				return
			}
			r.markFailed(subscriberConn, err)
		}
		if !retry.wait(r.ctx) {
			return
		}
		var err error
		if c, err = r.endpoint.dial(r.ctx); err == nil {
			r.m.reconnects.Inc()
			startChange = r.subs.onConnect()
		} else if now := time.Now(); now.Sub(lastWarning) > warnEvery && r.ctx.Err() == nil {
			lastWarning = now
			r.log.Warn("couldn't connect to Redis; retrying", "err", err)
		}
	}
}

// serveSubscriber reads and writes on c until the connection ends.
func (r *Redis) serveSubscriber(c *conn, startChange uint64) error {
	stop := context.AfterFunc(r.ctx, func() { _ = c.raw.Close() }) // makes reads and writes fail
	defer stop()
	writeErr := make(chan error, 1)
	done := make(chan struct{})
	go func() {
		err := r.writeLoop(c, done)
		_ = c.raw.Close() // makes readLoop return
		writeErr <- err
	}()
	err := r.readLoop(c, startChange)
	close(done)
	_ = c.raw.Close() // the connection has already failed
	err = errors.Join(err, <-writeErr)
	r.subs.onDisconnect()
	return err
}

// writeLoop sends changed subscriptions, and a PING each second. If Redis
// answers neither, readLoop times out.
func (r *Redis) writeLoop(c *conn, done <-chan struct{}) error {
	ticker := time.NewTicker(pingEvery)
	defer ticker.Stop()
	// The reply to the first PING arrives after all channels are subscribed to.
	for ping := true; ; {
		if err := r.writeChanges(c, ping); err != nil {
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

func (r *Redis) writeChanges(c *conn, ping bool) error {
	subscribe, unsubscribe := r.subs.takeChanges()
	if err := sendChannels(c, "SUBSCRIBE", subscribe); err != nil {
		return err
	}
	if err := sendChannels(c, "UNSUBSCRIBE", unsubscribe); err != nil {
		return err
	}
	if err := c.raw.SetWriteDeadline(time.Now().Add(subscriberTimeout)); err != nil {
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
		if err := c.raw.SetWriteDeadline(time.Now().Add(subscriberTimeout)); err != nil {
			return err
		}
		if err := c.Send(command, args...); err != nil {
			return err
		}
	}
	return nil
}

// readLoop handles what Redis sends on the subscriber connection until the
// connection fails or is silent for subscriberTimeout.
func (r *Redis) readLoop(c *conn, startChange uint64) error {
	synced := false
	var batch []Message
	for {
		reply, err := redis.ReceiveWithTimeout(c.Conn, subscriberTimeout)
		if err != nil {
			return err
		}
		if fields, ok := reply.([]any); ok && len(fields) == 3 { // a reply to PING has fewer
			kind, _ := fields[0].([]byte)
			switch string(kind) {
			case "subscribe", "unsubscribe":
				r.subs.onConfirm()
			case "message":
				channel, _ := fields[1].([]byte)
				envelope, _ := fields[2].([]byte)
				batch = r.decodeEnvelope(batch[:0], channel, envelope)
				if len(batch) > 0 {
					r.m.received.Add(len(batch))
					r.receive(batch)
					clear(batch) // so that the messages can be garbage collected
				}
			}
		}
		if !synced && r.subs.updateSynced(startChange) {
			synced = true
			r.markHealthy(subscriberConn)
		}
	}
}

// decodeEnvelope appends the messages of an envelope to batch. It skips and
// counts the node's own envelopes, and payloads that it can't decode.
func (r *Redis) decodeEnvelope(batch []Message, channel, envelope []byte) []Message {
	from, payloads, err := readHeader(envelope)
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
		p, payloadErr := Decode(b)
		if payloadErr != nil {
			r.countDecodeError(payloadErr)
			continue
		}
		batch = append(batch, Message{c, p})
	}
	if err != nil {
		r.countDecodeError(err)
	}
	return batch
}

func (r *Redis) countDecodeError(err error) {
	if errors.Is(err, ErrVersion) {
		r.m.unknown.Inc()
	} else {
		r.m.broken.Inc()
	}
}
