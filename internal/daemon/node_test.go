package daemon

import (
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"chatd/reactor"
	"chatd/service/ops"
)

// A browser is sent from the chat port to where it can follow, never to a
// loopback that isn't its own.
func TestWebClientAddress(t *testing.T) {
	for _, c := range []struct {
		chat, http, url, wantURL string
		port                     bool
	}{
		{"127.0.0.1:6000", "127.0.0.1:0", "", "http://127.0.0.1:%d/", false},
		{"0.0.0.0:6000", "127.0.0.1:0", "", "", false},
		{"192.0.2.1:6000", "127.0.0.1:0", "", "", false},
		{"0.0.0.0:6000", "0.0.0.0:0", "", "", true},
		{"127.0.0.1:6000", "0.0.0.0:0", "", "", true},
		{"0.0.0.0:6000", "127.0.0.1:0", "https://chat.example/", "https://chat.example/", false},
	} {
		o := ops.New(ops.Config{HTTP: c.http, Ready: func() bool { return true }})
		if err := o.Start(); err != nil {
			t.Fatal(err)
		}
		at := o.Addr().(*net.TCPAddr).Port
		n := &node{cfg: &Config{Reactor: reactor.Config{Addr: c.chat, WebURL: c.url}}, ops: o}
		want, wantPort := strings.Replace(c.wantURL, "%d", strconv.Itoa(at), 1), 0
		if c.port {
			wantPort = at
		}
		if url, port := n.webClient(); url != want || port != wantPort {
			t.Errorf("%+v: %q, %d; want %q, %d", c, url, port, want, wantPort)
		}
		if err := o.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if url, port := (&node{cfg: &Config{Reactor: reactor.Config{Addr: "127.0.0.1:6000"}}}).webClient(); url != "" || port != 0 {
		t.Errorf("without --http: %q, %d", url, port)
	}
}

// The bounds for all connections, and the wait after abuse, reach the parts
// that keep them.
func TestBoundsReachTheirParts(t *testing.T) {
	clean(t)
	inv := mustParse(t, "--max-held", "1MiB", "--max-held-all", "3MiB", "--max-waiting-all", "4MiB", "--max-unanswered", "2MiB", "--abuse-wait", "7s")
	n := &node{cfg: &inv.Config}
	s, r := n.serviceConfig(), n.reactorConfig()
	for _, v := range []struct {
		name      string
		got, want int64
	}{
		{"max-held-all", int64(r.MaxHeldAll), 3 << 20},
		{"max-waiting-all", int64(r.MaxWaitingAll), 4 << 20},
		{"max-unanswered", s.MaxUnanswered, 2 << 20},
		{"abuse-wait", int64(s.AbuseWait), int64(7 * time.Second)},
	} {
		if v.got != v.want {
			t.Errorf("--%s: %d, want %d", v.name, v.got, v.want)
		}
	}
}
