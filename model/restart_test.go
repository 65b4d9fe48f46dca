package model

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"chatd/internal/realservice"
)

// A start in the moment in which the database server goes away waits for it
// just like one before that: whatever it had reached, it begins again.
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
				t.Errorf("%q was seen %d times: this test shows nothing", statement, n)
			}
		})
	}
}

// A server that went away after all was stored is no reason to end badly.
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
			h.store(toPeer(u[0], u[1], "after that")) // finds its connection dead
			want(t, h.Close(), nil)
			if !back {
				m.Start(t)
			}
		})
	}
}

// relay resets the first connections on which a text is sent.
type relay struct {
	l      net.Listener
	text   []byte
	resets atomic.Int32
}

const maxResets = 2

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
