package main

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

// gotten is what all shouters have had of the server, while on is set.
type gotten struct {
	on                                     atomic.Bool
	sent, answered, refused, other, kicked atomic.Int64
}

func (g *gotten) count(what *atomic.Int64, n int64) {
	if n > 0 && g.on.Load() {
		what.Add(n)
	}
}

// listener reads what bullies send, and takes no notice.
type listener struct {
	c    *conn
	done sync.WaitGroup
}

// newListener returns a listener that reads until it leaves.
func newListener(c *conn) *listener {
	l := &listener{c: c}
	l.done.Go(l.listen)
	return l
}

func (l *listener) listen() { _, _ = io.Copy(io.Discard, l.c.nc) } // until it leaves, or is kicked

func (l *listener) leave() {
	l.c.close()
	l.done.Wait()
}

// shouter is one connection of a bully: it sends as fast as it can. Its user
// has other devices where it has other connections.
type shouter struct {
	*rig
	kind   string // "chat", "event" or "sync": what it sends
	size   int    // bytes of each text
	window int    // requests in flight
	got    *gotten
	addr   string
	peer   int64
	me     account
	ears   *listener // of the first; nil: another one's
	c      *conn     // nil: to be made
}

const (
	// shoutBatch are events, which nothing answers, that go out in one write.
	shoutBatch = 64
	// shoutAgain is how soon one who was kicked comes back.
	shoutAgain = 50 * time.Millisecond
)

// enter logs the shouter in, by password: each is a device of its own.
func (s *shouter) enter(ctx context.Context, rs *recruits, me account, device string) error {
	c, err := dial(ctx, s.addr)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, c.close)()
	a, err := c.call(ctx, &proto.Request{Op: proto.LOGIN, ID: me.id, Password: rs.password, Device: device, Brief: true})
	if err != nil {
		c.close()
		return err
	}
	s.c, s.me = c, account{id: me.id, name: me.name, token: a.Token}
	if s.kind != "sync" {
		return nil
	}
	// Something to read.
	_, err = c.call(ctx, s.request())
	return err
}

// request is what a shouter says, but for a sync.
func (s *shouter) request() *proto.Request {
	text := make([]byte, s.size)
	for i := range text {
		text[i] = '!'
	}
	if s.kind == "event" {
		return &proto.Request{Op: proto.EVENT, ToID: s.peer, Event: []byte(eventName), Data: text}
	}
	return &proto.Request{Op: proto.ONE_CHAT, ToID: s.peer, Msg: text, CID: []byte(rand.Text())}
}

// shout sends until ctx ends, whatever the server says to that.
func (s *shouter) shout(ctx context.Context) {
	for ctx.Err() == nil {
		if s.c == nil {
			if err := s.comeBack(ctx); err != nil {
				_ = sleep(ctx, shoutAgain)
				continue
			}
		}
		stop := context.AfterFunc(ctx, func() { _ = s.c.nc.SetDeadline(longAgo) })
		var err error
		if s.kind == "event" {
			err = s.shoutEvents()
		} else {
			err = s.shoutRequests()
		}
		stop()
		if !gaveUp(err) {
			s.got.count(&s.got.kicked, 1)
			_ = sleep(ctx, shoutAgain)
		}
		// What is on the way is nobody's business any more.
		s.c.abort()
		s.c = nil
	}
}

// comeBack logs in by token.
func (s *shouter) comeBack(ctx context.Context) (err error) {
	s.c, err = enterByToken(ctx, s.addr, s.me)
	return err
}

// shoutRequests keeps a window of requests on the way.
func (s *shouter) shoutRequests() error {
	cid := []byte(cidMark + cidMark)
	putHex(cid, nonce())
	req := proto.Request{Op: proto.SYNC, Peer: s.peer, Limit: proto.MaxSyncMessages}
	ack := proto.SYNC_ACK
	if s.kind == "chat" {
		req = *s.request()
		req.CID = cid
		ack = proto.ONE_CHAT_ACK
	}
	var body, out []byte
	var n uint64
	for room := s.window; ; {
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
		s.got.count(&s.got.sent, int64(room))
		var err error
		if room, err = s.answers(ack); err != nil {
			return err
		}
	}
}

// answers reads until there are some, and says how many.
func (s *shouter) answers(ack proto.Op) (n int, err error) {
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
				return 0, unexpected(a)
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
	s.got.count(&s.got.answered, done)
	s.got.count(&s.got.refused, refused)
	s.got.count(&s.got.other, other)
	return n, nil
}

// shoutEvents sends as fast as the server reads. What it has to say to that is
// read meanwhile.
func (s *shouter) shoutEvents() error {
	one := proto.AppendFrame(nil, proto.AppendRequest(nil, s.request()))
	var out []byte
	for range shoutBatch {
		out = append(out, one...)
	}
	var reading sync.WaitGroup
	var heard error
	reading.Go(func() {
		for heard == nil {
			_, heard = s.answers(proto.ERROR)
		}
		// Only now: who shouts must not wait for a server that reads no more.
		_ = s.c.nc.SetWriteDeadline(longAgo)
	})
	var err error
	for err == nil {
		if _, err = s.c.nc.Write(out); err == nil {
			s.got.count(&s.got.sent, shoutBatch)
		}
	}
	_ = s.c.nc.SetReadDeadline(longAgo)
	reading.Wait()
	if heard != nil && !gaveUp(heard) {
		return fmt.Errorf("shout: %w", heard)
	}
	return err
}

// leave ends the shouter, which shouts no more, and the listener.
func (s *shouter) leave() {
	if s.c != nil {
		s.c.abort()
	}
	if s.ears != nil {
		s.ears.leave()
	}
}
