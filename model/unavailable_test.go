package model

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"chatd/internal/realservice"
)

// While the database is away, operations fail within seconds. Once it is back,
// everything works without a restart, and no message that was answered as stored
// is lost or duplicated.
func TestDatabaseUnavailable(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"killed", "frozen"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel() // the test mostly waits
			m := realservice.NewMariaDB(t)
			h := newHarness(t, Options{DB: m.URL})
			u := h.users(2)
			g := h.group(u...)
			h.device(u[0], "phone")
			sent := make(map[string]bool) // cids that were answered as stored
			send := func(n int) (failed int) {
				var batch []*Append
				for i := range n {
					a := toGroup(u[0], g, fmt.Sprint(i))
					a.Retry = true
					batch = append(batch, a)
				}
				h.store(batch...)
				for _, a := range batch {
					if a.Err == nil {
						sent[string(a.CID)] = true
					} else if failed++; !h.transient(a.Err) {
						t.Errorf("%s; want a transient error", show(a))
					}
				}
				return failed
			}
			if n := send(10); n > 0 {
				t.Fatalf("%d messages failed before the database went away, want 0", n)
			}
			if way == "killed" {
				m.Kill(t)
			} else {
				m.Stop(t)
			}
			if n := send(3000); n == 0 {
				t.Error("all messages were stored while the database was away, want some to fail")
			}
			h.SetDelivered(u[0], "phone", g, 5)
			if err := h.Flush(ctx, u[0]); err == nil {
				t.Error("Flush succeeded while the database was away, want an error")
			}
			if _, err := h.Friends(ctx, u[0]); err == nil || errors.Is(err, ErrNotFound) {
				t.Errorf("Friends: error %v, want the database's", err)
			}
			if _, err := h.CreateUser(ctx, "x", "x", ""); err == nil || errors.Is(err, ErrTaken) {
				t.Errorf("CreateUser: error %v, want the database's", err)
			}
			if way == "killed" {
				m.Start(t)
			} else {
				m.Cont(t)
			}
			for send(3000) > 0 {
				t.Log("the database isn't back yet; sending again")
			}
			if n := len(gapless(t, h, g)); n != len(sent) {
				t.Errorf("%d messages in the log, want the %d that were answered as stored", n, len(sent))
			}
			want(t, h.Flush(ctx, u[0]), nil)
			if d := h.delivered(u[0], "phone", g); d != 5 {
				t.Errorf("delivered cursor = %d, want 5", d)
			}
		})
	}
}

// A restart of the database under load loses or duplicates no message, whatever
// became of the commits that were running.
func TestDatabaseRestarts(t *testing.T) {
	m := realservice.NewMariaDB(t)
	h := newHarness(t, Options{DB: m.URL})
	u := h.users(4)
	stop, done := make(chan struct{}), make(chan struct{})
	var stored [][2]int64 // conversation and seq
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			var batch []*Append
			for j := range 100 {
				batch = append(batch, toPeer(u[j%4], u[(j+1)%4], fmt.Sprint(i, " ", j)))
			}
			for len(batch) > 0 {
				h.store(batch...)
				var again []*Append
				for _, a := range batch {
					if a.Err == nil {
						stored = append(stored, [2]int64{a.Conv, a.Seq})
						continue
					}
					b := toPeer(a.Sender, a.Peer, string(a.CID))
					b.Retry = true
					again = append(again, b)
				}
				batch = again
			}
		}
	}()
	for range 3 {
		for before := h.metric("chatd_model_messages_stored_total"); h.metric("chatd_model_messages_stored_total") < before+1000; {
			time.Sleep(time.Millisecond) // until appends are running
		}
		m.Kill(t)
		m.Start(t)
	}
	close(stop)
	<-done
	seen := make(map[[2]int64]bool)
	for _, k := range stored {
		if seen[k] {
			t.Fatalf("conversation %d: two messages were answered with seq %d, want one", k[0], k[1])
		}
		seen[k] = true
	}
	n := 0
	for _, conv := range h.convs() {
		n += len(gapless(t, h, conv))
	}
	if n != len(stored) {
		t.Errorf("%d messages in the log, want the %d that were answered as stored", n, len(stored))
	}
	t.Logf("%d messages, %d retries, %d commits of unknown outcome", n, h.metric("chatd_model_retries_total"), h.metric("chatd_model_unsure_commits_total"))
}

// Open's errors about a server or its URL are one line without the password. With
// Wait, Open waits for a server that starts later.
func TestOpenServer(t *testing.T) {
	m := realservice.NewMariaDB(t)
	m.SQL(t, `CREATE USER chat@'%' IDENTIFIED BY 'tiger'; GRANT ALL ON chatd.* TO chat@'%'`)
	at := fmt.Sprintf("127.0.0.1:%d", m.Port)
	refused := func(url, want string) {
		t.Helper()
		db, err := Open(ctx, Options{DB: url})
		if err == nil {
			db.Close()
			t.Fatalf("Open(%q) succeeded, want an error with %q", url, want)
		}
		if msg := err.Error(); !strings.Contains(msg, want) || strings.Contains(msg, "\n") || strings.Contains(msg, "tiger") {
			t.Errorf("Open(%q): error %q, want one line with %q and without the password", url, msg, want)
		}
	}
	refused("mysql://chat:tiger@"+at+"/nowhere", "no access to the database")
	refused("mysql://root@"+at+"/nowhere", "CREATE DATABASE nowhere")
	refused("mysql://chat:tiger2@"+at+"/chatd", "wrong user or password")
	refused("mysql://chat:tiger@"+at, "names no database")
	refused("mysql://chat:tiger@"+at+"/chatd?charset=latin1", `unknown option "charset"`)
	refused("mysql://chat:ti/ger#tiger@"+at+"/chatd", "invalid mysql URL")
	refused("mysql:chat:tiger@"+at+"/chatd", "invalid mysql URL")
	refused("mysql://chat:%zztiger@"+at+"/chatd", "invalid mysql URL")
	newHarness(t, Options{DB: "mysql://chat:tiger@" + at + "/chatd"}).user("x")

	m.Kill(t)
	refused("mysql://chat:tiger@"+at+"/chatd", "mysql://"+at+"/chatd: dial tcp "+at)
	opened := make(chan error)
	go func() {
		db, err := Open(ctx, Options{DB: m.URL, Wait: time.Minute})
		if err == nil {
			err = db.Close()
		}
		opened <- err
	}()
	time.Sleep(50 * time.Millisecond) // the first attempts should fail
	m.Start(t)
	want(t, <-opened, nil)
}
