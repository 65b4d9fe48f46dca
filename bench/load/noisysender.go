package load

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"chatd/proto"
)

// NoisyCounters counts what happens to noisy senders while Counting is set. It
// is safe for concurrent use.
type NoisyCounters struct {
	Counting                             atomic.Bool
	Sent, Acked, Refused, Failed, Kicked atomic.Int64
}

func (g *NoisyCounters) add(what *atomic.Int64, n int64) {
	if n > 0 && g.Counting.Load() {
		what.Add(n)
	}
}

// Sink reads a connection and discards everything.
type Sink struct {
	c    *Conn
	done sync.WaitGroup
}

// NewSink starts reading c. Close must be called.
func NewSink(c *Conn) *Sink {
	l := &Sink{c: c}
	l.done.Go(l.listen)
	return l
}

func (l *Sink) listen() { _, _ = io.Copy(io.Discard, l.c.nc) } // until Close or KICK

func (l *Sink) Close() {
	l.c.Close()
	l.done.Wait()
}

// NoisySender is one connection that sends as fast as it can. Several may
// belong to one user, each as a device of its own.
type NoisySender struct {
	*Env
	Kind     string // "chat", "event" or "sync": what it sends
	Size     int    // bytes of each text
	Window   int    // requests in flight
	Counters *NoisyCounters
	Addr     string
	Peer     int64
	account  Account
	Sink     *Sink // receives what the user's connections send; nil: another sender owns it
	c        *Conn // nil: not connected
}

const (
	// eventBatch is how many events go out in one write. Nothing answers them.
	eventBatch = 64
	// reconnectDelay is the wait before it reconnects after a KICK.
	reconnectDelay = 50 * time.Millisecond
)

// Login logs the sender in by password, with a device name of its own.
func (s *NoisySender) Login(ctx context.Context, accounts *Accounts, me Account, device string) error {
	c, err := dial(ctx, s.Addr)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, c.Close)()
	a, err := c.Call(ctx, &proto.Request{Op: proto.LOGIN, ID: me.ID, Password: accounts.Password, Device: device, Brief: true})
	if err != nil {
		c.Close()
		return err
	}
	s.c, s.account = c, Account{ID: me.ID, name: me.name, token: a.Token}
	if s.Kind != "sync" {
		return nil
	}
	// Give SYNC something to read.
	_, err = c.Call(ctx, s.request())
	return err
}

// request returns a message or an event; for "sync" a message.
func (s *NoisySender) request() *proto.Request {
	text := make([]byte, s.Size)
	for i := range text {
		text[i] = '!'
	}
	if s.Kind == "event" {
		return &proto.Request{Op: proto.EVENT, ToID: s.Peer, Event: []byte(eventName), Data: text}
	}
	return &proto.Request{Op: proto.ONE_CHAT, ToID: s.Peer, Msg: text, CID: []byte(rand.Text())}
}

// Run sends until ctx ends. It ignores refusals and reconnects after a KICK.
func (s *NoisySender) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if s.c == nil {
			if err := s.reconnect(ctx); err != nil {
				_ = Sleep(ctx, reconnectDelay)
				continue
			}
		}
		stop := context.AfterFunc(ctx, func() { _ = s.c.nc.SetDeadline(pastDeadline) })
		var err error
		if s.Kind == "event" {
			err = s.sendEvents()
		} else {
			err = s.sendRequests()
		}
		stop()
		if !isTimeout(err) {
			s.Counters.add(&s.Counters.Kicked, 1)
			_ = Sleep(ctx, reconnectDelay)
		}
		// Messages in flight aren't waited for.
		s.c.Abort()
		s.c = nil
	}
}

// reconnect logs in by token.
func (s *NoisySender) reconnect(ctx context.Context) (err error) {
	s.c, err = LoginByToken(ctx, s.Addr, s.account)
	return err
}

// sendRequests keeps the window full until the connection fails.
func (s *NoisySender) sendRequests() error {
	cid := []byte(cidMark + cidMark)
	putHex(cid, Nonce())
	req := proto.Request{Op: proto.SYNC, Peer: s.Peer, Limit: proto.MaxSyncMessages}
	ack := proto.SYNC_ACK
	if s.Kind == "chat" {
		req = *s.request()
		req.CID = cid
		ack = proto.ONE_CHAT_ACK
	}
	var body, out []byte
	var n uint64
	for room := s.Window; ; {
		out = out[:0]
		for range room {
			n++
			putHex(cid[hexSize:], n)
			body = proto.AppendRequest(body[:0], &req)
			out = proto.AppendFrame(out, body)
		}
		if _, err := s.c.nc.Write(out); err != nil {
			return err
		}
		s.Counters.add(&s.Counters.Sent, int64(room))
		var err error
		if room, err = s.readAnswers(ack); err != nil {
			return err
		}
	}
}

// readAnswers blocks until at least one answer has arrived and returns how many
// have.
func (s *NoisySender) readAnswers(ack proto.Op) (n int, err error) {
	var done, refused, other int64
	for n == 0 {
		if err := s.c.fill(); err != nil {
			return 0, err
		}
		for {
			a, err := s.c.next()
			if err != nil {
				return 0, err
			}
			if a == nil {
				break
			}
			switch {
			case a.Op == proto.KICK:
				return 0, unexpectedFrame(a)
			case a.Op != ack && a.Op != proto.ERROR: // a push
				continue
			case a.Errno == proto.Done:
				done++
			case a.Errno == proto.TooFast:
				refused++
			default:
				other++
			}
			n++
		}
	}
	s.Counters.add(&s.Counters.Acked, done)
	s.Counters.add(&s.Counters.Refused, refused)
	s.Counters.add(&s.Counters.Failed, other)
	return n, nil
}

// sendEvents sends as fast as the server reads. What the server sends is read
// meanwhile.
func (s *NoisySender) sendEvents() error {
	one := proto.AppendFrame(nil, proto.AppendRequest(nil, s.request()))
	var out []byte
	for range eventBatch {
		out = append(out, one...)
	}
	var reading sync.WaitGroup
	var readErr error
	reading.Go(func() {
		for readErr == nil {
			_, readErr = s.readAnswers(proto.ERROR)
		}
		// Only now, so that a server that stops reading can't block the sender.
		_ = s.c.nc.SetWriteDeadline(pastDeadline)
	})
	var err error
	for err == nil {
		if _, err = s.c.nc.Write(out); err == nil {
			s.Counters.add(&s.Counters.Sent, eventBatch)
		}
	}
	_ = s.c.nc.SetReadDeadline(pastDeadline)
	reading.Wait()
	if readErr != nil && !isTimeout(readErr) {
		return fmt.Errorf("send events: %w", readErr)
	}
	return err
}

// Close closes the connection and the sink. Run must have returned.
func (s *NoisySender) Close() {
	if s.c != nil {
		s.c.Abort()
	}
	if s.Sink != nil {
		s.Sink.Close()
	}
}
