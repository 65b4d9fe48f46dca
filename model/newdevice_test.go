package model

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// A new device doesn't get the user's own messages that directly follow the most
// advanced cursor: another device has sent them, whether or not it has sent a receipt.
// It gets all messages after the first one of somebody else. A user's first device
// gets everything.
func TestNewDeviceSkipsOwnMessages(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(3)
		n := 0
		send := func(from, to int64, count int) (conv int64) {
			for range count {
				n++
				a := toPeer(from, to, fmt.Sprint(n))
				h.store(a)
				conv = a.Conv
			}
			return conv
		}
		h.device(u[0], "phone")
		caughtUp := send(u[1], u[0], 1)
		h.SetDelivered(u[0], "phone", caughtUp, 1)
		send(u[0], u[1], 2)
		mixed := send(u[0], u[2], 2) // the phone has no cursor here
		send(u[2], u[0], 1)
		send(u[0], u[2], 1)
		notes := send(u[0], u[0], ownPage+3)
		h.device(u[0], "pad")
		for conv, wanted := range map[int64]int64{caughtUp: -1, mixed: 2, notes: -1} { // -1: nothing is missing
			if got := h.delivered(u[0], "pad", conv); got != wanted {
				t.Errorf("new device: Delivered in conversation %d = %d, want %d", conv, got, wanted)
			}
		}
		if got := h.delivered(u[0], "phone", notes); got != 0 {
			t.Errorf("the phone's cursor in conversation %d = %d, want 0: it hasn't sent a receipt", notes, got)
		}
		h.device(u[1], "first")
		if got := h.delivered(u[1], "first", caughtUp); got != 0 {
			t.Errorf("first device: Delivered = %d, want 0", got)
		}
	})
}

// many makes a user a member of n groups with 9 messages. The phone's cursors are
// between 1 and 5. It returns the cursors by group.
func (h *harness) many(user int64, n int) map[int64]int64 {
	h.t.Helper()
	cursors := make(map[int64]int64)
	for from := 0; from < n; from += 500 {
		var conversations, members, delivered []string
		for i := from; i < min(n, from+500); i++ {
			id, seq := int64(10_000+i), int64(1+i%5)
			cursors[id] = seq
			conversations = append(conversations, fmt.Sprintf("(%d, 2, 9)", id))
			members = append(members, fmt.Sprintf("(%d, %d)", id, user))
			delivered = append(delivered, fmt.Sprintf("(%d, 'phone', %d, %d)", user, id, seq))
		}
		for _, q := range []string{
			`INSERT INTO conversations (id, kind, last_seq) VALUES ` + strings.Join(conversations, ", "),
			`INSERT INTO members (conversation_id, user_id) VALUES ` + strings.Join(members, ", "),
			`INSERT INTO cursors (user_id, device, conversation_id, delivered_seq) VALUES ` + strings.Join(delivered, ", "),
		} {
			if _, err := h.sql.Writer.Exec(q); err != nil {
				h.t.Fatal(err)
			}
		}
	}
	return cursors
}

// cursorsOf returns the stored cursors of a device, by conversation.
func (h *harness) cursorsOf(user int64, device string) map[int64]int64 {
	h.t.Helper()
	var rows []struct {
		Conv int64 `db:"conversation_id"`
		Seq  int64 `db:"delivered_seq"`
	}
	if err := h.sql.Reader.Select(&rows, `SELECT conversation_id, delivered_seq FROM cursors WHERE user_id = ? AND device = ?`, user, device); err != nil {
		h.t.Fatal(err)
	}
	all := make(map[int64]int64)
	for _, r := range rows {
		all[r.Conv] = r.Seq
	}
	return all
}

// The cursors of a new device are written in pages, so that appends don't wait for all
// of them. A device whose login failed in between has no token, and doesn't count as
// one of the user's devices. Its next login completes the cursors.
func TestNewDeviceInPages(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(1)[0]
		h.device(u, "phone")
		cursors := h.many(u, 2*devicePage+100)
		h.poison("cursors", fmt.Sprintf("NEW.conversation_id = %d", 10_000+devicePage+10))
		if _, err := h.logIn(u, "pad", []byte("pad 1"), 2); err == nil {
			t.Fatal("login with a failing page: no error")
		}
		if got := h.cursorsOf(u, "pad"); len(got) != devicePage {
			t.Errorf("%d cursors written before the failure, want the first page of %d", len(got), devicePage)
		}
		_, err := h.TokenDevice(ctx, []byte("pad 1"))
		want(t, err, ErrNotFound)
		h.pass(time.Minute)
		evicted, err := h.logIn(u, "phone", []byte("phone 2"), 2)
		want(t, err, nil)
		if len(evicted) > 0 {
			t.Errorf("login of a known device evicted %q, want none", evicted)
		}
		if _, err := h.sql.Writer.Exec(`DROP TRIGGER poison`); err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			h.SetDelivered(u, "phone", 10_000, int64(6+i)) // after pad's first page was written
			evicted, err = h.logIn(u, "pad", fmt.Append(nil, "pad ", 2+i), 2)
			want(t, err, nil)
			if len(evicted) > 0 {
				t.Errorf("login of the second of 2 devices evicted %q, want none", evicted)
			}
			cursors[10_000] = 6 // the second login of a device doesn't raise its cursors
			if got := h.cursorsOf(u, "pad"); fmt.Sprint(got) != fmt.Sprint(cursors) {
				t.Fatalf("login %d: the new device has %d cursors that differ from the phone's %d", i+1, len(got), len(cursors))
			}
		}
		// Without another device that is ready, it would be the user's first one.
		evicted, err = h.logIn(u, "third", []byte("third"), 2)
		want(t, err, nil)
		if !slices.Equal(evicted, []string{"phone"}) {
			t.Errorf("login of a third device of 2 evicted %q, want [phone]", evicted)
		}
	})
}

// Once a device is ready, a slower login of the same device must not raise its cursors:
// it may not have the messages yet that other devices have. The slower login gets a
// token all the same.
func TestDeviceReadyMeanwhile(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(2)
		h.device(u[0], "phone")
		g := h.group(u...)
		h.store(toGroup(u[1], g, "1"))
		user, err := h.UserByID(ctx, u[0])
		want(t, err, nil)
		mark, others, err := h.beginDevice(ctx, user, "pad")
		if err != nil || mark >= 0 || others != 1 {
			t.Fatalf("beginDevice = %d, %d, %v; want a negative mark, 1 other device and no error", mark, others, err)
		}
		// A session of a removed device with this name is still connected. Its use must
		// not make the new one ready.
		h.SetUsed(u[0], "pad")
		want(t, h.Flush(ctx, u[0]), nil)
		var used int64
		want(t, h.get(ctx, &used, `SELECT last_used FROM devices WHERE user_id = ? AND device = ?`, u[0], "pad"), nil)
		if used != mark {
			t.Errorf("last_used of a device that isn't ready = %d after a use of the removed one, want %d", used, mark)
		}
		h.device(u[0], "pad") // the faster login
		h.SetDelivered(u[0], "phone", g, 1)
		want(t, h.Flush(ctx, u[0]), nil)
		starts, err := h.deviceStarts(ctx, u[0], 0)
		want(t, err, nil)
		want(t, h.copyCursors(ctx, u[0], "pad", mark, starts), errDeviceChanged)
		_, _, err = h.openDevice(ctx, user, "pad", []byte("slow"), 8, mark, connected)
		want(t, err, errDeviceChanged)
		if got := h.delivered(u[0], "pad", g); got != 0 {
			t.Errorf("cursor of the device that is ready = %d, want 0", got)
		}
		_, err = h.logIn(u[0], "pad", []byte("slow"), 8)
		want(t, err, nil)
		found, err := h.TokenDevice(ctx, []byte("slow"))
		want(t, err, nil)
		if found.Device != "pad" {
			t.Errorf("TokenDevice = %q, want pad", found.Device)
		}
		// One that was removed meanwhile must not come back without its cursors.
		want(t, removeDevice(h, u[0], "pad"), nil)
		_, _, err = h.openDevice(ctx, user, "pad", []byte("slower"), 8, 0, connected)
		want(t, err, errDeviceChanged)
	})
}

func removeDevice(h *harness, user int64, device string) error {
	_, err := h.sql.Writer.Exec(`DELETE FROM devices WHERE user_id = ? AND device = ?`, user, device)
	return err
}

// The cursors of a removed device are deleted, however many there are; but not those of
// a device that has logged in again.
func TestSweepCursors(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(1)[0]
		h.device(u, "phone")
		h.many(u, 2*devicePage+100)
		h.pass(time.Minute)
		evicted, err := h.logIn(u, "pad", []byte("pad"), 1)
		want(t, err, nil)
		if !slices.Equal(evicted, []string{"phone"}) {
			t.Fatalf("login evicted %q, want [phone]", evicted)
		}
		for end := time.Now().Add(time.Minute); len(h.cursorsOf(u, "phone")) > 0; runtime.Gosched() {
			if time.Now().After(end) {
				t.Fatalf("the removed device still has %d cursors after a minute", len(h.cursorsOf(u, "phone")))
			}
		}
		pad := h.cursorsOf(u, "pad")
		if len(pad) != 2*devicePage+100 {
			t.Errorf("the new device has %d cursors, want %d", len(pad), 2*devicePage+100)
		}
		want(t, h.deleteCursors(ctx, u, "pad", 1<<40), nil)
		if got := h.cursorsOf(u, "pad"); len(got) != len(pad) {
			t.Errorf("after deleteCursors, a device that isn't removed has %d cursors, want %d", len(got), len(pad))
		}
	})
}
