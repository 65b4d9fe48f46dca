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
// mailbox of somebody who has never written to it: the server stops it after 100
// messages, or about 400 KiB, and says why. Once the receiver has answered, it may
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
	}{{"short", 100, 100}, {"long", 30 << 10, 15}} {
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
