package crash

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"sync"

	"chatd/proto"
)

// tap listens to one connection of a talker, whose SDK drops what comes twice
// without a word: on one connection the pushes of a conversation rise strictly
// in seq, and a message that was sent there isn't pushed there. (What comes in
// answer to a SYNC was asked for.)
type tap struct {
	*net.TCPConn
	t    *talker
	conn int32 // of the device's

	mu   sync.Mutex
	in   []byte // the beginning of a frame that isn't whole yet
	dec  proto.Decoder
	last map[int]int64   // pushed last, by conversation
	said map[string]*own // what was sent here, by cid
}

// own is a message that was sent on a connection.
type own struct {
	number int32
	mine   bool // pushing it is wrong
}

// dial is net.Dialer's DialContext with a tap.
func (t *talker) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &tap{TCPConn: c.(*net.TCPConn), t: t, conn: t.connects(), last: make(map[int]int64), said: make(map[string]*own)}, nil
}

// Write is that of the connection. The SDK writes whole frames.
func (p *tap) Write(b []byte) (int, error) {
	p.sends(b)
	return p.TCPConn.Write(b)
}

// Read is that of the connection.
func (p *tap) Read(b []byte) (int, error) {
	n, err := p.TCPConn.Read(b)
	p.gets(b[:n])
	return n, err
}

func (p *tap) sends(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(b) >= proto.HeaderSize {
		n := proto.HeaderSize + int(binary.BigEndian.Uint32(b))
		q, err := p.dec.Decode(b[proto.HeaderSize:n])
		if b = b[n:]; err != nil {
			p.t.violate(Invented, "the SDK sent what can't be read: %v", err)
			continue
		}
		if q.Op == proto.ONE_CHAT || q.Op == proto.GROUP_CHAT {
			// What may be stored already may be pushed until it is acknowledged: it
			// was sent on another connection.
			m, _ := parse(string(q.Msg))
			p.said[string(q.CID)] = &own{m.number, !q.Retry}
			p.t.passes(passed{number: m.number, conn: p.conn, retry: q.Retry})
		}
	}
}

func (p *tap) gets(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.in = append(p.in, b...); len(p.in) >= proto.HeaderSize; {
		n := proto.HeaderSize + int(binary.BigEndian.Uint32(p.in))
		if len(p.in) < n {
			return
		}
		a, err := p.dec.DecodeResponse(p.in[proto.HeaderSize:n])
		if err != nil {
			p.t.violate(Invented, "the server sent what can't be read: %v", err)
		} else {
			p.got(a)
		}
		p.in = p.in[n:]
	}
	p.in = bytes.Clone(p.in) // or what was read before would be kept
}

func (p *tap) got(a *proto.Response) {
	switch a.Op {
	case proto.ONE_CHAT_ACK, proto.GROUP_CHAT_ACK:
		o := p.said[string(a.CID)]
		if o == nil {
			break // it was sent on another connection, or twice on this one
		}
		p.t.passes(passed{number: o.number, conn: p.conn, answer: true, errno: a.Errno})
		if o.mine = true; a.Errno != proto.Done {
			delete(p.said, string(a.CID))
		}
	case proto.LOGIN_ACK:
		for i := range a.Offline {
			m := &a.Offline[i]
			p.pushed(m.GroupID, m.ID, m.ToID, m.Seq, m.Msg, m.CID)
		}
	case proto.ONE_CHAT, proto.GROUP_CHAT:
		p.pushed(a.GroupID, a.ID, a.ToID, a.Seq, string(a.Msg), string(a.CID))
	}
}

func (p *tap) pushed(group, from, to, seq int64, text, cid string) {
	conv, ok := p.t.cast.ways[wayOf(group, from, to)]
	if !ok {
		p.t.violate(Invented, "it was pushed %.80q of a conversation that it isn't in", text)
		return
	}
	name := p.t.cast.convs[conv].name
	m, _ := parse(text)
	switch last := p.last[conv]; {
	case seq == last:
		p.t.violateOf(Doubled, m, "it was pushed seq %d of %s twice on one connection", seq, name)
	case seq < last:
		p.t.violateOf(Reordered, m, "it was pushed seq %d of %s after %d on one connection", seq, name, last)
	}
	p.last[conv] = max(p.last[conv], seq)
	if o := p.said[cid]; o != nil && o.mine {
		p.t.violateOf(Doubled, m, "it was pushed seq %d of %s on the connection on which it had sent that itself", seq, name)
	}
}
