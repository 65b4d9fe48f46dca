package ops

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"
)

// startAdmin serves questions that answer does.
func startAdmin(t *testing.T, answer func(context.Context, url.Values) (any, error)) (addr string) {
	t.Helper()
	s := NewAdmin(Config{Admin: "127.0.0.1:0", Trace: answer, Set: metrics.NewSet()})
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := s.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s.Addr().String()
}

// A question and its answer reach the other side whole, a refusal says why,
// and what went wrong inside stays there.
func TestAsk(t *testing.T) {
	addr := startAdmin(t, func(_ context.Context, v url.Values) (any, error) {
		switch v.Get("cid") {
		case "none":
			return nil, &Refusal{NotFound: true, Text: "no such thing"}
		case "bad":
			return nil, &Refusal{Text: "makes no sense"}
		case "broken":
			return nil, errors.New("mysql://chatd:secret@db is away")
		}
		return map[string]string{"got": v.Get("cid")}, nil
	})
	ask := func(cid string) (string, error) {
		b, err := Ask(context.Background(), addr, url.Values{"cid": {cid}})
		return string(b), err
	}
	if got, err := ask("ü & <x>"); err != nil || !strings.Contains(got, `"got":"ü \u0026`) {
		t.Errorf("%q, %v", got, err)
	}
	var refusal *Refusal
	if _, err := ask("none"); !errors.As(err, &refusal) || !refusal.NotFound || refusal.Text != "no such thing" {
		t.Error(err)
	}
	if _, err := ask("bad"); !errors.As(err, &refusal) || refusal.NotFound || refusal.Text != "makes no sense" {
		t.Error(err)
	}
	if _, err := ask("broken"); err == nil || errors.As(err, new(*Refusal)) || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
	if _, err := Ask(context.Background(), "127.0.0.1:1", nil); err == nil || errors.As(err, new(*Refusal)) {
		t.Error(err)
	}
	// Something else that serves there is no chatd.
	other := start(t)
	if _, err := Ask(context.Background(), other.Addr().String(), url.Values{}); err == nil || errors.As(err, new(*Refusal)) {
		t.Error(err)
	}
}

// What is on this machine's loopback is not for pages of the web: a host name
// that was made to lead here is refused, as is anything but reading.
func TestAdminStrict(t *testing.T) {
	addr := startAdmin(t, func(context.Context, url.Values) (any, error) { return "told", nil })
	for _, c := range []struct {
		method, path, host string
		status             int
	}{
		{"GET", "/trace", "", 200},
		{"GET", "/trace", "localhost:9100", 200},
		{"GET", "/trace", "[::1]:9100", 200},
		{"GET", "/trace", "rebound.example:9100", 421},
		{"GET", "/debug/pprof/heap", "rebound.example", 421},
		{"POST", "/trace", "", 405},
		{"GET", "/trace?a;b", "", 400},
		{"GET", "/", "", 404},
		{"GET", "/metrics", "", 404},
		{"GET", "/debug/pprof/", "", 200},
		{"GET", "/debug/pprof/cmdline", "", 404},
	} {
		resp, body := do(t, c.method, "http://"+addr+c.path, c.host)
		if resp.StatusCode != c.status {
			t.Errorf("%s %s of %q: %d, want %d", c.method, c.path, c.host, resp.StatusCode, c.status)
		}
		if c.status != 200 && strings.Contains(body, "told") {
			t.Errorf("%s %s of %q is told", c.method, c.path, c.host)
		}
		if resp.Header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(resp.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("%s %s: headers %v", c.method, c.path, resp.Header)
		}
	}
}

// Only what certainly stays on this machine is loopback.
func TestIsLoopback(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:1": true, "127.9.9.9:1": true, "[::1]:1": true, "localhost:1": true, "[::ffff:127.0.0.1]:1": true,
		":1": false, "0.0.0.0:1": false, "[::]:1": false, "10.0.0.1:1": false, "chat.example:1": false, "localhost.example:1": false, "127.0.0.1": false, "": false,
	} {
		if got := IsLoopback(addr); got != want {
			t.Errorf("%q: %v", addr, got)
		}
	}
}
