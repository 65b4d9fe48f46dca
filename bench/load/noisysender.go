package load

import (
	"bytes"
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

// NoiseKind is what a noisy sender sends.
type NoiseKind string

const (
	NoiseChat          NoiseKind = "chat"          // messages to its peer
	NoiseEvent         NoiseKind = "event"         // events to its peer or group
	NoiseSync          NoiseKind = "sync"          // SYNC of as many messages as one answer may have
	NoiseConversations NoiseKind = "conversations" // CONVERSATIONS, the longest page
	NoiseFriend        NoiseKind = "friend"        // ADD_FRIEND and DEL_FRIEND of its peer in turns
	NoiseRegister      NoiseKind = "register"      // REG of new names, on connections without a login
)

// NoisySender is one connection that sends as fast as it can. Several may
// belong to one user, each as a device of its own.
type NoisySender struct {
	*Env
	Kind     NoiseKind
	Size     int // bytes of each text
	Window   int // requests in flight
	Counters *NoisyCounters
	Addr     string
	Peer     int64 // the user that its requests are about
	Group    int64 // if not 0, the group that gets the events
	account  Account
	Sinks    []*Sink // receive what the user's connections send; the first sender has all
	c        *Conn   // nil: not connected
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
	return nil
}

// Store stores n messages to a user, one at a time.
func (s *NoisySender) Store(ctx context.Context, peer int64, n int) error {
	defer context.AfterFunc(ctx, s.c.Close)()
	for range n {
		if _, err := s.c.Call(ctx, &proto.Request{Op: proto.ONE_CHAT, ToID: peer, Msg: s.text(), CID: []byte(rand.Text())}); err != nil {
			return err
		}
	}
	return nil
}

func (s *NoisySender) text() []byte { return bytes.Repeat([]byte("!"), s.Size) }

// request returns what to send, and the op of its answer. Requests need not differ,
// except in what vary sets.
func (s *NoisySender) request() (req proto.Request, ack proto.Op) {
	switch s.Kind {
	case NoiseEvent:
		req = proto.Request{Op: proto.EVENT, ToID: s.Peer, Event: []byte(eventName), Data: s.text()}
		if s.Group != 0 {
			req.ToID, req.GroupID = 0, s.Group
		}
		return req, proto.ERROR // an event that is accepted has no answer
	case NoiseSync:
		req = proto.Request{Op: proto.SYNC, Peer: s.Peer, Limit: proto.MaxSyncMessages}
	case NoiseConversations:
		req = proto.Request{Op: proto.CONVERSATIONS, Limit: proto.MaxConversations}
	case NoiseFriend:
		req = proto.Request{Op: proto.ADD_FRIEND, FriendID: s.Peer}
	case NoiseRegister:
		req = proto.Request{Op: proto.REG, Password: rand.Text()}
	default:
		req = proto.Request{Op: proto.ONE_CHAT, ToID: s.Peer, Msg: s.text()}
	}
	return req, req.Op.Ack()
}

// vary makes req the nth of its kind. id is unique to the connection.
func (s *NoisySender) vary(req *proto.Request, id []byte, n uint64) {
	putHex(id[hexSize:], n)
	switch s.Kind {
	case NoiseChat:
		req.CID = id
	case NoiseRegister:
		req.Name = string(id)
	case NoiseFriend:
		req.Op = proto.ADD_FRIEND
		if n%2 == 0 {
			req.Op = proto.DEL_FRIEND
		}
	}
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
		if s.Kind == NoiseEvent {
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

// reconnect logs in by token, except to register.
func (s *NoisySender) reconnect(ctx context.Context) (err error) {
	if s.Kind == NoiseRegister {
		s.c, err = dial(ctx, s.Addr)
		return err
	}
	s.c, err = LoginByToken(ctx, s.Addr, s.account)
	return err
}

// sendRequests keeps the window full until the connection fails.
func (s *NoisySender) sendRequests() error {
	id := []byte(cidMark + cidMark)
	putHex(id, Nonce())
	req, ack := s.request()
	var body, out []byte
	var n uint64
	for room := s.Window; ; {
		out = out[:0]
		for range room {
			n++
			s.vary(&req, id, n)
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
			case a.Op != ack && a.Op != proto.ERROR && a.Op != proto.DEL_FRIEND_ACK: // a push
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
	req, _ := s.request()
	one := proto.AppendFrame(nil, proto.AppendRequest(nil, &req))
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

// Close closes the connection and the sinks. Run must have returned.
func (s *NoisySender) Close() {
	if s.c != nil {
		s.c.Abort()
	}
	for _, l := range s.Sinks {
		l.Close()
	}
}
