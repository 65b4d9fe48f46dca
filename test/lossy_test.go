package test

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"

	"chatd/proto"
)

// lossy stands between a client and a node, and does to what the node sends
// all that a client has to put up with: it drops pushes, repeats others, and
// hangs up instead of passing on the acknowledgement of a message.
type lossy struct {
	addr string // where the client connects
	node string

	mu                        sync.Mutex
	mended, stays             bool
	pushes, acks              int // seen
	dropped, repeated, hungUp int
}

func newLossy(t *testing.T, node string) *lossy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &lossy{addr: ln.Addr().String(), node: node}
	var all sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			all.Go(func() {
				l.serve(c)
				mu.Lock()
				delete(open, c)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return l
}

// serve connects a client with the node until either has gone, or until it
// hangs up on both.
func (l *lossy) serve(client net.Conn) {
	defer client.Close()
	node, err := net.Dial("tcp", l.node)
	if err != nil {
		return // the node is being started again
	}
	up := make(chan struct{})
	go func() {
		io.Copy(node, client)
		node.Close()
		close(up)
	}()
	l.pass(client, bufio.NewReader(node))
	client.Close()
	node.Close()
	<-up
}

// pass passes on what the node sends, as far as it pleases.
func (l *lossy) pass(client net.Conn, node *bufio.Reader) {
	read := tcpFrame
	if head, err := node.Peek(4); err == nil && string(head) == "HTTP" {
		read = webSocketFrame
		for line := ""; line != "\r\n"; {
			if line, err = node.ReadString('\n'); err != nil {
				return
			}
			if _, err := io.WriteString(client, line); err != nil {
				return
			}
		}
	}
	var dec proto.Decoder
	for {
		frame, body, err := read(node)
		if err != nil {
			return
		}
		// What isn't a message of chatd, such as a WebSocket's close, is passed on.
		times := 1
		if m, err := dec.DecodeResponse(body); err == nil {
			times = l.times(m.Op)
		}
		for range times {
			if _, err := client.Write(frame); err != nil {
				return
			}
		}
		if times < 0 {
			return
		}
	}
}

// mend makes it pass on all that comes from now on.
func (l *lossy) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mended = true
}

// stay makes it never hang up.
func (l *lossy) stay() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stays = true
}

// times says how often the client gets a message; less than 0: hang up.
func (l *lossy) times(op proto.Op) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.mended:
	case op == proto.ONE_CHAT:
		switch l.pushes++; l.pushes % 5 {
		case 1:
			l.dropped++
			return 0
		case 2:
			l.repeated++
			return 2
		}
	case op == proto.ONE_CHAT_ACK:
		if l.acks++; l.acks%12 == 3 && !l.stays {
			l.hungUp++
			return -1
		}
	}
	return 1
}

// did says how often it did each.
func (l *lossy) did() (dropped, repeated, hungUp int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dropped, l.repeated, l.hungUp
}

// tcpFrame reads a frame of a node and its body.
func tcpFrame(r *bufio.Reader) (frame, body []byte, err error) {
	body, err = proto.ReadFrame(r, nil)
	return proto.AppendFrame(nil, body), body, err
}

// webSocketFrame reads a frame of a node, which isn't masked, and its payload.
func webSocketFrame(r *bufio.Reader) (frame, body []byte, err error) {
	head, err := r.Peek(2)
	if err != nil {
		return nil, nil, err
	}
	size, extra := int(head[1]), 0
	switch size {
	case 126:
		extra = 2
	case 127:
		extra = 8
	}
	if head, err = r.Peek(2 + extra); err != nil {
		return nil, nil, err
	}
	switch extra {
	case 2:
		size = int(binary.BigEndian.Uint16(head[2:]))
	case 8:
		size = int(binary.BigEndian.Uint64(head[2:]))
	}
	frame = make([]byte, len(head)+size)
	_, err = io.ReadFull(r, frame)
	return frame, frame[2+extra:], err
}
