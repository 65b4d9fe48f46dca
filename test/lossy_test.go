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

// lossy is a proxy between a client and a node that causes the faults that clients
// must tolerate: it drops pushes, repeats others, and cuts the connection instead of
// forwarding some acknowledgements.
type lossy struct {
	addr string // address of the proxy
	node string // address of the node

	mu                        sync.Mutex
	mended, stays             bool // see mend and stay
	pushes, acks              int  // frames so far
	dropped, repeated, hungUp int  // faults so far
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

// serve connects a client to the node until one of them disconnects or the proxy cuts
// the connection.
func (l *lossy) serve(client net.Conn) {
	defer client.Close()
	node, err := net.Dial("tcp", l.node)
	if err != nil {
		return // the node is restarting
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

// pass forwards what the node sends, and causes the faults.
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
		// Frames that aren't messages, such as a WebSocket's close, are forwarded.
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

// mend makes the proxy cause no more faults.
func (l *lossy) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mended = true
}

// stay makes the proxy never cut a connection.
func (l *lossy) stay() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stays = true
}

// times returns how many times to forward a message, or -1 to cut the connection.
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

// did returns how many faults of each kind the proxy has caused.
func (l *lossy) did() (dropped, repeated, hungUp int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dropped, l.repeated, l.hungUp
}

// tcpFrame reads a frame from a node and returns it with its body.
func tcpFrame(r *bufio.Reader) (frame, body []byte, err error) {
	body, err = proto.ReadFrame(r, nil)
	return proto.AppendFrame(nil, body), body, err
}

// webSocketFrame reads a WebSocket frame from a node, which isn't masked, and returns
// it with its payload.
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
