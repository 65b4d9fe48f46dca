package test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"chatd/proto"
)

// startNode starts a node with the database chat.db in dir, and returns its address.
func startNode(t *testing.T, dir string) (d *process, addr string) {
	t.Helper()
	d = startDaemon(t, dir, "127.0.0.1", "0", "--http=", "--db", "sqlite:chat.db", "--argon2", "8,1,1", "--no-limits")
	return d, d.until(t, `chatd listening.* address=(\S+)`)
}

// TestKillNine kills a node in the middle of traffic. After the restart, every
// acknowledged message must be stored with its seq, seqs must have no gaps, a resend
// must get the same seq and time, and a device must be sent everything after its last
// receipt in order, so that it has each message exactly once.
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
	var open []string // sent, but not acknowledged
	for round := range 4 {
		// Resend unacknowledged messages, send new ones, and wait for some ACKs.
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
				t.Errorf("%s was acknowledged twice, with seq %d and %d", cid, before.Seq, ack.Seq)
			}
			if ack.Errno != 0 {
				t.Errorf("%s got errno %d, want 0", cid, ack.Errno)
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
				t.Fatalf("round %d: %s was acknowledged with seq %d, but isn't stored there", round, cid, ack.Seq)
			}
			if again := a.call(groupChat(group, strings.TrimPrefix(cid, "cid "), true)); again.Seq != ack.Seq || again.Time != ack.Time {
				t.Errorf("resend of %s: got seq %d, want %d as in the first answer, with the same time", cid, again.Seq, ack.Seq)
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
				t.Errorf("berta received seq %d with the texts %q and %q", seq, before, text)
			}
			seen[seq] = text
		}
		for i, cid := range log {
			if "cid "+seen[int64(i+1)] != cid {
				t.Errorf("berta received %q as seq %d, but %s is stored there", seen[int64(i+1)], i+1, cid)
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

// TestDrain sends SIGTERM in the middle of traffic. Accepted messages must be stored
// and acknowledged, nothing else may be stored, every client must get a KICK with a
// delay for reconnecting, and the process must exit with 0.
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
			t.Errorf("connection ended with KICK %+v, want reason %q and a retry_after_ms", w.kick, proto.Draining)
		}
	}
	if code, log := d.exit(t); code != exitDone {
		t.Errorf("exit code %d, want %d; log:\n%s", code, exitDone, log)
	}
	_, addr = startNode(t, dir)
	acks := a.acks
	a = dialRaw(t, addr)
	a.login("anna")
	log := a.log(group)
	for i, cid := range log {
		if ack := acks[cid]; ack.Seq != int64(i+1) {
			t.Errorf("%s is stored with seq %d, but the answer was %+v", cid, i+1, ack)
		}
	}
	if len(log) != len(acks) {
		t.Errorf("%d messages are stored, but %d were acknowledged", len(log), len(acks))
	}
}

// TestBadStore checks that chatd exits with 1 and one error with name and reason if it
// can't use the database, and doesn't change the file.
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
		{"sqlite:garbage.db", "not a SQLite database"},
		{"sqlite:folder.db", "is a folder"},
		{"sqlite:garbage.db/chat.db", "not a "},
		{"sqlite:missing/chat.db", "does not exist"},
		{"sqlite:/proc/chat.db", "can't create or open the lock file"}, // not even root can create a file there
	} {
		code, log := startDaemon(t, dir, "127.0.0.1", "0", "--http=", "--db", c.db).exit(t)
		if code != exitError || !strings.Contains(log, c.why) || strings.Count(log, "level=ERROR") != 1 ||
			!strings.Contains(log, strings.TrimPrefix(c.db, "sqlite:")) || strings.Contains(log, "goroutine") {
			t.Errorf("--db %s: exit code %d, want %d and one error with the name and %q; log:\n%s", c.db, code, exitError, c.why, log)
		}
	}
	if now, err := os.ReadFile(filepath.Join(dir, "garbage.db")); err != nil || string(now) != string(garbage) {
		t.Errorf("chatd has changed garbage.db, which isn't a database (%v)", err)
	}
}
