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

// A setting of one package that another one needs as well reaches both.
func TestCombinedSettings(t *testing.T) {
	clean(t)
	inv := mustParse(t, "--max-unanswered", "200MiB", "--burst", "7s")
	if inv.Service.Limits.Burst != 7*time.Second || inv.Reactor.Burst != 7*time.Second {
		t.Errorf("--burst 7s: %s for users, %s for connections", inv.Service.Limits.Burst, inv.Reactor.Burst)
	}
	// The store must not refuse first.
	n := &node{cfg: &inv.Config}
	n.service = service.New(n.cfg.Service, slog.New(slog.DiscardHandler), metrics.NewSet())
	if o := n.storeOptions(); o.QueueBytes < 200<<20 || o.QueueMessages < 200<<10 {
		t.Errorf("--max-unanswered 200MiB: the store's queue takes %d bytes, %d messages", o.QueueBytes, o.QueueMessages)
	}
}

// What kong reads from the tags is what the packages' own defaults are.
func TestDefaultsAgree(t *testing.T) {
	clean(t)
	inv := mustParse(t)
	r, s := reactor.DefaultConfig(), service.DefaultConfig()
	if got := inv.Reactor; !reflect.DeepEqual(got, r) {
		t.Errorf("by flags  %+v\ndefault   %+v", got, r)
	}
	if w, p := s.Session.Window, s.Delivery.MaxPage; w != proto.DefaultWindow || p != proto.MaxSyncMessages {
		t.Errorf("a window of %d and pages of %d: docs/protocol.md has %d and %d", w, p, proto.DefaultWindow, proto.MaxSyncMessages)
	}
	if got := inv.Service; !reflect.DeepEqual(got, s) {
		t.Errorf("by flags  %+v\ndefault   %+v", got, s)
	}
}
