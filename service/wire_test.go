package service_test

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"chatd/proto"
)

// obj is a request, as JSON.
type obj map[string]any

func (o obj) with(more ...obj) obj {
	o = maps.Clone(o)
	for _, m := range more {
		maps.Copy(o, m)
	}
	return o
}

func (o obj) json() []byte {
	b, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	return b
}

// frame is what a server sent.
type frame map[string]any

func (f frame) op() proto.Op       { return proto.Op(f.int("msgid")) }
func (f frame) has(k string) bool  { _, ok := f[k]; return ok }
func (f frame) bool(k string) bool { b, _ := f[k].(bool); return b }
func (f frame) str(k string) string {
	s, _ := f[k].(string)
	return s
}

func (f frame) int(k string) int64 {
	n, _ := f[k].(json.Number)
	v, _ := strconv.ParseInt(string(n), 10, 64)
	return v
}

func (f frame) list(k string) []frame {
	l, _ := f[k].([]any)
	fs := make([]frame, len(l))
	for i := range l {
		m, _ := l[i].(map[string]any)
		fs[i] = m
	}
	return fs
}

func (f frame) obj(k string) frame { m, _ := f[k].(map[string]any); return m }

func (f frame) String() string {
	b, _ := json.Marshal(map[string]any(f))
	if len(b) > 600 {
		b = append(b[:600], "…"...)
	}
	return proto.Op(f.int("msgid")).String() + " " + string(b)
}

// number reads a number as a metric has it.
func number(tb testing.TB, s string) float64 {
	v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil {
		tb.Errorf("%q is no number", s)
	}
	return v
}

// conv is a conversation as one of its users names it.
type conv struct{ peer, group int64 }

func with(peer int64) conv { return conv{peer: peer} }
func in(group int64) conv  { return conv{group: group} }

func (c conv) obj() obj {
	if c.group != 0 {
		return obj{"groupid": c.group}
	}
	return obj{"peer": c.peer}
}

// chat is a message with a new cid.
func (c conv) chat(text string) obj { return c.chatID(text, rand.Text()) }

func (c conv) chatID(text, cid string) obj {
	if c.group != 0 {
		return obj{"msgid": proto.GROUP_CHAT, "groupid": c.group, "msg": text, "cid": cid}
	}
	return obj{"msgid": proto.ONE_CHAT, "toid": c.peer, "msg": text, "cid": cid}
}

func (c conv) sync(more ...obj) obj { return obj{"msgid": proto.SYNC}.with(c.obj()).with(more...) }

func (c conv) receipt(seq int64, more ...obj) obj {
	return obj{"msgid": proto.RECEIPT, "seq": seq}.with(c.obj()).with(more...)
}

func (c conv) event(event string) obj {
	if c.group != 0 {
		return obj{"msgid": proto.EVENT, "groupid": c.group, "event": event}
	}
	return obj{"msgid": proto.EVENT, "toid": c.peer, "event": event}
}

// wire is a client that knows nothing but the protocol. All that it reads it
// holds against the protocol's table of fields, and the pushes of each
// conversation against the law that they rise. One goroutine uses it, and
// nothing is read but when the test asks.
type wire struct {
	tb      testing.TB
	conn    net.Conn
	br      *bufio.Reader
	web     bool // speaks WebSocket
	rid     int64
	stash   []frame // read and not yet asked for
	id      int64   // logged in as
	welcome frame   // LOGIN_ACK

	pushed map[conv][]int64          // seqs in the order in which they came, offline ones included
	own    map[conv]map[int64]string // acknowledged to this connection: the cid of each seq
	bodies map[conv]map[int64]frame  // what was pushed
	floor  map[conv]int64            // nothing up to it may be pushed; for the test to set
}

// dial connects over TCP.
func (n *node) dial() *wire {
	n.tb.Helper()
	return newWire(n.tb, n.addr)
}

func newWire(tb testing.TB, addr string) *wire {
	tb.Helper()
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	w := &wire{tb: tb, conn: c, br: bufio.NewReaderSize(c, 4<<10)}
	w.forget()
	return w
}

// forget starts a new view, for a new session on the same connection.
func (w *wire) forget() {
	w.pushed, w.own = make(map[conv][]int64), make(map[conv]map[int64]string)
	w.bodies = make(map[conv]map[int64]frame)
}

// dialWeb connects over WebSocket.
func (n *node) dialWeb() *wire {
	n.tb.Helper()
	w := n.dial()
	w.web = true
	w.write([]byte("GET /ws HTTP/1.1\r\nHost: " + n.addr + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"))
	for i := 0; ; i++ {
		line, err := w.br.ReadString('\n')
		if err != nil || i == 0 && !strings.Contains(line, " 101 ") {
			n.tb.Fatalf("WebSocket handshake: %q, %v", line, err)
		}
		if line == "\r\n" {
			return w
		}
	}
}

// narrow keeps the kernel from taking much for a client that doesn't read.
func (w *wire) narrow() {
	w.tb.Helper()
	if err := w.conn.(*net.TCPConn).SetReadBuffer(16 << 10); err != nil {
		w.fatalf("%v", err)
	}
}

// login connects and logs in, over TCP.
func (n *node) login(id int64, more ...obj) *wire {
	n.tb.Helper()
	w := n.dial()
	w.login(id, more...)
	return w
}

func (w *wire) login(id int64, more ...obj) frame {
	w.tb.Helper()
	return w.ok(obj{"msgid": proto.LOGIN, "id": id, "password": secret}.with(more...))
}

func (w *wire) fatalf(format string, args ...any) {
	w.tb.Helper()
	w.tb.Fatalf("user %d: "+format, append([]any{w.id}, args...)...)
}

func (w *wire) write(p []byte) {
	w.tb.Helper()
	if err := w.conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		w.fatalf("%v", err)
	}
	if _, err := w.conn.Write(p); err != nil {
		w.fatalf("write: %v", err)
	}
}

// pack makes a frame of the wire's framing.
func (w *wire) pack(dst, body []byte) []byte {
	if !w.web {
		return proto.AppendFrame(dst, body)
	}
	dst = append(dst, 0x81) // text, the only fragment
	switch n := len(body); {
	case n < 126:
		dst = append(dst, 0x80|byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, 0x80|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 0x80|127), uint64(n))
	}
	mask := [4]byte{1, 2, 3, 4}
	dst = append(dst, mask[:]...)
	for i, b := range body {
		dst = append(dst, b^mask[i%4])
	}
	return dst
}

// send sends requests in one write.
func (w *wire) send(reqs ...obj) {
	w.tb.Helper()
	var b []byte
	for _, r := range reqs {
		b = w.pack(b, r.json())
	}
	w.write(b)
}

// body reads one frame's body.
func (w *wire) body() ([]byte, error) {
	if err := w.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	if !w.web {
		return proto.ReadFrame(w.br, nil)
	}
	var head [2]byte
	if _, err := io.ReadFull(w.br, head[:]); err != nil {
		return nil, err
	}
	n := uint64(head[1])
	switch ext := [8]byte{}; n {
	case 126:
		if _, err := io.ReadFull(w.br, ext[:2]); err != nil {
			return nil, err
		}
		n = uint64(binary.BigEndian.Uint16(ext[:2]))
	case 127:
		if _, err := io.ReadFull(w.br, ext[:]); err != nil {
			return nil, err
		}
		n = binary.BigEndian.Uint64(ext[:])
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(w.br, b); err != nil {
		return nil, err
	}
	switch head[0] {
	case 0x81:
		return b, nil
	case 0x88:
		return nil, io.EOF
	}
	return nil, fmt.Errorf("WebSocket frame %#x", head[0])
}

// read takes the next frame off the connection.
func (w *wire) read() (frame, error) {
	w.tb.Helper()
	b, err := w.body()
	if err != nil {
		return nil, err
	}
	if bytes.ContainsAny(b, "\n\t") {
		w.tb.Errorf("a server's frame has blanks: %q", b)
	}
	var f frame
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&f); err != nil {
		w.fatalf("a server's frame %q: %v", b, err)
	}
	w.check(f)
	return f, nil
}

// check holds a frame against the protocol, whatever the test is about.
func (w *wire) check(f frame) {
	w.tb.Helper()
	if err := shapeError(f); err != nil {
		w.tb.Errorf("user %d: %v: %v", w.id, err, f)
	}
	switch f.op() {
	case proto.LOGIN_ACK:
		if f.int("errno") == 0 {
			w.id, w.welcome = f.int("id"), f
			w.forget()
			size := 0
			for _, m := range f.list("offlinemsg") {
				b, _ := json.Marshal(map[string]any(m))
				size += len(b)
				w.push(m)
			}
			if n := len(f.list("offlinemsg")); n > proto.MaxOffline || size > proto.MaxOfflineBytes {
				w.tb.Errorf("offlinemsg has %d messages, %d bytes", n, size)
			}
		}
	case proto.ONE_CHAT, proto.GROUP_CHAT:
		w.push(f)
	case proto.ONE_CHAT_ACK, proto.GROUP_CHAT_ACK:
		if f.int("errno") == 0 {
			c := conv{f.int("toid"), f.int("groupid")}
			if w.own[c] == nil {
				w.own[c] = make(map[int64]string)
			}
			if cid, ok := w.own[c][f.int("seq")]; ok && cid != f.str("cid") {
				w.tb.Errorf("user %d: two cids were given one seq: %s and %v", w.id, cid, f)
			}
			w.own[c][f.int("seq")] = f.str("cid")
		}
	}
}

// convOf is the conversation of a pushed message, as this user names it.
func (w *wire) convOf(m frame) conv {
	c := conv{m.int("toid"), m.int("groupid")}
	if c.group == 0 && m.int("id") != w.id {
		c.peer = m.int("id")
	}
	return c
}

// push holds a message against what was pushed before it.
func (w *wire) push(m frame) {
	w.tb.Helper()
	c, seq := w.convOf(m), m.int("seq")
	if c.group == 0 && m.int("id") != w.id && m.int("toid") != w.id {
		w.tb.Errorf("user %d got what is said between others: %v", w.id, m)
	}
	before := w.pushed[c]
	if len(before) > 0 && before[len(before)-1] >= seq {
		w.tb.Errorf("user %d: seq %d came after %d: %v", w.id, seq, before[len(before)-1], m)
	}
	w.pushed[c] = append(before, seq)
	if w.bodies[c] == nil {
		w.bodies[c] = make(map[int64]frame)
	}
	w.bodies[c][seq] = m
}

// await gives the first frame, read before or still to come, that ok takes.
// All others stay.
func (w *wire) await(what string, ok func(frame) bool) frame {
	w.tb.Helper()
	for i, f := range w.stash {
		if ok(f) {
			w.stash = slices.Delete(w.stash, i, i+1)
			return f
		}
	}
	for {
		f, err := w.read()
		if err != nil {
			w.fatalf("waiting for %s: %v; frames nobody asked for: %v", what, err, w.stash)
		}
		if ok(f) {
			return f
		}
		w.stash = append(w.stash, f)
	}
}

// next gives the next frame, read before or not.
func (w *wire) next() frame {
	w.tb.Helper()
	return w.await("any frame", func(frame) bool { return true })
}

// op gives the next frame of an op.
func (w *wire) op(op proto.Op) frame {
	w.tb.Helper()
	return w.await(op.String(), func(f frame) bool { return f.op() == op })
}

// answer gives the answer with this rid.
func (w *wire) answer(rid int64) frame {
	w.tb.Helper()
	return w.await(fmt.Sprint("the answer to ", rid), func(f frame) bool { return f.has("rid") && f.int("rid") == rid })
}

// ask sends a request with a rid of its own.
func (w *wire) ask(r obj) (rid int64) {
	w.tb.Helper()
	w.rid++
	w.send(r.with(obj{"rid": w.rid}))
	return w.rid
}

// call sends a request and gives its answer.
func (w *wire) call(r obj) frame {
	w.tb.Helper()
	f := w.answer(w.ask(r))
	if want := r["msgid"].(proto.Op).Ack(); f.op() != want && f.op() != proto.ERROR {
		w.fatalf("%v was answered with %v", r, f)
	}
	return f
}

// ok is call for what must succeed.
func (w *wire) ok(r obj) frame {
	w.tb.Helper()
	f := w.call(r)
	if f.int("errno") != 0 {
		w.fatalf("%s got %v", r.json(), f)
	}
	return f
}

// refused is call for what must not.
func (w *wire) refused(errno proto.Errno, r obj) frame {
	w.tb.Helper()
	f := w.call(r)
	if proto.Errno(f.int("errno")) != errno {
		w.fatalf("%s got %v, want errno %d", r.json(), f, errno)
	}
	return f
}

// say stores a message and gives its seq.
func (w *wire) say(c conv, text string) int64 {
	w.tb.Helper()
	return w.ok(c.chat(text)).int("seq")
}

// barrier returns once all that the server had sent this connection before
// it answered is read. (PING would overtake what waits for the store.)
func (w *wire) barrier() {
	w.tb.Helper()
	w.ok(obj{"msgid": proto.FIND_USER, "userid": w.id})
}

// upTo reads until the conversation has come up to seq.
func (w *wire) upTo(c conv, seq int64) {
	w.tb.Helper()
	for {
		if p := w.pushed[c]; len(p) > 0 && p[len(p)-1] >= seq {
			return
		}
		if _, ok := w.own[c][seq]; ok {
			return
		}
		f, err := w.read()
		if err != nil {
			w.fatalf("waiting for seq %d of %v: %v; has %v", seq, c, err, w.pushed[c])
		}
		w.stash = append(w.stash, f)
	}
}

// has reads until all of first to last has come, pushed or acknowledged, and
// fails where anything else has.
func (w *wire) has(c conv, first, last int64) {
	w.tb.Helper()
	for seq := first; seq <= last; seq++ {
		for {
			if _, own := w.own[c][seq]; own {
				break
			}
			if _, ok := slices.BinarySearch(w.pushed[c], seq); ok {
				break
			}
			f, err := w.read()
			if err != nil {
				w.fatalf("waiting for seq %d of %v: %v; has %v", seq, c, err, w.pushed[c])
			}
			w.stash = append(w.stash, f)
		}
	}
	for _, seq := range w.pushed[c] {
		if seq < first || seq > last {
			w.fatalf("seq %d of %v is none of %d to %d", seq, c, first, last)
		}
	}
}

// nothing fails if there is a frame of the op among those read.
func (w *wire) nothing(op proto.Op) {
	w.tb.Helper()
	for _, f := range w.stash {
		if f.op() == op {
			w.fatalf("got %v", f)
		}
	}
}

// close ends the connection as a client does that has read all it was sent.
func (w *wire) close() {
	w.tb.Helper()
	if err := w.conn.Close(); err != nil {
		w.fatalf("close: %v", err)
	}
}

// kicked reads to the end of the connection and gives the KICK at it, nil if
// there was none.
func (w *wire) kicked() frame {
	w.tb.Helper()
	all := w.stash
	w.stash = nil
	for {
		f, err := w.read()
		if err == nil {
			all = append(all, f)
			continue
		}
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		w.fatalf("waiting for the end of the connection: %v", err)
	}
	w.stash = all
	if len(all) > 0 && all[len(all)-1].op() == proto.KICK {
		return all[len(all)-1]
	}
	return nil
}

// history reads all of a conversation's log with SYNC.
func (w *wire) history(c conv) []frame {
	w.tb.Helper()
	var all []frame
	for after := int64(0); ; {
		f := w.ok(c.sync(obj{"after": after, "limit": proto.MaxSyncMessages}))
		ms := f.list("messages")
		for _, m := range ms {
			if after == 0 {
				after = f.int("first") - 1
			}
			if m.int("seq") != after+1 {
				w.fatalf("the log of %v has %d after %d", c, m.int("seq"), after)
			}
			after = m.int("seq")
		}
		all = append(all, ms...)
		if !f.bool("more") {
			if after != f.int("last") && len(all) > 0 {
				w.fatalf("the log of %v ends with %d, last is %d", c, after, f.int("last"))
			}
			return all
		}
	}
}
