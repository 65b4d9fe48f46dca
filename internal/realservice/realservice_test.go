package realservice

import (
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"chatd/internal/services"
)

// Each call of MariaDB returns another database.
func TestMariaDB(t *testing.T) {
	one, two := MariaDB(t), MariaDB(t)
	if one == two || !strings.HasPrefix(one, "mysql://root@127.0.0.1:") {
		t.Fatalf("MariaDB returned %q and %q, want two different URLs", one, two)
	}
	_, name, _ := strings.Cut(strings.TrimPrefix(one, "mysql://"), "/")
	if got := sharedMariaDB.server.SQL(t, "CREATE TABLE "+name+".x (i INT); INSERT INTO "+name+".x VALUES (7); SELECT i FROM "+name+".x"); got != "7\n" {
		t.Errorf("SELECT = %q, want %q", got, "7\n")
	}
}

// A MariaDB that was killed or frozen returns with its data.
func TestMariaDBRestart(t *testing.T) {
	m := NewMariaDB(t)
	m.SQL(t, "CREATE TABLE chatd.x (i INT); INSERT INTO chatd.x VALUES (7)")
	m.Kill(t)
	if c, err := net.Dial("tcp", services.Address(m.Port)); err == nil {
		t.Error("MariaDB accepts connections after Kill", c.Close())
	}
	m.Start(t)
	m.Stop(t)
	m.Cont(t)
	if got := m.SQL(t, "SELECT i FROM chatd.x"); got != "7\n" {
		t.Errorf("SELECT after Kill, Start, Stop and Cont = %q, want %q", got, "7\n")
	}
}

// A Redis can be killed, frozen and restarted.
func TestRedis(t *testing.T) {
	r := Redis(t)
	if got := r.Client(t, "PING"); got != "PONG" {
		t.Errorf("PING = %q, want PONG", got)
	}
	r.Stop(t)
	c, err := net.Dial("tcp", services.Address(r.Port)) // the kernel accepts connections for it
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("PING\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); n > 0 || !os.IsTimeout(err) {
		t.Errorf("read from a frozen Redis: %d bytes, %v; want a timeout", n, err)
	}
	r.Cont(t)
	port := r.Port
	r.Kill(t)
	r.Start(t)
	if got := r.Client(t, "PING"); got != "PONG" || r.Port != port {
		t.Errorf("after a restart: PING = %q on port %d, want PONG on port %d", got, r.Port, port)
	}
}

// After Reload returns, new connections use the new configuration. The stream
// module is loaded.
func TestNginx(t *testing.T) {
	port := strconv.Itoa(Port(t))
	conf := func(word string) string {
		return "events {}\nstream {\n server {\n listen 127.0.0.1:" + port + ";\n return " + word + ";\n }\n}\n"
	}
	ask := func() string {
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		b, err := io.ReadAll(c)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	n := Nginx(t, conf("one"))
	if got := ask(); got != "one" {
		t.Errorf("nginx sent %q, want one", got)
	}
	n.Reload(t, conf("two"))
	if got := ask(); got != "two" && got != "one" { // the old worker may accept connections until it ends
		t.Errorf("nginx sent %q after a reload, want two", got)
	}
	n.Stop(t)
	if c, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
		t.Error("nginx accepts connections after Stop", c.Close())
	}
}
