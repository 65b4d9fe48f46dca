package test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"chatd/client"
)

// metricsOf returns the sum of all metrics whose names begin with prefix. page is the
// URL of the server's HTTP address.
func metricsOf(t *testing.T, page, prefix string) (sum int) {
	t.Helper()
	resp, err := http.Get(strings.TrimSuffix(page, "/") + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^`+prefix+`[^ ]* (\d+)$`).FindAllSubmatch(text, -1)
	if len(found) == 0 {
		t.Fatalf("/metrics has no metric whose name begins with %s", prefix)
	}
	for _, m := range found {
		n, err := strconv.Atoi(string(m[1]))
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}

// TestTooMuchToSay checks that an SDK client that sends faster than the rate limit
// gets all messages stored, once and in order, and is never disconnected for abuse,
// because it obeys errno 9. The same goes for the receipts of the recipient.
func TestTooMuchToSay(t *testing.T) {
	dir := t.TempDir()
	d := startDaemon(t, dir, "127.0.0.1", "0", "--db", "sqlite:"+filepath.Join(dir, "chat.db"), "--http", "127.0.0.1:0", "--argon2", "8,1,1",
		"--frames-per-sec-per-conn", "150", "--frames-per-sec-per-user", "200", "--burst", "1s")
	addr := d.until(t, `chatd listening.* address=(\S+)`)
	page := d.until(t, `web client.* url=(\S+)`)
	a, b := newMember(t, addr, "anna"), newMember(t, addr, "berta")
	ida, _ := a.Me()
	idb, _ := b.Me()
	if _, err := b.AddFriend(t.Context(), ida); err != nil { // strangers may send only a few messages
		t.Fatal(err)
	}

	const messages = 600
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for i := range messages {
		if err := a.SendAsync(client.User(idb), fmt.Sprint("message ", i), func(_ client.Receipt, err error) {
			if err != nil {
				t.Errorf("send message %d: %v", i, err)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	i := 0
	b.check(ctx, client.User(ida), messages, func(m client.Message) {
		if want := fmt.Sprint("message ", i); m.Text != want || m.Seq != int64(i+1) {
			t.Fatalf("received %q with seq %d, want %q with seq %d", m.Text, m.Seq, want, i+1)
		}
		i++
	})
	if err := a.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if s := a.Stats(); s.Repeated == 0 || s.Reconnects != 0 {
		t.Errorf("sender: %d messages resent, %d reconnects; want some resent and no reconnect", s.Repeated, s.Reconnects)
	}
	if n := metricsOf(t, page, "chatd_reactor_limited_total"); n == 0 {
		t.Error("chatd_reactor_limited_total = 0, want refusals by the rate limit")
	}
	if n := metricsOf(t, page, "chatd_reactor_kicks_total"); n != 0 {
		t.Errorf("chatd_reactor_kicks_total = %d, want 0", n)
	}
}

// TestOfficeComesBack checks that with default limits, 150 clients with the same IP
// address can all reconnect at once after the server was down.
func TestOfficeComesBack(t *testing.T) {
	dir := t.TempDir()
	args := []string{"127.0.0.1", "0", "--db", "sqlite:" + filepath.Join(dir, "chat.db"), "--http", "127.0.0.1:0", "--argon2", "8,1,1"}
	d := startDaemon(t, dir, append(args, "--no-limits")...)
	addr := d.until(t, `chatd listening.* address=(\S+)`)
	_, args[1], _ = strings.Cut(addr, ":")
	const people = 150
	var ms [people]*member
	var wg sync.WaitGroup
	for k := range 5 {
		wg.Go(func() {
			for i := k; i < people; i += 5 {
				ms[i] = newMember(t, addr, fmt.Sprintf("user %d x", i))
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	if err := d.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = d.cmd.Wait() // it was killed: an error is expected
	d = startDaemon(t, dir, args...)
	d.until(t, `chatd listening.* address=(\S+)`)
	page := d.until(t, `web client.* url=(\S+)`)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for _, m := range ms {
		id, _ := m.Me()
		if _, err := m.Send(ctx, client.User(id), "I am back"); err != nil {
			t.Errorf("user %d: Send after the restart: %v", id, err)
		}
	}
	for _, name := range []string{"chatd_reactor_connections_refused_total", "chatd_reactor_limited_total", "chatd_service_limited_total", "chatd_reactor_kicks_total"} {
		if n := metricsOf(t, page, name); n != 0 {
			t.Errorf("%s = %d, want 0", name, n)
		}
	}
}
