package model

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"chatd/internal/realservice"
)

// Batches of the longest messages are stored whatever the server's
// max_allowed_packet is, also by CopyStore. The server refuses larger statements, and
// then ends the connection.
func TestSmallPackets(t *testing.T) {
	for _, limit := range []string{"512K", "1M", "4M"} {
		t.Run(limit, func(t *testing.T) {
			m := realservice.NewMariaDB(t, "--max-allowed-packet="+limit, "--innodb-flush-log-at-trx-commit=0")
			h := newHarness(t, Options{DB: m.URL})
			u := h.users(2)
			body := bytes.Repeat([]byte("long'\\"), 32<<10/6) // with characters that are escaped
			var batch []*Append
			for i := range 300 { // more than one transaction can have
				a := toPeer(u[0], u[1], fmt.Sprint("cid ", i))
				a.Body = body
				batch = append(batch, a)
			}
			h.store(batch...)
			for i, a := range batch {
				if a.Err != nil || a.Seq != int64(i+1) {
					t.Fatalf("max_allowed_packet %s: %s; want seq %d and no error", limit, show(a), i+1)
				}
			}
			if limit != "512K" {
				return
			}
			m.SQL(t, "CREATE DATABASE copied")
			to, err := Open(ctx, Options{DB: strings.TrimSuffix(m.URL, "chatd") + "copied"})
			want(t, err, nil)
			defer to.Close()
			if err := CopyStore(ctx, h.DB, to, nil); err != nil {
				t.Errorf("CopyStore with max_allowed_packet %s: %v; want no error", limit, err)
			}
		})
	}
}

// If a limit of the server is too low for chatd, Open fails, and says which limit it
// is and what to set.
func TestServerLimits(t *testing.T) {
	m := realservice.NewMariaDB(t, "--innodb-flush-log-at-trx-commit=0")
	for _, c := range []struct{ name, low, high string }{
		{"max_allowed_packet", "262144", "16777216"},
		{"max_connections", "10", "151"},
		{"max_prepared_stmt_count", "300", "16382"},
	} {
		m.SQL(t, "SET GLOBAL "+c.name+" = "+c.low)
		db, err := Open(context.Background(), Options{DB: m.URL, Cores: 2})
		if err == nil {
			db.Close()
			t.Errorf("with %s = %s, Open succeeded; want an error", c.name, c.low)
		} else if text := err.Error(); !strings.Contains(text, c.name+" is "+c.low) {
			t.Errorf("with %s = %s, Open returned %q; want an error that names the limit and its value", c.name, c.low, text)
		}
		m.SQL(t, "SET GLOBAL "+c.name+" = "+c.high)
	}
	db, err := Open(context.Background(), Options{DB: m.URL, Cores: 2})
	want(t, err, nil)
	want(t, db.Close(), nil)
}

// Connections stay usable if the server ends unused ones after a short time, and the
// server ends those of a node that is gone.
func TestWaitTimeout(t *testing.T) {
	m := realservice.NewMariaDB(t, "--wait-timeout=1", "--innodb-flush-log-at-trx-commit=0")
	h := newHarness(t, Options{DB: m.URL})
	var s []int
	for _, pool := range []interface {
		Select(to any, q string, args ...any) error
	}{h.sql.Reader, h.sql.Writer, h.sql.Dedicated[0].Conn, h.sql.Dedicated[0].LockConn} {
		var one []int
		want(t, pool.Select(&one, "SELECT @@session.wait_timeout"), nil)
		s = append(s, one...)
	}
	for _, timeout := range s {
		if timeout < 300 || timeout > 3600 {
			t.Errorf("wait_timeout of the connections is %v s; want more than the pool keeps them, and less than an hour", s)
			break
		}
	}
}

// No statement has more parameters than the database allows.
func TestParameters(t *testing.T) {
	most := map[string]int{"sqlite": 32766, "mysql": 65535}
	each(t, func(t *testing.T, h *harness) {
		for _, table := range tables() {
			if n := len(table.columns) * h.d.MaxRows; n > most[h.sql.Name] {
				t.Errorf("copying %s takes %d parameters in one statement, want at most %d", table.name, n, most[h.sql.Name])
			}
		}
	})
}
