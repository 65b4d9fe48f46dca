package reactor

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"chatd/proto"
)

// A frame that arrives byte by byte is handled as one frame.
func TestSplitFrames(t *testing.T) {
	c := dial(t, serve(t, &funcs{}))
	for i := range 3 {
		text := fmt.Sprint("split ", i)
		for _, b := range frame(chat(text)) {
			c.raw([]byte{b})
		}
		c.wantText(text)
	}
}

// A thousand frames in one write are all handled, in order.
func TestMergedFrames(t *testing.T) {
	c := dial(t, serve(t, &funcs{}))
	var all []byte
	for i := range 1000 {
		all = append(all, frame(chat(fmt.Sprint("merged ", i)))...)
	}
	c.raw(all)
	for i := range 1000 {
		c.wantText(fmt.Sprint("merged ", i))
	}
}

// filled returns the body, of exactly n bytes, of a request that the echo answers
// with text.
func filled(text string, n int) string {
	b := chat(text)
	return b[:len(b)-1] + `,"x":"` + strings.Repeat("x", n-len(b)-len(`,"x":""`)) + `"}`
}

// A frame of the maximum size is accepted, in one piece and in two, and so is the
// frame after it.
func TestLargestFrame(t *testing.T) {
	c := dial(t, serve(t, &funcs{}))
	f := frame(filled("large", proto.MaxRequest))
	if len(f) != proto.HeaderSize+proto.MaxRequest {
		t.Fatalf("the test's frame has %d bytes, want %d", len(f), proto.HeaderSize+proto.MaxRequest)
	}
	c.raw(f)
	c.wantText("large")
	c.raw(f[:40_000])
	c.raw(append(f[40_000:], frame(`{"msgid":18}`)...))
	c.wantText("large")
	c.want(message{Op: proto.PONG})
}

// A bad length is answered at once, without waiting for a body. The connection is
// closed gracefully: the answer arrives even if the client has sent more.
func TestBadLengths(t *testing.T) {
	r := serve(t, &funcs{})
	for _, n := range []uint32{0, proto.MaxRequest + 1, 1 << 31, 1<<32 - 1, 0x47455421 /* "GET!" */, 0x47000000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			for _, more := range []int{0, 100_000} {
				c := dial(t, r)
				c.send("%s", chat("before"))
				c.raw(append(binary.BigEndian.AppendUint32(nil, n), make([]byte, more)...))
				c.wantText("before")
				c.want(message{Op: proto.ERROR, Errno: proto.BadLength, Text: "*"})
				c.wantEnd()
			}
			c := dial(t, r)
			c.raw(binary.BigEndian.AppendUint32(nil, n))
			c.want(message{Op: proto.ERROR, Errno: proto.BadLength, Text: "*"})
			c.wantEnd()
		})
	}
}

// A bad frame is answered with its rid, and the connection stays open. Ten in a row
// end it; nine and a good one don't. A frame with an unknown msgid isn't bad.
func TestBadFrames(t *testing.T) {
	r := serve(t, &funcs{})
	bad := message{Op: proto.ERROR, Errno: proto.BadRequest, Text: "*"}
	c := dial(t, r)
	c.send(`{"rid":7}`)
	withRID := bad
	withRID.RID = 7
	c.want(withRID)
	for range 8 {
		c.send(`{`)
		c.want(bad)
	}
	c.send("%s", chat("good"))
	c.wantText("good")
	for range 20 {
		c.send(`{"msgid":4711,"rid":8}`)
		c.want(message{Op: proto.ERROR, Errno: proto.UnknownOp, RID: 8, Text: "*"})
	}
	for range 10 {
		c.send("\xff\xfe")
		c.want(bad)
	}
	c.want(message{Op: proto.KICK, Reason: proto.Abuse, Text: "*"})
	c.wantEnd()
}

// Bad frames of one client don't affect other clients.
func TestBadFramesHitOneConnection(t *testing.T) {
	r := serve(t, &funcs{})
	var good []*client
	for range 4 {
		good = append(good, dial(t, r))
	}
	for i := range 20 {
		bad := dial(t, r)
		bad.raw([]byte{0, 0, 0, byte(i), 0xff, 0, 0, 0, 0})
		for n, c := range good {
			text := fmt.Sprint(i, " ", n)
			c.send("%s", chat(text))
			c.wantText(text)
		}
		bad.Close()
	}
}

// The reactor answers PING with its rid, and ignores PONG.
func TestPing(t *testing.T) {
	c := dial(t, serve(t, &funcs{request: func(t Turn, c *Conn, r *proto.Request) bool {
		say(t, c, "to the handler: "+r.Op.String())
		return true
	}}))
	c.send(`{"msgid":19}`)
	c.send(`{"msgid":18,"rid":5}`)
	c.want(message{Op: proto.PONG, RID: 5})
	c.send(`{"msgid":18}`)
	c.want(message{Op: proto.PONG})
}
