package daemon

import (
	"log/slog"
	"net"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"chatd/proto"
	"chatd/reactor"
	"chatd/service"
	"chatd/service/ops"
)

// A browser is redirected from the chat port only to an address that it can
// reach, never to the loopback address of another machine.
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
			t.Errorf("webClient with %+v = %q, %d; want %q, %d", c, url, port, want, wantPort)
		}
		if err := o.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if url, port := (&node{cfg: &Config{Reactor: reactor.Config{Addr: "127.0.0.1:6000"}}}).webClient(); url != "" || port != 0 {
		t.Errorf("webClient without --http = %q, %d; want none", url, port)
	}
}

// A setting that two packages need reaches both.
func TestCombinedSettings(t *testing.T) {
	clean(t)
	inv := mustParse(t, "--max-unanswered", "200MiB", "--burst", "7s")
	if inv.Service.Limits.Burst != 7*time.Second || inv.Reactor.Burst != 7*time.Second {
		t.Errorf("with --burst 7s, burst of users = %s and of connections = %s, want 7s", inv.Service.Limits.Burst, inv.Reactor.Burst)
	}
	// The store's queue must have room for all messages that the session allows.
	n := &node{cfg: &inv.Config}
	n.service = service.New(n.cfg.Service, slog.New(slog.DiscardHandler), metrics.NewSet())
	if o := n.storeOptions(); o.QueueBytes < 200<<20 || o.QueueMessages < 200<<10 {
		t.Errorf("with --max-unanswered 200MiB, the store's queue has %d bytes and %d messages, want at least %d and %d", o.QueueBytes, o.QueueMessages, 200<<20, 200<<10)
	}
}

// The defaults that kong reads from the tags equal the packages' DefaultConfig.
func TestDefaultsAgree(t *testing.T) {
	clean(t)
	inv := mustParse(t)
	r, s := reactor.DefaultConfig(), service.DefaultConfig()
	if got := inv.Reactor; !reflect.DeepEqual(got, r) {
		t.Errorf("reactor's defaults by flags\n%+v\nwant\n%+v", got, r)
	}
	if w, p := s.Session.Window, s.Delivery.MaxPage; w != proto.DefaultWindow || p != proto.MaxSyncMessages {
		t.Errorf("default window = %d and page = %d, want %d and %d, as in docs/protocol.md", w, p, proto.DefaultWindow, proto.MaxSyncMessages)
	}
	if got := inv.Service; !reflect.DeepEqual(got, s) {
		t.Errorf("service's defaults by flags\n%+v\nwant\n%+v", got, s)
	}
}
