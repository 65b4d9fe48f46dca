package test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"chatd/proto"
)

// raw is a client that knows only the wire: what the SDK would hide (repeats,
// retries, what was lost) shows.
type raw struct {
	t    *testing.T
	conn net.Conn
	br   *bufio.Reader
	acks map[string]answer // of each cid
	got  map[int64]string  // pushed: the text of each seq
	high int64             // the last that was pushed on this connection
	kick *answer
}

// answer is what a server sends, as far as these tests look at it.
type answer struct {
	Op      proto.Op     `json:"msgid"`
	Errno   int          `json:"errno"`
	Reason  string       `json:"reason"`
	Retry   int64        `json:"retry_after_ms"`
	ID      int64        `json:"id"`
	GroupID int64        `json:"groupid"`
	Token   string       `json:"token"`
	Seq     int64        `json:"seq"`
	Time    int64        `json:"time"`
	CID     string       `json:"cid"`
	Msg     string       `json:"msg"`
	Last    int64        `json:"last"`
	More    bool         `json:"more"`
	Offline []proto.Chat `json:"offlinemsg"`
	Message []proto.Chat `json:"messages"`
}

func dialRaw(t *testing.T, addr string) *raw {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &raw{t: t, conn: c, br: bufio.NewReader(c), acks: make(map[string]answer), got: make(map[int64]string)}
}

// send writes requests in one segment; an error is the server's end.
func (w *raw) send(reqs ...*proto.Request) error {
	var b []byte
	for _, r := range reqs {
		b = proto.AppendFrame(b, proto.AppendRequest(nil, r))
	}
	_, err := w.conn.Write(b)
	return err
}

// read takes one frame, and notes ACKs and pushes of the one conversation.
func (w *raw) read() (answer, error) {
	w.t.Helper()
	if err := w.conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		return answer{}, err
	}
	b, err := proto.ReadFrame(w.br, nil)
	if err != nil {
		return answer{}, err
	}
	var a answer
	if err := json.Unmarshal(b, &a); err != nil {
		w.t.Fatalf("%s: %v", b, err)
	}
	switch a.Op {
	case proto.GROUP_CHAT_ACK:
		w.acks[a.CID] = a
	case proto.GROUP_CHAT:
		w.push(a.Seq, a.Msg)
	case proto.LOGIN_ACK:
		for _, m := range a.Offline {
			w.push(m.Seq, m.Msg)
		}
	case proto.KICK:
		w.kick = &a
	}
	return a, nil
}

func (w *raw) push(seq int64, text string) {
	w.t.Helper()
	if seq <= w.high || w.high != 0 && seq != w.high+1 {
		w.t.Errorf("seq %d came after %d", seq, w.high)
	}
	w.got[seq], w.high = text, seq
}

// call sends a request and reads up to its answer.
func (w *raw) call(r *proto.Request) answer {
	w.t.Helper()
	if err := w.send(r); err != nil {
		w.t.Fatal(err)
	}
	for {
		a, err := w.read()
		if err != nil {
			w.t.Fatalf("%v: %v", r.Op, err)
		}
		if a.Op == r.Op.Ack() {
			if a.Errno != 0 {
				w.t.Fatalf("%v: errno %d", r.Op, a.Errno)
			}
			return a
		}
	}
}

// drainAll reads to the end of the connection.
func (w *raw) drainAll() {
	w.t.Helper()
	for {
		if _, err := w.read(); err != nil {
			if e, ok := err.(net.Error); ok && e.Timeout() {
				w.t.Fatal("the connection doesn't end")
			}
			return
		}
	}
}

// log reads the group's log, whose seqs must be gapless.
func (w *raw) log(group int64) (cids []string) {
	w.t.Helper()
	for {
		a := w.call(&proto.Request{Op: proto.SYNC, GroupID: group, After: int64(len(cids)), Fields: 1 << proto.FAfter, Limit: 200})
		for _, m := range a.Message {
			if m.Seq != int64(len(cids)+1) {
				w.t.Fatalf("the log has %d where %d should be", m.Seq, len(cids)+1)
			}
			cids = append(cids, m.CID)
		}
		if !a.More {
			return cids
		}
	}
}

func (w *raw) account(name string) (id int64) {
	w.t.Helper()
	w.call(&proto.Request{Op: proto.REG, Name: name, Password: "secret 1"})
	return w.call(&proto.Request{Op: proto.LOGIN, Name: name, Password: "secret 1", Ack: true}).ID
}

func (w *raw) login(name string) {
	w.t.Helper()
	w.call(&proto.Request{Op: proto.LOGIN, Name: name, Password: "secret 1", Ack: true, Brief: true})
}

// nodeArgs starts a node on one file in the test's folder, and again there.
func startNode(t *testing.T, dir string) (d *process, addr string) {
	t.Helper()
	d = startDaemon(t, dir, "127.0.0.1", "0", "--http=", "--db", "sqlite:chat.db", "--argon2", "8,1,1", "--no-limits")
	return d, d.until(t, `chatd serves.* address=(\S+)`)
}

func groupChat(group int64, text string, retry bool) *proto.Request {
	return &proto.Request{Op: proto.GROUP_CHAT, GroupID: group, Msg: []byte(text), CID: []byte("cid " + text), Retry: retry}
}

// After kill -9 in the middle of traffic every acknowledged message is there,
// at its seq; the log has no gap; a repeat of what was acknowledged gets the
// same seq and time; a device with receipts is sent all after its last one,
// in order, and so has everything exactly once.
func TestKillNine(t *testing.T) {
	dir := t.TempDir()
	d, addr := startNode(t, dir)
	a, b := dialRaw(t, addr), dialRaw(t, addr)
	a.account("anna")
	b.account("berta")
	group := a.call(&proto.Request{Op: proto.CREATE_GROUP, GroupName: "group"}).GroupID
	b.call(&proto.Request{Op: proto.ADD_GROUP, GroupID: group})

	acked := make(map[string]answer)
	seen := make(map[int64]string)
	receipt, count := int64(0), 0
	var open []string // sent and not acknowledged
	for round := range 4 {
		// What is unsure goes first, then new ones, until some have come back.
		for range 2 {
			var reqs []*proto.Request
			for _, text := range open {
				reqs = append(reqs, groupChat(group, text, true))
			}
			for range 150 {
				count++
				text := fmt.Sprint("message ", count)
				open = append(open, text)
				reqs = append(reqs, groupChat(group, text, false))
			}
			if err := a.send(reqs...); err != nil {
				t.Fatal(err)
			}
			for n := 40 + 25*round; len(a.acks) < n; {
				if _, err := a.read(); err != nil {
					t.Fatal(err)
				}
			}
		}
		for b.high < receipt+20 {
			if _, err := b.read(); err != nil {
				t.Fatal(err)
			}
		}
		maps.Copy(seen, b.got)
		receipt = b.high - 5
		if err := b.send(&proto.Request{Op: proto.RECEIPT, GroupID: group, Seq: receipt}); err != nil {
			t.Fatal(err)
		}
		if err := d.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		a.drainAll()
		b.drainAll()
		d.exit(t)
		for cid, ack := range a.acks {
			if before, ok := acked[cid]; ok && (before.Seq != ack.Seq || before.Time != ack.Time) {
				t.Errorf("%s was acknowledged as %d and %d", cid, before.Seq, ack.Seq)
			}
			if ack.Errno != 0 {
				t.Errorf("%s got errno %d", cid, ack.Errno)
			}
			acked[cid] = ack
		}
		maps.Copy(seen, b.got)

		d, addr = startNode(t, dir)
		a, b = dialRaw(t, addr), dialRaw(t, addr)
		a.login("anna")
		log := a.log(group)
		for cid, ack := range acked {
			if int64(len(log)) < ack.Seq || log[ack.Seq-1] != cid {
				t.Fatalf("round %d: %s was acknowledged as %d and isn't there", round, cid, ack.Seq)
			}
			if again := a.call(groupChat(group, strings.TrimPrefix(cid, "cid "), true)); again.Seq != ack.Seq || again.Time != ack.Time {
				t.Errorf("a repeat of %s got %d, first %d", cid, again.Seq, ack.Seq)
			}
		}
		a.acks = make(map[string]answer)
		open = slices.DeleteFunc(open, func(text string) bool { _, ok := acked["cid "+text]; return ok })
		b.login("berta")
		for b.high < int64(len(log)) {
			if _, err := b.read(); err != nil {
				t.Fatal(err)
			}
		}
		for seq, text := range b.got {
			if before, ok := seen[seq]; ok && before != text {
				t.Errorf("seq %d was %q and is %q", seq, before, text)
			}
			seen[seq] = text
		}
		for i, cid := range log {
			if "cid "+seen[int64(i+1)] != cid {
				t.Errorf("berta has %q at %d, the log %s", seen[int64(i+1)], i+1, cid)
			}
		}
	}
	seqs := make(map[string]bool)
	for _, cid := range a.log(group) {
		if seqs[cid] {
			t.Errorf("%s is stored twice", cid)
		}
		seqs[cid] = true
	}
}

// SIGTERM in the middle of traffic: what was accepted is stored and answered,
// nothing else is stored, every client is told to come back and when, and the
// process exits with 0.
func TestDrain(t *testing.T) {
	dir := t.TempDir()
	d, addr := startNode(t, dir)
	a, idle, stranger := dialRaw(t, addr), dialRaw(t, addr), dialRaw(t, addr)
	a.account("anna")
	idle.account("berta")
	stranger.call(&proto.Request{Op: proto.PING})
	group := a.call(&proto.Request{Op: proto.CREATE_GROUP, GroupName: "group"}).GroupID
	idle.call(&proto.Request{Op: proto.ADD_GROUP, GroupID: group})
	var reqs []*proto.Request
	for i := range 3000 {
		reqs = append(reqs, groupChat(group, fmt.Sprint("message ", i), false))
	}
	if err := a.send(reqs...); err != nil {
		t.Fatal(err)
	}
	for len(a.acks) == 0 {
		if _, err := a.read(); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for _, w := range []*raw{a, idle, stranger} {
		w.drainAll()
		if w.kick == nil || w.kick.Reason != proto.Draining || w.kick.Retry <= 0 {
			t.Errorf("the last word is %+v", w.kick)
		}
	}
	if code, log := d.exit(t); code != exitDone {
		t.Errorf("exit code %d\n%s", code, log)
	}
	_, addr = startNode(t, dir)
	acks := a.acks
	a = dialRaw(t, addr)
	a.login("anna")
	log := a.log(group)
	for i, cid := range log {
		if ack := acks[cid]; ack.Seq != int64(i+1) {
			t.Errorf("%s is stored as %d, the answer was %+v", cid, i+1, ack)
		}
	}
	if len(log) != len(acks) {
		t.Errorf("%d are stored, %d were acknowledged", len(log), len(acks))
	}
}

// A store that can't be used is an error that names it and says why, told
// once, with exit code 1; and it is left as it is.
func TestBadStore(t *testing.T) {
	dir := t.TempDir()
	garbage := []byte(strings.Repeat("this is no database. ", 1000))
	if err := os.WriteFile(filepath.Join(dir, "garbage.db"), garbage, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "folder.db"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ db, why string }{
		{"sqlite:garbage.db", "not an SQLite database"},
		{"sqlite:folder.db", "is a folder"},
		{"sqlite:garbage.db/chat.db", "not a "},
		{"sqlite:missing/chat.db", "does not exist"},
		{"sqlite:/proc/chat.db", "cannot"}, // nothing can be made there, not even by root
	} {
		code, log := startDaemon(t, dir, "127.0.0.1", "0", "--http=", "--db", c.db).exit(t)
		if code != exitError || !strings.Contains(log, c.why) || strings.Count(log, "level=ERROR") != 1 ||
			!strings.Contains(log, strings.TrimPrefix(c.db, "sqlite:")) || strings.Contains(log, "goroutine") {
			t.Errorf("%s: exit code %d\n%s", c.db, code, log)
		}
	}
	if now, err := os.ReadFile(filepath.Join(dir, "garbage.db")); err != nil || string(now) != string(garbage) {
		t.Errorf("the file that is no database was changed: %v", err)
	}
}
