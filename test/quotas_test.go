package test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chatd/client"
	"chatd/proto"
)

// TestStrangerIsStopped checks that with default limits, an account can't fill the
// mailbox of somebody who has never written to it: the server stops it after 1,000
// messages, or about 4 MiB, and says why. Once the receiver has answered, it may
// go on.
func TestStrangerIsStopped(t *testing.T) {
	dir := t.TempDir()
	d := startDaemon(t, dir, "127.0.0.1", "0", "--db", "sqlite:"+filepath.Join(dir, "chat.db"), "--http", "", "--argon2", "8,1,1")
	addr := d.until(t, `chatd listening.* address=(\S+)`)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for _, c := range []struct {
		name string
		size int // bytes of a message
		most int // messages that may be stored
	}{{"short", 100, 1000}, {"long", 30 << 10, 150}} {
		t.Run(c.name, func(t *testing.T) {
			spammer, victim := newMember(t, addr, c.name+" sender"), newMember(t, addr, c.name+" receiver")
			from, _ := spammer.Me()
			to, _ := victim.Me()
			text := strings.Repeat("x", c.size)
			stored := 0
			var err error
			for ; err == nil && stored <= c.most; stored++ {
				_, err = spammer.Send(ctx, client.User(to), text)
			}
			var refusal *proto.Error
			if !errors.As(err, &refusal) || refusal.Errno != proto.LimitFull || !strings.Contains(refusal.Message, fmt.Sprintf("user %d", to)) {
				t.Fatalf("after %d messages of %d bytes to a stranger: error %v; want errno %d, which names user %d, after at most %d", stored, c.size, err, proto.LimitFull, to, c.most)
			}
			if _, err := victim.Send(ctx, client.User(from), "who are you?"); err != nil {
				t.Fatalf("the receiver's answer: error %v, want none", err)
			}
			for range 2 {
				if _, err := spammer.Send(ctx, client.User(to), text); err != nil {
					t.Fatalf("a message after the receiver's answer: error %v, want none", err)
				}
			}
		})
	}
}

// TestQuotaIsObeyed checks that an SDK client that has used up the quota of a day
// waits as the server asks, and gets all messages stored, once and in order, on the
// same connection.
func TestQuotaIsObeyed(t *testing.T) {
	const quota, cid = 8_640_000, 22 // bytes; 100 per second. Cids count
	dir := t.TempDir()
	d := startDaemon(t, dir, "127.0.0.1", "0", "--db", "sqlite:"+filepath.Join(dir, "chat.db"), "--http", "127.0.0.1:0", "--argon2", "8,1,1",
		"--messages-per-day", "0", "--bytes-per-day", fmt.Sprint(quota),
		"--bytes-per-sec-per-conn", "0", "--bytes-per-sec-per-user", "0") // sent in a moment, so that little is refilled meanwhile
	addr := d.until(t, `chatd listening.* address=(\S+)`)
	page := d.until(t, `web client.* url=(\S+)`)
	a, b := newMember(t, addr, "anna"), newMember(t, addr, "berta")
	ida, _ := a.Me()
	idb, _ := b.Me()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	send := func(to int64, text string) {
		t.Helper()
		if err := a.SendAsync(client.User(to), text, func(_ client.Receipt, err error) {
			if err != nil {
				t.Errorf("send %.20q: %v", text, err)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	left := quota
	for ; left > 32_000; left -= 32_000 {
		send(ida, strings.Repeat("x", 32_000-cid))
	}
	send(ida, strings.Repeat("x", left-cid))
	const messages = 8
	for i := range messages {
		send(idb, fmt.Sprint("message ", i))
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
	if n := metricsOf(t, page, `chatd_service_limited_total{limit="user_day"`); n == 0 {
		t.Error("no message exceeded the quota, want some")
	}
}
