package model

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chatd/internal/realservice"
)

// The trace queries find a message by seq or by cid, and each member's devices with
// their cursors, including those that aren't written yet. They return no text.
func TestTrace(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(4)
		g := h.group(u[0], u[1], u[2])
		h.device(u[0], "phone")
		h.device(u[1], "phone")
		h.device(u[1], "pad")
		h.store(toGroup(u[0], g, "one"))
		second := toGroup(u[0], g, "two")
		second.Body = []byte("wörter")
		h.store(second)
		h.SetDelivered(u[1], "pad", g, 1)
		want(t, h.Flush(ctx, u[1]), nil)
		h.SetDelivered(u[1], "pad", g, 2) // pending
		token := []byte(fmt.Sprint(u[1], "phone"))
		_, err := h.CloseDevice(ctx, u[1], "phone", 1, token)
		want(t, err, nil)
		_, err = h.JoinGroup(ctx, g, u[3], 10, 10)
		want(t, err, nil)
		_, err = h.LeaveGroup(ctx, g, u[2])
		want(t, err, nil)

		c, err := h.TraceGroup(ctx, g)
		want(t, err, nil)
		if !c.Group() || c.Last != 2 || c.Size != 3 || c.Name != "group" || c.Gone {
			t.Errorf("TraceGroup = %+v, want the group with last seq 2 and 3 members", c)
		}
		m, err := h.TraceSeq(ctx, g, 2)
		want(t, err, nil)
		byCID, err := h.TraceCID(ctx, g, u[0], []byte("two"))
		want(t, err, nil)
		for _, m := range []TracedMessage{m, byCID} {
			if m.Seq != 2 || m.Sender != u[0] || m.Name != "user0" || m.Time != second.Time || !bytes.Equal(m.CID, []byte("two")) || m.Size != 7 {
				t.Errorf("TraceSeq or TraceCID = %+v, want seq 2 of user0 with cid \"two\" and 7 bytes", m)
			}
		}
		_, err = h.TraceSeq(ctx, g, 3)
		want(t, err, ErrNotFound)
		_, err = h.TraceCID(ctx, g, u[1], []byte("two")) // the cid of another sender
		want(t, err, ErrNotFound)

		l, err := h.TraceMembers(ctx, g, 0, 2)
		want(t, err, nil)
		if len(l) != 2 || l[0].User != u[0] || !l[0].Creator() || len(l[0].Devices) != 1 || l[1].User != u[1] || len(l[1].Devices) != 2 {
			t.Fatalf("TraceMembers = %+v, want user0, the creator, with one device, and user1 with two", l)
		}
		if pad, phone := l[1].Devices[0], l[1].Devices[1]; pad.Device != "pad" || pad.Delivered != 2 || !pad.Token ||
			phone.Device != "phone" || phone.Delivered != 0 || phone.Token || phone.Used != h.now().UnixMilli() {
			t.Errorf("devices of user1 = %+v, want pad, delivered to 2, with a token, and phone, delivered to 0, without one", l[1].Devices)
		}
		l, err = h.TraceMembers(ctx, g, u[1], 2)
		want(t, err, nil)
		if len(l) != 1 || l[0].User != u[3] || l[0].Joined != 2 || !l[0].Member || len(l[0].Devices) != 0 {
			t.Errorf("TraceMembers after user1 = %+v, want user3, who joined after seq 2, without devices", l)
		}
		one, err := h.TraceUser(ctx, g, u[2])
		want(t, err, nil)
		if one.Member || one.Name != "user2" {
			t.Errorf("TraceUser of a user who left = %+v, want user2, not a member", one)
		}
		one, err = h.TraceUser(ctx, g, u[1])
		want(t, err, nil)
		if !one.Member || len(one.Devices) != 2 || one.Devices[0].Delivered != 2 {
			t.Errorf("TraceUser = %+v, want a member with two devices, the first delivered to 2", one)
		}
		_, err = h.TraceUser(ctx, g, 9999)
		want(t, err, ErrNotFound)

		want(t, h.DeleteUser(ctx, u[0]), nil) // dismisses the group
		if c, err = h.TraceGroup(ctx, g); err != nil || !c.Gone {
			t.Errorf("TraceGroup of a dismissed group = %+v (error %v), want it gone", c, err)
		}
		if one, err = h.TraceUser(ctx, g, u[0]); err != nil || !one.Deleted || one.Member {
			t.Errorf("TraceUser of a deleted user = %+v (error %v), want it deleted, not a member", one, err)
		}
		if m, err = h.TraceSeq(ctx, g, 2); err != nil || m.Name != "user0" {
			t.Errorf("TraceSeq, message of a deleted user = %+v (error %v), want the name user0", m, err)
		}
	})
}

// TracePair finds a pair in either order, and reports who has blocked whom.
func TestTracePair(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(2)
		_, err := h.TracePair(ctx, u[1], u[0])
		want(t, err, ErrNotFound)
		h.store(toPeer(u[1], u[0], "x"))
		want(t, block(h, u[0], u[1], true), nil)
		c, err := h.TracePair(ctx, u[1], u[0])
		want(t, err, nil)
		if c.Group() || c.Lo != u[0] || c.Hi != u[1] || !c.Blocked(u[0]) || c.Blocked(u[1]) || c.Closed() {
			t.Errorf("TracePair = %+v, want users %d and %d; the first has blocked the second, and the second hasn't blocked the first", c, u[0], u[1])
		}
		_, err = h.TraceGroup(ctx, c.ID) // the ID of a pair's conversation
		want(t, err, ErrNotFound)
		want(t, h.DeleteUser(ctx, u[1]), nil)
		if c, err = h.TracePair(ctx, u[0], u[1]); err != nil || !c.Closed() {
			t.Errorf("TracePair with a deleted user = %+v (error %v), want it closed", c, err)
		}
	})
}

// A store that is opened read-only works while chatd runs, and can't write.
func TestReadOnly(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(2)
		message := toPeer(u[0], u[1], "x")
		h.store(message)
		db, err := Open(ctx, Options{DB: h.o.DB, ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		if m, err := db.TraceSeq(ctx, message.Conv, 1); err != nil || m.Sender != u[0] {
			t.Errorf("TraceSeq(1) = %+v (error %v), want a message of user %d", m, err, u[0])
		}
		h.store(toPeer(u[0], u[1], "y")) // chatd's later writes are visible
		if m, err := db.TraceSeq(ctx, message.Conv, 2); err != nil || string(m.CID) != "y" {
			t.Errorf("TraceSeq(2) = %+v (error %v), want cid \"y\"", m, err)
		}
		if l, err := db.TraceMembers(ctx, message.Conv, 0, 9); err != nil || len(l) != 2 {
			t.Errorf("TraceMembers = %+v (error %v), want two members", l, err)
		}
		if _, err := db.CreateUser(ctx, "new", "new", "hash"); !errors.Is(err, ErrClosed) {
			t.Errorf("CreateUser: error %v, want ErrClosed", err)
		}
		if err := db.Append(toPeer(u[0], u[1], "z")); !errors.Is(err, ErrClosed) {
			t.Errorf("Append: error %v, want ErrClosed", err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Open with ReadOnly creates no file, and its errors say that the file is missing,
// isn't chatd's, or has the schema of another release.
func TestReadOnlyErrors(t *testing.T) {
	dir := t.TempDir()
	fails := func(url, says string) {
		t.Helper()
		db, err := Open(context.Background(), Options{DB: url, ReadOnly: true})
		if err == nil {
			db.Close()
			t.Fatalf("Open(%q) succeeded, want an error with %q", url, says)
		}
		if !strings.Contains(err.Error(), says) {
			t.Errorf("Open(%q): error %v, want one with %q", url, err, says)
		}
	}
	none := filepath.Join(dir, "none.db")
	fails("sqlite:"+none, "the file is missing")
	if _, err := os.Stat(none); err == nil {
		t.Errorf("Open created %s, want no file", none)
	}
	empty := filepath.Join(dir, "empty.db")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	fails("sqlite:"+empty, "not a chatd database")
	newer := "sqlite:" + filepath.Join(dir, "newer.db")
	h := newHarness(t, Options{DB: newer})
	if _, err := h.sql.Writer.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)`); err != nil {
		t.Fatal(err)
	}
	fails(newer, "version 99")
}

// A database account that may only SELECT is enough for ReadOnly.
func TestReadOnlyAccount(t *testing.T) {
	m := realservice.NewMariaDB(t)
	h := newHarness(t, Options{DB: m.URL})
	u := h.users(2)
	message := toPeer(u[0], u[1], "x")
	h.store(message)
	m.SQL(t, `CREATE USER looker@'%' IDENTIFIED BY 'pw'; GRANT SELECT ON chatd.* TO looker@'%'`)
	db, err := Open(ctx, Options{DB: fmt.Sprintf("mysql://looker:pw@127.0.0.1:%d/chatd", m.Port), ReadOnly: true, Wait: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.TraceCID(ctx, message.Conv, u[0], []byte("x")); err != nil {
		t.Error(err)
	}
	if l, err := db.TraceMembers(ctx, message.Conv, 0, 9); err != nil || len(l) != 2 {
		t.Errorf("TraceMembers = %+v (error %v), want two members", l, err)
	}
}
