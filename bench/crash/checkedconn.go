package crash

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"sync"

	"chatd/proto"
)

// checkedConn checks one connection of a sender, because the SDK silently drops
// duplicates: the seqs pushed in a conversation must rise, and a message sent
// on a connection must not be pushed on it. Answers to SYNC aren't checked,
// since the client asked for them.
type checkedConn struct {
	*net.TCPConn
	sender *sender
	conn   int32 // number among the device's connections

	mu   sync.Mutex
	in   []byte // start of an incomplete frame
	dec  proto.Decoder
	last map[int]int64           // last seq pushed, by conversation
	sent map[string]*sentMessage // messages sent on this connection, by cid
}

// sentMessage is a message sent on a connection.
type sentMessage struct {
	number      int32
	pushIsWrong bool // pushing it on this connection is a violation
}

func (d *sender) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &checkedConn{TCPConn: c.(*net.TCPConn), sender: d, conn: d.newConnection(), last: make(map[int]int64), sent: make(map[string]*sentMessage)}, nil
}

// Write writes whole frames, as the SDK does.
func (c *checkedConn) Write(b []byte) (int, error) {
	c.checkSent(b)
	return c.TCPConn.Write(b)
}

// Read reads and checks what was read.
func (c *checkedConn) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	c.checkReceived(b[:n])
	return n, err
}

func (c *checkedConn) checkSent(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(b) >= proto.HeaderSize {
		n := proto.HeaderSize + int(binary.BigEndian.Uint32(b))
		q, err := c.dec.Decode(b[proto.HeaderSize:n])
		if b = b[n:]; err != nil {
			c.sender.violate(Invented, "can't decode a frame that the SDK sent: %v", err)
			continue
		}
		if q.Op == proto.ONE_CHAT || q.Op == proto.GROUP_CHAT {
			// A retried message may have been stored already, over another
			// connection. Until it is acknowledged it may be pushed.
			m, _ := parse(string(q.Msg))
			c.sent[string(q.CID)] = &sentMessage{m.number, !q.Retry}
			c.sender.recordCID(m.number, q.CID)
			c.sender.recordWire(wireEvent{number: m.number, conn: c.conn, retry: q.Retry})
		}
	}
}

func (c *checkedConn) checkReceived(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.in = append(c.in, b...); len(c.in) >= proto.HeaderSize; {
		n := proto.HeaderSize + int(binary.BigEndian.Uint32(c.in))
		if len(c.in) < n {
			return
		}
		a, err := c.dec.DecodeResponse(c.in[proto.HeaderSize:n])
		if err != nil {
			c.sender.violate(Invented, "can't decode a frame that the server sent: %v", err)
		} else {
			c.handleResponse(a)
		}
		c.in = c.in[n:]
	}
	c.in = bytes.Clone(c.in) // frees what was read before
}

func (c *checkedConn) handleResponse(a *proto.Response) {
	switch a.Op {
	case proto.ONE_CHAT_ACK, proto.GROUP_CHAT_ACK:
		o := c.sent[string(a.CID)]
		if o == nil {
			break // sent on another connection, or answered twice
		}
		c.sender.recordWire(wireEvent{number: o.number, conn: c.conn, answer: true, errno: a.Errno})
		if o.pushIsWrong = true; a.Errno != proto.Done {
			delete(c.sent, string(a.CID))
		}
	case proto.LOGIN_ACK:
		for i := range a.Offline {
			m := &a.Offline[i]
			c.checkPushed(m.GroupID, m.ID, m.ToID, m.Seq, m.Msg, m.CID)
		}
	case proto.ONE_CHAT, proto.GROUP_CHAT:
		c.checkPushed(a.GroupID, a.ID, a.ToID, a.Seq, string(a.Msg), string(a.CID))
	}
}

func (c *checkedConn) checkPushed(group, from, to, seq int64, text, cid string) {
	conv, ok := c.sender.directory.byKey[newConvKey(group, from, to)]
	if !ok {
		c.sender.violate(Invented, "was pushed %.80q from a conversation that its user isn't in", text)
		return
	}
	name := c.sender.directory.convs[conv].name
	m, _ := parse(text)
	switch last := c.last[conv]; {
	case seq == last:
		c.sender.violateOf(Doubled, m, "seq %d of %s was pushed twice on one connection", seq, name)
	case seq < last:
		c.sender.violateOf(Reordered, m, "seq %d of %s was pushed after seq %d on one connection", seq, name, last)
	}
	c.last[conv] = max(c.last[conv], seq)
	if o := c.sent[cid]; o != nil && o.pushIsWrong {
		c.sender.violateOf(Doubled, m, "seq %d of %s was pushed on the connection that had sent it", seq, name)
	}
}
