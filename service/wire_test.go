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

// obj is a request as a JSON object.
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

// frame is a frame from the server.
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

// number parses the value of a metric.
func number(tb testing.TB, s string) float64 {
	v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil {
		tb.Errorf("metric value %q is not a number", s)
	}
	return v
}

// conv is a conversation as one of its users addresses it.
type conv struct{ peer, group int64 }

func with(peer int64) conv { return conv{peer: peer} }
func in(group int64) conv  { return conv{group: group} }

func (c conv) obj() obj {
	if c.group != 0 {
		return obj{"groupid": c.group}
	}
	return obj{"peer": c.peer}
}

// chat returns a message with a new cid.
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

// wire is a client that speaks the protocol directly. It checks that all frames
// have the fields of the protocol, and that the pushed seqs of each
// conversation rise. It reads only when the test calls a method, and isn't safe
// for concurrent use.
type wire struct {
	tb      testing.TB
	conn    net.Conn
	br      *bufio.Reader
	web     bool // uses WebSocket
	rid     int64
	stash   []frame // frames that were read, but not returned yet
	id      int64   // the user
	welcome frame   // LOGIN_ACK

	pushed map[conv][]int64          // pushed seqs, including offlinemsg, in the order of arrival
	own    map[conv]map[int64]string // from ACKs: the cid of each seq
	bodies map[conv]map[int64]frame  // pushed messages by seq
	floor  map[conv]int64            // set by TestChaos: no seq up to this may be pushed
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

// forget clears the messages of an earlier session.
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

// narrow sets a small receive buffer, so that the kernel doesn't accept much
// for a client that doesn't read.
func (w *wire) narrow() {
	w.tb.Helper()
	if err := w.conn.(*net.TCPConn).SetReadBuffer(16 << 10); err != nil {
		w.fatalf("%v", err)
	}
}

// login connects over TCP and logs in.
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

// pack appends a frame with the given body to dst.
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

// send sends the requests in one write.
func (w *wire) send(reqs ...obj) {
	w.tb.Helper()
	var b []byte
	for _, r := range reqs {
		b = w.pack(b, r.json())
	}
	w.write(b)
}

// body reads the body of the next frame.
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

// read reads and checks the next frame.
func (w *wire) read() (frame, error) {
	w.tb.Helper()
	b, err := w.body()
	if err != nil {
		return nil, err
	}
	if bytes.ContainsAny(b, "\n\t") {
		w.tb.Errorf("the frame %q has a line feed or tab, want compact JSON", b)
	}
	var f frame
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&f); err != nil {
		w.fatalf("decode the frame %q: %v", b, err)
	}
	w.check(f)
	return f, nil
}

// check checks the fields of a frame, and records its messages.
func (w *wire) check(f frame) {
	w.tb.Helper()
	if err := shapeError(f); err != nil {
		w.tb.Errorf("user %d got an invalid frame: %v: %v", w.id, err, f)
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
				w.tb.Errorf("offlinemsg has %d messages and %d bytes, want at most %d and %d", n, size, proto.MaxOffline, proto.MaxOfflineBytes)
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
				w.tb.Errorf("user %d: the ACK %v has the same seq as the one for cid %s", w.id, f, cid)
			}
			w.own[c][f.int("seq")] = f.str("cid")
		}
	}
}

// convOf returns the conversation of a pushed message.
func (w *wire) convOf(m frame) conv {
	c := conv{m.int("toid"), m.int("groupid")}
	if c.group == 0 && m.int("id") != w.id {
		c.peer = m.int("id")
	}
	return c
}

// push records a pushed message, and checks that it comes after all earlier
// ones.
func (w *wire) push(m frame) {
	w.tb.Helper()
	c, seq := w.convOf(m), m.int("seq")
	if c.group == 0 && m.int("id") != w.id && m.int("toid") != w.id {
		w.tb.Errorf("user %d got %v, want only messages from or to them", w.id, m)
	}
	before := w.pushed[c]
	if len(before) > 0 && before[len(before)-1] >= seq {
		w.tb.Errorf("user %d: seq %d was pushed after seq %d, want them to rise: %v", w.id, seq, before[len(before)-1], m)
	}
	w.pushed[c] = append(before, seq)
	if w.bodies[c] == nil {
		w.bodies[c] = make(map[int64]frame)
	}
	w.bodies[c][seq] = m
}

// await returns the first frame for which ok returns true. Others stay in the
// stash.
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
			w.fatalf("waiting for %s: %v; other frames: %v", what, err, w.stash)
		}
		if ok(f) {
			return f
		}
		w.stash = append(w.stash, f)
	}
}

// next returns the next frame.
func (w *wire) next() frame {
	w.tb.Helper()
	return w.await("any frame", func(frame) bool { return true })
}

// op returns the next frame with this op.
func (w *wire) op(op proto.Op) frame {
	w.tb.Helper()
	return w.await(op.String(), func(f frame) bool { return f.op() == op })
}

// answer returns the answer with this rid.
func (w *wire) answer(rid int64) frame {
	w.tb.Helper()
	return w.await(fmt.Sprint("the answer to ", rid), func(f frame) bool { return f.has("rid") && f.int("rid") == rid })
}

// ask sends a request with a new rid.
func (w *wire) ask(r obj) (rid int64) {
	w.tb.Helper()
	w.rid++
	w.send(r.with(obj{"rid": w.rid}))
	return w.rid
}

// call sends a request and returns its answer.
func (w *wire) call(r obj) frame {
	w.tb.Helper()
	f := w.answer(w.ask(r))
	if want := r["msgid"].(proto.Op).Ack(); f.op() != want && f.op() != proto.ERROR {
		w.fatalf("%v got %v, want op %v or ERROR", r, f, want)
	}
	return f
}

// ok is like call, but the request must succeed.
func (w *wire) ok(r obj) frame {
	w.tb.Helper()
	f := w.call(r)
	if f.int("errno") != 0 {
		w.fatalf("%s got %v, want errno 0", r.json(), f)
	}
	return f
}

// refused is like call, but the answer must have this errno.
func (w *wire) refused(errno proto.Errno, r obj) frame {
	w.tb.Helper()
	f := w.call(r)
	if proto.Errno(f.int("errno")) != errno {
		w.fatalf("%s got %v, want errno %d", r.json(), f, errno)
	}
	return f
}

// say sends a message and returns its seq.
func (w *wire) say(c conv, text string) int64 {
	w.tb.Helper()
	return w.ok(c.chat(text)).int("seq")
}

// barrier makes a request and reads until its answer, including everything that
// the server has sent before. PING wouldn't do: it overtakes other requests.
func (w *wire) barrier() {
	w.tb.Helper()
	w.ok(obj{"msgid": proto.FIND_USER, "userid": w.id})
}

// upTo reads until a message with at least this seq was pushed, or seq was
// acknowledged.
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

// has reads until all seqs from first to last were pushed or acknowledged. It
// fails if any other seq was pushed.
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
			w.fatalf("seq %d of %v was pushed, want only %d to %d", seq, c, first, last)
		}
	}
}

// nothing fails the test if a frame with this op has been read. It doesn't read.
func (w *wire) nothing(op proto.Op) {
	w.tb.Helper()
	for _, f := range w.stash {
		if f.op() == op {
			w.fatalf("got %v, want no %v", f, op)
		}
	}
}

// close closes the connection.
func (w *wire) close() {
	w.tb.Helper()
	if err := w.conn.Close(); err != nil {
		w.fatalf("close: %v", err)
	}
}

// kicked reads until the server closes the connection. It returns the last
// frame if that is a KICK, and otherwise nil.
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

// history reads a whole conversation with SYNC, and checks that it has no gap.
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
				w.fatalf("the log of %v has seq %d after seq %d, want no gap", c, m.int("seq"), after)
			}
			after = m.int("seq")
		}
		all = append(all, ms...)
		if !f.bool("more") {
			if after != f.int("last") && len(all) > 0 {
				w.fatalf("the log of %v ends with seq %d, want %d as in last", c, after, f.int("last"))
			}
			return all
		}
	}
}
