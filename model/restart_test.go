package model

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"chatd/internal/realservice"
)

// If the connection to the database server is lost while Open runs, Open starts
// over and waits for the server, whatever it had done before.
func TestOpenWhileServerGoesAway(t *testing.T) {
	m := realservice.NewMariaDB(t)
	for _, statement := range []string{"goose_db_version", "FROM meta", "INSERT INTO messages"} {
		t.Run(statement, func(t *testing.T) {
			r := resetting(t, m.Port, statement)
			at := fmt.Sprint("127.0.0.1:", m.Port)
			db, err := Open(ctx, Options{DB: strings.Replace(m.URL, at, r.l.Addr().String(), 1), Wait: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			want(t, db.Close(), nil)
			if n := r.resets.Load(); n <= maxResets {
				t.Errorf("%q was sent %d times, want more than %d, or the test proves nothing", statement, n, maxResets)
			}
		})
	}
}

// Close succeeds without the database server if there is nothing left to store.
func TestCloseWithoutServer(t *testing.T) {
	m := realservice.NewMariaDB(t)
	for _, back := range []bool{false, true} {
		t.Run(fmt.Sprint("back ", back), func(t *testing.T) {
			h := newHarness(t, Options{DB: m.URL})
			u := []int64{h.user(fmt.Sprint("a ", back)), h.user(fmt.Sprint("b ", back))}
			var batch []*Append
			for i := range 100 {
				batch = append(batch, toPeer(u[0], u[1], fmt.Sprint(i)))
			}
			h.store(batch...)
			if _, err := h.Friends(ctx, u[0]); err != nil {
				t.Fatal(err)
			}
			m.Kill(t)
			if back {
				m.Start(t)
			}
			h.store(toPeer(u[0], u[1], "after that")) // its connection is broken
			want(t, h.Close(), nil)
			if !back {
				m.Start(t)
			}
		})
	}
}

// relay forwards connections. It closes the first maxResets ones on which a text
// is sent.
type relay struct {
	l      net.Listener
	text   []byte
	resets atomic.Int32 // how often the text was sent
}

const maxResets = 2

// resetting starts a relay to a local port.
func resetting(t *testing.T, port int, text string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	r := &relay{l: l, text: []byte(text)}
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", port))
			if err != nil {
				near.Close()
				continue
			}
			go func() { io.Copy(near, far); near.Close() }()
			go func() { r.forward(far, near); far.Close(); near.Close() }()
		}
	}()
	return r
}

func (r *relay) forward(to, from net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if bytes.Contains(buf[:n], r.text) && r.resets.Add(1) <= maxResets {
			return
		}
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

// said is a log that tells when a text is logged.
type said struct {
	slog.Handler
	text string
	now  chan struct{}
}

func (s *said) Enabled(context.Context, slog.Level) bool { return true }

func (s *said) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, s.text) {
		s.now <- struct{}{}
	}
	return nil
}

// While another node migrates the schema, Open says what it waits for.
func TestOpenSaysThatAnotherNodeMigrates(t *testing.T) {
	url := realservice.MariaDB(t)
	db, err := Open(ctx, Options{DB: url})
	want(t, err, nil)
	lock, err := db.sql.Maintenance.Connx(ctx)
	want(t, err, nil)
	_, err = lock.ExecContext(ctx, `DO GET_LOCK(CONCAT('chatd:', MD5(DATABASE())), 0)`) // as a node that migrates
	want(t, err, nil)
	log := &said{slog.DiscardHandler, "another node is migrating the schema", make(chan struct{}, 1)}
	opened := make(chan error, 1)
	go func() {
		second, err := Open(ctx, Options{DB: url, Logger: slog.New(log)})
		if err == nil {
			err = second.Close()
		}
		opened <- err
	}()
	select {
	case <-log.now:
	case err := <-opened:
		t.Errorf("Open returned (error %v) while another node held the lock; want it to wait, and to log what for", err)
		opened <- err
	case <-time.After(time.Minute):
		t.Error("Open didn't log within a minute that another node is migrating")
	}
	want(t, lock.Close(), nil)
	want(t, <-opened, nil)
	want(t, db.Close(), nil)
}
