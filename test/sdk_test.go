package test

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"chatd/client"
)

// member is an SDK client that records the messages it receives.
type member struct {
	*client.Client
	t    *testing.T
	mu   sync.Mutex
	seen map[client.Conv][]client.Message
	grew *sync.Cond
}

func newMember(t *testing.T, addr, name string) *member {
	t.Helper()
	m := &member{t: t, seen: make(map[client.Conv][]client.Message)}
	m.grew = sync.NewCond(&m.mu)
	c, err := client.New(client.Config{Addrs: []string{addr}, BackoffMin: 10 * time.Millisecond, BackoffMax: 200 * time.Millisecond,
		State: client.FileStore{Path: filepath.Join(t.TempDir(), name)}, Handlers: client.Handlers{Message: m.see}})
	if err != nil {
		t.Fatal(err)
	}
	m.Client = c
	t.Cleanup(func() { _ = c.Close() })
	if _, err := c.Register(t.Context(), name, "secret-1"); err != nil {
		t.Fatal(err)
	}
	if err := c.Login(t.Context(), name, "secret-1"); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *member) see(msg client.Message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen[msg.Conv] = append(m.seen[msg.Conv], msg)
	m.grew.Broadcast()
}

// TestKilledServerKeepsItsPromises checks the guarantees end to end, with the SDK. It
// kills the server several times in the middle of traffic. No acknowledged message may
// be lost, and none received twice or out of order.
func TestKilledServerKeepsItsPromises(t *testing.T) {
	dir := t.TempDir()
	args := []string{"127.0.0.1", "0", "--db", "sqlite:" + filepath.Join(dir, "chat.db"), "--http", "", "--argon2", "8,1,1", "--no-limits"}
	d := startDaemon(t, dir, args...)
	addr := d.until(t, `address=(\S+)`)
	_, args[1], _ = net.SplitHostPort(addr)

	const people, each, kills = 4, 400, 3
	var ms [people]*member
	for i := range ms {
		ms[i] = newMember(t, addr, fmt.Sprintf("user%c", 'a'+i))
	}
	gid, err := ms[0].CreateGroup(t.Context(), "everyone", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range ms[1:] {
		if _, err := m.JoinGroup(t.Context(), gid); err != nil {
			t.Fatal(err)
		}
	}
	group := client.Group(gid)

	// Everyone sends messages; after every 400 acknowledgements, the server is killed.
	type ack struct {
		from int64
		text string
		seq  int64
	}
	acks := make(chan ack, people*each)
	sent := make(chan struct{}, people*each)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var senders sync.WaitGroup
	for _, m := range ms {
		id, _ := m.Me()
		senders.Go(func() {
			for i := range each {
				text := fmt.Sprintf("%d says %d", id, i)
				r, err := m.Send(ctx, group, text)
				if err != nil {
					t.Errorf("send: %v", err)
					return
				}
				acks <- ack{id, text, r.Seq}
				sent <- struct{}{}
			}
		})
	}
	for k := range kills {
		for range people * each / (kills + 1) {
			select {
			case <-sent:
			case <-ctx.Done():
				t.Fatal("timed out waiting for acknowledgements")
			}
		}
		if err := d.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = d.cmd.Wait() // it was killed: an error is expected
		t.Logf("kill %d", k+1)
		d = startDaemon(t, dir, args...)
		d.until(t, `address=(\S+)`)
	}
	senders.Wait()
	close(acks)

	want := make(map[int64]ack)
	for a := range acks {
		if other, ok := want[a.seq]; ok {
			t.Errorf("both %q and %q got seq %d", other.text, a.text, a.seq)
		}
		want[a.seq] = a
	}
	if len(want) != people*each {
		t.Fatalf("%d messages were acknowledged, want %d", len(want), people*each)
	}
	for _, m := range ms {
		id, _ := m.Me()
		m.check(ctx, group, people*each-each, func(msg client.Message) {
			if a := want[msg.Seq]; a.text != msg.Text || a.from != msg.From || a.from == id {
				t.Errorf("user %d received %q from user %d with seq %d, want %q from user %d", id, msg.Text, msg.From, msg.Seq, a.text, a.from)
			}
		})
	}
}

// check waits until n messages of a conversation have arrived and calls look for each.
// Their seqs must ascend, so none may arrive twice.
func (m *member) check(ctx context.Context, conv client.Conv, n int, look func(client.Message)) {
	m.t.Helper()
	stop := context.AfterFunc(ctx, m.grew.Broadcast)
	defer stop()
	m.mu.Lock()
	for len(m.seen[conv]) < n && ctx.Err() == nil {
		m.grew.Wait()
	}
	got := m.seen[conv]
	m.mu.Unlock()
	if len(got) != n {
		m.t.Errorf("received %d messages, want %d", len(got), n)
	}
	last := int64(0)
	for _, msg := range got {
		if msg.Seq <= last {
			m.t.Errorf("received seq %d after seq %d, want ascending seqs", msg.Seq, last)
		}
		last = msg.Seq
		look(msg)
	}
}
