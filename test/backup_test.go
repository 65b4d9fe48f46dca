package test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"chatd/proto"
)

// loader is a client that sends messages to a group of its own, many at a time.
type loader struct {
	*raw
	name  string
	group int64
	acked atomic.Int64 // messages acknowledged
}

// send sends n messages and reads their ACKs.
func (l *loader) send(n int) error {
	text := strings.Repeat("x", 1000)
	from := l.acked.Load()
	var reqs []*proto.Request
	for i := range n {
		reqs = append(reqs, groupChat(l.group, fmt.Sprint(from+int64(i), " ", text), false))
		reqs[i].CID = fmt.Append(nil, from+int64(i))
	}
	if err := l.raw.send(reqs...); err != nil {
		return err
	}
	for l.acked.Load() < from+int64(n) {
		a, err := l.read()
		switch {
		case err != nil:
			return err
		case a.Op == proto.GROUP_CHAT_ACK && a.Errno != 0:
			return fmt.Errorf("a message got errno %d", a.Errno)
		case a.Op == proto.GROUP_CHAT_ACK:
			l.acked.Add(1)
		case a.Op == proto.KICK:
			return errors.New("KICK " + a.Reason)
		}
	}
	return nil
}

// A backup made by chatd backup, while clients send as much as a node can store, has
// all messages that were acknowledged before it began, and no gap. The node stores
// all messages meanwhile.
func TestBackupOfARunningNode(t *testing.T) {
	dir := t.TempDir()
	d := startDaemon(t, dir, "--http=", "--argon2=8,1,1", "--no-limits", "127.0.0.1", "0", "--db", "sqlite:chat.db")
	addr := d.until(t, `chatd listening.* address=(\S+)`)
	loaders := make([]*loader, 4)
	for i := range loaders {
		l := &loader{raw: dialRaw(t, addr), name: fmt.Sprint("loader ", i)}
		l.account(l.name)
		l.group = l.call(&proto.Request{Op: proto.CREATE_GROUP, GroupName: "group"}).GroupID
		loaders[i] = l
	}
	var stop atomic.Bool
	var running sync.WaitGroup
	defer running.Wait()
	defer stop.Store(true)
	begun := make(chan struct{}, len(loaders))
	for _, l := range loaders {
		running.Go(func() {
			for i := 0; !stop.Load(); i++ {
				if err := l.send(200); err != nil {
					t.Errorf("%s: %v", l.name, err)
					stop.Store(true)
				}
				if i == 10 || stop.Load() {
					select {
					case begun <- struct{}{}:
					default:
					}
				}
			}
		})
	}
	for range loaders {
		<-begun
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	type saved struct {
		file  string
		acked []int64
	}
	var backups []saved
	for i := range 3 {
		s := saved{file: filepath.Join(dir, fmt.Sprint("backup", i, ".db"))}
		for _, l := range loaders {
			s.acked = append(s.acked, l.acked.Load())
		}
		cmd := exec.Command(self, "backup", s.file, "--db", "sqlite:"+filepath.Join(dir, "chat.db"))
		cmd.Env = chatdEnv()
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("chatd backup: %v\n%s", err, out)
		}
		backups = append(backups, s)
	}
	stop.Store(true)
	running.Wait()
	d.drains(t)
	for _, s := range backups {
		d := startDaemon(t, dir, append(quick, "--no-limits", "127.0.0.1", "0", "--db", "sqlite:"+s.file)...)
		addr := d.until(t, `chatd listening.* address=(\S+)`)
		for i, l := range loaders {
			c := dialRaw(t, addr)
			c.login(l.name)
			cids := c.log(l.group)
			for n, cid := range cids {
				if cid != fmt.Sprint(n) {
					t.Fatalf("%s: message %d of %s has cid %q, want %q", s.file, n, l.name, cid, fmt.Sprint(n))
				}
			}
			if int64(len(cids)) < s.acked[i] {
				t.Errorf("%s has %d messages of %s, want at least the %d acknowledged before the backup", s.file, len(cids), l.name, s.acked[i])
			}
		}
		d.drains(t)
	}
}
