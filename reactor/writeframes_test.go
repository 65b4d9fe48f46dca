package reactor

import (
	"strings"
	"testing"

	"chatd/proto"
)

// Frames that connections share arrive unchanged on each of them, in order with what
// else is written to it, in the framing of each connection, and with headers of every
// length. What is written to one connection never shows up on another one.
func TestWriteFrames(t *testing.T) {
	conns := make(chan *Conn, 1)
	r := serve(t, &funcs{request: func(t Turn, c *Conn, r *proto.Request) bool {
		conns <- c
		return true
	}}, func(cfg *Config) { cfg.Loops = 1 })
	texts := []string{"short", strings.Repeat("m", 300), strings.Repeat("l", 70_000), "end"}
	var shared []byte
	for _, text := range texts {
		shared = proto.AppendFrame(shared, sayBody(text))
	}
	original := string(shared)

	type step int
	const (
		all    step = iota // the shared frames
		own                // a frame that only this connection gets
		answer             // a response that only this connection gets
	)
	plans := [][]step{{all}, {all, own}, {own, all}, {all, answer, all}, {answer, all, own, all, all}, {own}, {all}}
	type peer struct {
		*client
		name string
		conn *Conn
		plan []step
		want []string
	}
	var peers []*peer
	for _, ws := range []bool{false, true} {
		for _, plan := range plans {
			p := &peer{plan: plan}
			if p.name = "TCP"; ws {
				p.name = "WebSocket"
				p.client = dialWS(t, r)
				p.raw(text(chat("hello")))
			} else {
				p.client = dial(t, r)
				p.send("%s", chat("hello"))
			}
			p.conn = await(t, conns, "a request")
			peers = append(peers, p)
		}
	}
	gone := dial(t, r)
	gone.send("%s", chat("hello"))
	closed := await(t, conns, "a request")

	onLoop(t, r, 0, func(t Turn) {
		closed.finish(t)
		fs, others := NewFrames(shared[:len(shared)-len(frame(string(sayBody("end"))))], 3), NewFrames(shared, 4)
		closed.WriteFrames(t, fs)
		for i, p := range peers {
			for j, s := range p.plan {
				switch own := strings.Repeat(string(rune('A'+i)), 1+j*100); s {
				case all:
					if j%2 == 0 {
						p.conn.WriteFrames(t, others)
						p.want = append(p.want, texts...)
					} else {
						p.conn.WriteFrames(t, fs)
						p.want = append(p.want, texts[:3]...)
					}
				case answer:
					p.conn.WriteResponse(t, &proto.Response{Op: proto.ERROR, ErrMsg: own})
					p.want = append(p.want, own)
				default:
					say(t, p.conn, own)
					p.want = append(p.want, own)
				}
			}
		}
	})
	for i, p := range peers {
		for _, want := range p.want {
			m := message{Op: proto.ERROR, Text: want}
			if p.name == "TCP" {
				p.client.want(m)
			} else {
				p.wantWS(m)
			}
		}
		if t.Failed() {
			t.Fatalf("connection %d (%s) with the plan %v", i, p.name, p.plan)
		}
	}
	gone.wantEnd()
	if string(shared) != original {
		t.Error("the shared frames were modified")
	}
	onLoop(t, r, 0, func(turn Turn) {
		for i, p := range peers {
			if n := p.conn.BytesUnsent(turn); n != 0 {
				t.Errorf("connection %d: BytesUnsent = %d after its client has read everything, want 0", i, n)
			}
		}
		if n := closed.BytesUnsent(turn); n == 0 {
			t.Error("BytesUnsent = 0 although frames were dropped, want more")
		}
	})
}

// A client that reads slowly gets shared frames completely and in order: what the
// kernel doesn't accept waits, while other connections write the same frames.
func TestWriteFramesToSlowClient(t *testing.T) {
	conns := make(chan *Conn, 1)
	r := serve(t, &funcs{request: func(t Turn, c *Conn, r *proto.Request) bool {
		conns <- c
		return true
	}}, func(cfg *Config) { cfg.Loops, cfg.MaxWaiting, cfg.MaxWaitingAll = 1, 1<<30, 1<<30 })
	slow, quick := dial(t, r), dial(t, r)
	slow.send("%s", chat("hello"))
	slowConn := await(t, conns, "a request")
	quick.send("%s", chat("hello"))
	quickConn := await(t, conns, "a request")
	text := func(i int) string { return strings.Repeat(string(rune('a'+i%26)), 60_000) }
	const batches = 200
	waited := false
	for i := range batches {
		b := proto.AppendFrame(proto.AppendFrame(nil, sayBody(text(i))), sayBody("end"))
		onLoop(t, r, 0, func(t Turn) {
			fs := NewFrames(b, 2)
			slowConn.WriteFrames(t, fs)
			quickConn.WriteFrames(t, fs)
		})
		quick.wantText(text(i))
		quick.wantText("end")
		onLoop(t, r, 0, func(t Turn) { waited = waited || slowConn.BytesUnsent(t) > 0 })
	}
	if !waited {
		t.Error("the kernel accepted everything at once, want some to wait")
	}
	for i := range batches {
		slow.wantText(text(i))
		slow.wantText("end")
	}
}
