package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"chatd/internal/realservice"
	"chatd/proto"
)

// A node whose database file is removed doesn't acknowledge messages that are gone after
// its end: it notices, ends, and puts the file back with everything in it. The next node
// continues there.
func TestDatabaseFileIsRemoved(t *testing.T) {
	dir := t.TempDir()
	args := append(quick, "127.0.0.1", "0", "--db", "sqlite:chat.db")
	d := startDaemon(t, dir, args...)
	addr := d.until(t, `chatd listening.* address=(\S+)`)
	w := dialRaw(t, addr)
	me := w.account("ann")
	if err := os.Remove(filepath.Join(dir, "chat.db")); err != nil {
		t.Fatal(err)
	}
	sent := w.call(&proto.Request{Op: proto.ONE_CHAT, ToID: me, Msg: []byte("after the file was removed"), CID: []byte("1")})
	d.until(t, `level=ERROR.*draining.*the file was removed`)
	if code, log := d.exit(t); code != exitError || !strings.Contains(log, "what was in it is in ") {
		t.Errorf("exit code %d, want %d, and a line that says where the database is; log:\n%s", code, exitError, log)
	}
	d = startDaemon(t, dir, args...)
	w = dialRaw(t, d.until(t, `chatd listening.* address=(\S+)`))
	w.login("ann")
	again := w.call(&proto.Request{Op: proto.ONE_CHAT, ToID: me, Msg: []byte("after the file was removed"), CID: []byte("1"), Retry: true})
	if again.Seq != sent.Seq {
		t.Errorf("the message that was acknowledged with seq %d has seq %d after the restart; want it stored", sent.Seq, again.Seq)
	}
}

// Nodes that run while an operator restores the database and runs chatd epoch end. They
// would tell clients the old epoch, and clients would take new messages for those that
// they have already.
func TestEpochWhileNodesRun(t *testing.T) {
	for kind, url := range map[string]func() string{
		"SQLite": func() string { return "sqlite:chat.db" },
		"MySQL":  func() string { return realservice.NewMariaDB(t).URL },
	} {
		t.Run(kind, func(t *testing.T) {
			dir := t.TempDir()
			args := append(quick, "127.0.0.1", "0", "--db", url())
			d := startDaemon(t, dir, args...)
			w := dialRaw(t, d.until(t, `chatd listening.* address=(\S+)`))
			w.call(&proto.Request{Op: proto.REG, Name: "ann", Password: "secret 1"})
			in := &proto.Request{Op: proto.LOGIN, Name: "ann", Password: "secret 1", Ack: true}
			before := w.call(in).Epoch
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(self, "epoch", args[len(args)-2], args[len(args)-1])
			cmd.Dir, cmd.Env = dir, chatdEnv()
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("chatd epoch: %v\n%s", err, out)
			}
			d.until(t, `level=ERROR.*draining.*the epoch of the database has changed`)
			if code, log := d.exit(t); code != exitError {
				t.Errorf("exit code %d, want %d; log:\n%s", code, exitError, log)
			}
			d = startDaemon(t, dir, args...)
			w = dialRaw(t, d.until(t, `chatd listening.* address=(\S+)`))
			if after := w.call(in).Epoch; after == before {
				t.Errorf("the epoch is still %d after chatd epoch and a restart", after)
			}
		})
	}
}
