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

// startAdmin starts an admin Server with the given Config.Trace.
func startAdmin(t *testing.T, trace func(context.Context, url.Values) (any, error)) (addr string) {
	t.Helper()
	s := NewAdmin(Config{Admin: "127.0.0.1:0", Trace: trace, Set: metrics.NewSet()})
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

// FetchTrace returns the result or the RequestError of Config.Trace. Other
// errors of Config.Trace aren't sent to the client.
func TestFetchTrace(t *testing.T) {
	addr := startAdmin(t, func(_ context.Context, v url.Values) (any, error) {
		switch v.Get("cid") {
		case "none":
			return nil, &RequestError{NotFound: true, Text: "no such thing"}
		case "bad":
			return nil, &RequestError{Text: "makes no sense"}
		case "broken":
			return nil, errors.New("mysql://chatd:secret@db is away")
		}
		return map[string]string{"got": v.Get("cid")}, nil
	})
	fetch := func(cid string) (string, error) {
		b, err := FetchTrace(context.Background(), addr, url.Values{"cid": {cid}})
		return string(b), err
	}
	if got, err := fetch("ü & <x>"); err != nil || !strings.Contains(got, `"got":"ü \u0026`) {
		t.Errorf("got %q, %v; want the cid that was sent", got, err)
	}
	var reqErr *RequestError
	if _, err := fetch("none"); !errors.As(err, &reqErr) || !reqErr.NotFound || reqErr.Text != "no such thing" {
		t.Errorf("cid none: %v, want a RequestError with NotFound", err)
	}
	if _, err := fetch("bad"); !errors.As(err, &reqErr) || reqErr.NotFound || reqErr.Text != "makes no sense" {
		t.Errorf("cid bad: %v, want a RequestError without NotFound", err)
	}
	if _, err := fetch("broken"); err == nil || errors.As(err, new(*RequestError)) || strings.Contains(err.Error(), "secret") {
		t.Errorf("cid broken: %v, want an error without the cause and no RequestError", err)
	}
	if _, err := FetchTrace(context.Background(), "127.0.0.1:1", nil); err == nil || errors.As(err, new(*RequestError)) {
		t.Errorf("nothing listens: %v, want an error that is no RequestError", err)
	}
	// Another HTTP server has no RequestError.
	other := start(t)
	if _, err := FetchTrace(context.Background(), other.Addr().String(), url.Values{}); err == nil || errors.As(err, new(*RequestError)) {
		t.Errorf("another HTTP server: %v, want an error that is no RequestError", err)
	}
}

// The admin address refuses requests by a foreign host name (DNS rebinding) and
// methods other than GET and HEAD.
func TestAdminSecurity(t *testing.T) {
	addr := startAdmin(t, func(context.Context, url.Values) (any, error) { return "result", nil })
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
		if c.status != 200 && strings.Contains(body, "result") {
			t.Errorf("%s %s of %q: the body has the trace, want none", c.method, c.path, c.host)
		}
		if resp.Header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(resp.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("%s %s: headers %v, want nosniff and frame-ancestors 'none'", c.method, c.path, resp.Header)
		}
	}
}

// Only addresses that other machines certainly can't reach are loopback.
func TestIsLoopback(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:1": true, "127.9.9.9:1": true, "[::1]:1": true, "localhost:1": true, "[::ffff:127.0.0.1]:1": true,
		":1": false, "0.0.0.0:1": false, "[::]:1": false, "10.0.0.1:1": false, "chat.example:1": false, "localhost.example:1": false, "127.0.0.1": false, "": false,
	} {
		if got := IsLoopback(addr); got != want {
			t.Errorf("IsLoopback(%q): %v, want %v", addr, got, want)
		}
	}
}
