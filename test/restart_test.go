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

// startNode starts a node on the store chat.db in dir, which may be there.
func startNode(t *testing.T, dir string) (d *process, addr string) {
	t.Helper()
	d = startDaemon(t, dir, "127.0.0.1", "0", "--http=", "--db", "sqlite:chat.db", "--argon2", "8,1,1", "--no-limits")
	return d, d.until(t, `chatd listening.* address=(\S+)`)
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
