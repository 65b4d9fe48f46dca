package ops

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a Server on a free port. The test sets what Config.Ready and
// Config.Chat return.
type node struct {
	*Server
	ready atomic.Bool
	chat  atomic.Pointer[netip.AddrPort]
	set   *metrics.Set
	url   string
}

func start(t *testing.T) *node {
	t.Helper()
	n := &node{set: metrics.NewSet()}
	n.ready.Store(true)
	chat := netip.MustParseAddrPort("127.0.0.1:7000")
	n.chat.Store(&chat)
	n.Server = New(Config{
		HTTP:  "127.0.0.1:0",
		Ready: n.ready.Load,
		Chat:  func() netip.AddrPort { return *n.chat.Load() },
		Set:   n.set,
	})
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := n.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	n.url = "http://" + n.Addr().String()
	return n
}

func do(t *testing.T, method, url, host string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if host != "" {
		req.Host = host
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	return do(t, http.MethodGet, url, "")
}

// /readyz is for load balancers and follows Config.Ready. /healthz is for
// supervisors, which restart the process, and is always 200.
func TestHealthAndReadiness(t *testing.T) {
	n := start(t)
	for _, ready := range []bool{true, false, true} {
		n.ready.Store(ready)
		if resp, body := get(t, n.url+"/healthz"); resp.StatusCode != 200 || body != "ok\n" {
			t.Errorf("ready %v: /healthz says %d %q, want 200 ok", ready, resp.StatusCode, body)
		}
		want := map[bool]int{true: 200, false: 503}[ready]
		if resp, _ := get(t, n.url+"/readyz"); resp.StatusCode != want {
			t.Errorf("ready %v: /readyz says %d, want %d", ready, resp.StatusCode, want)
		}
	}
}

// /metrics serves the metrics of Config.Set and those of the process.
func TestMetrics(t *testing.T) {
	n := start(t)
	n.set.NewCounter("chatd_test_things_total").Add(7)
	resp, body := get(t, n.url+"/metrics")
	if got := resp.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/plain; version=0.0.4") {
		t.Errorf("Content-Type %q, want text/plain; version=0.0.4", got)
	}
	for _, want := range []string{"chatd_test_things_total 7\n", "chatd_ops_requests_total 1\n", "go_goroutines ", "process_open_fds "} {
		if !strings.Contains(body, want) {
			t.Errorf("/metrics lacks %q", want)
		}
	}
}

// /config.json has a WebSocket URL that the page can reach: with the host name
// of the request if that leads to the chat, otherwise with the chat's address.
func TestWebSocketURL(t *testing.T) {
	n := start(t)
	for _, c := range []struct{ chat, host, want string }{
		{"127.0.0.1:7000", "", "ws://127.0.0.1:7000/ws"},
		{"127.0.0.1:7000", "localhost:8080", "ws://localhost:7000/ws"},
		{"0.0.0.0:7000", "chat.example.com", "ws://chat.example.com:7000/ws"},
		{"[::]:6001", "[::1]:8080", "ws://[::1]:6001/ws"},
		{"192.0.2.7:7000", "localhost:8080", "ws://192.0.2.7:7000/ws"},
		{"127.0.0.1:7000", "evil;script-src *", "ws://127.0.0.1:7000/ws"},
		{"0.0.0.0:7000", "a b", "ws://127.0.0.1:7000/ws"},
	} {
		chat := netip.MustParseAddrPort(c.chat)
		n.chat.Store(&chat)
		resp, body, err := getConfig(n, c.host)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode == http.StatusBadRequest {
			continue // net/http has refused the Host header
		}
		var got struct{ WS string }
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatalf("%+v: %q: %v", c, body, err)
		}
		if got.WS != c.want {
			t.Errorf("chat %s, Host %q: %s, want %s", c.chat, c.host, got.WS, c.want)
		}
		policy := resp.Header.Get("Content-Security-Policy")
		if want := "connect-src 'self' " + strings.TrimSuffix(c.want, "/ws") + ";"; !strings.Contains(policy, want) {
			t.Errorf("policy %q lacks %q", policy, want)
		}
		if strings.Count(policy, "script-src") != 1 || strings.Contains(policy, "*") {
			t.Errorf("the policy contains the Host header: %q", policy)
		}
	}

	none := netip.AddrPort{}
	n.chat.Store(&none)
	if resp, _ := get(t, n.url+"/config.json"); resp.StatusCode != 503 {
		t.Errorf("/config.json before the chat listens: %d, want 503", resp.StatusCode)
	}
}

// getConfig requests /config.json with a Host header that net/http may refuse to
// send.
func getConfig(n *node, host string) (*http.Response, string, error) {
	if host == "" {
		host = n.Addr().String()
	}
	c, err := net.Dial("tcp", n.Addr().String())
	if err != nil {
		return nil, "", err
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /config.json HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

// The operator's page says how to connect, unless the node is draining.
func TestPage(t *testing.T) {
	n := start(t)
	resp, body := get(t, n.url+"/ops")
	if resp.StatusCode != 200 || !strings.Contains(body, "bin/chat 127.0.0.1 7000") {
		t.Errorf("/ops: %d, want 200 and the command to connect: %s", resp.StatusCode, body)
	}
	if _, css := get(t, n.url+"/ops.css"); !strings.Contains(css, "main {") {
		t.Errorf("/ops.css: %q, want the style sheet", css)
	}
	n.ready.Store(false)
	if _, body := get(t, n.url+"/ops"); strings.Contains(body, "bin/chat") || !strings.Contains(body, "starting or draining") {
		t.Errorf("/ops while not ready: %s; want starting or draining", body)
	}
}

// All responses have the security headers, including errors. Only GET and HEAD
// are allowed. The command line, which may contain a password, isn't served.
func TestSecurity(t *testing.T) {
	n := start(t)
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/", 200},
		{"HEAD", "/healthz", 200},
		{"POST", "/healthz", 405},
		{"DELETE", "/", 405},
		{"OPTIONS", "/metrics", 405},
		{"GET", "/nothing", 404},
		{"GET", "/ops", 200},
		{"GET", "/ops.html", 404},
		{"GET", "/index.html", 404},
		{"GET", "/app/", 404},
		{"GET", "/app/../app/main.js", 200}, // after a redirect
		{"GET", "/web.go", 404},
		{"POST", "/app/main.js", 405},
		{"GET", "/debug/vars", 404},
		{"GET", "/debug/pprof/", 200},
		{"GET", "/debug/pprof/goroutine?debug=1", 200},
		{"GET", "/debug/pprof/cmdline", 404},
	} {
		resp, _ := do(t, c.method, n.url+c.path, "")
		if resp.StatusCode != c.status {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, resp.StatusCode, c.status)
		}
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; manifest-src 'self'; connect-src 'self' ws://127.0.0.1:7000; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
			"X-Content-Type-Options":  "nosniff",
			"Referrer-Policy":         "no-referrer",
		} {
			if got := resp.Header.Get(name); !strings.HasPrefix(got, want) {
				t.Errorf("%s %s: %s is %q, want %q", c.method, c.path, name, got, want)
			}
		}
	}
}

// Profiles are served on loopback, and on other addresses only if HTTPPprof is
// set. They aren't served to requests by a foreign host name (DNS rebinding).
func TestProfiles(t *testing.T) {
	n := start(t)
	if resp, _ := do(t, "GET", n.url+"/debug/pprof/heap", "rebound.example"); resp.StatusCode != 421 {
		t.Errorf("profile by a foreign host name: %d, want 421", resp.StatusCode)
	}
	if resp, _ := do(t, "GET", n.url+"/metrics", "node1.example"); resp.StatusCode != 200 {
		t.Errorf("metrics by the node's host name: %d, want 200", resp.StatusCode)
	}
	without := New(Config{HTTP: "0.0.0.0:0", Ready: n.ready.Load})
	if err := without.Start(); err != nil {
		t.Fatal(err)
	}
	defer without.Close(context.Background())
	_, port, err := net.SplitHostPort(without.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/profile", "/debug/pprof/trace", "/debug/pprof/symbol", "/trace"} {
		if resp, _ := get(t, "http://127.0.0.1:"+port+path); resp.StatusCode != 404 {
			t.Errorf("%s on 0.0.0.0: %d, want 404", path, resp.StatusCode)
		}
	}
}

// The Server closes connections beyond MaxConns, so that they can't use up the
// chat's file descriptors, and accepts new ones once others are closed.
func TestConnectionLimit(t *testing.T) {
	n := start(t)
	conns := make([]net.Conn, 0, MaxConns)
	for i := range MaxConns {
		conns = append(conns, n.dialFrom(t, 2+i/MaxConnsPerAddr))
	}
	// The next one is closed without a response.
	if got, err := n.dialFrom(t, 100).Read(make([]byte, 1)); err == nil {
		t.Fatalf("read %d bytes from a connection beyond the limit, want its end", got)
	}
	if got := n.listener.refused.Get(); got != 1 {
		t.Errorf("%d counted as refused, want 1", got)
	}

	// A connection that is closed frees its slot.
	fmt.Fprintf(conns[0], "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if _, err := io.ReadAll(conns[0]); err != nil {
		t.Fatal(err)
	}
	for len(n.listener.slots) == MaxConns {
		runtime.Gosched() // the slot is freed right after the connection is closed
	}
	if resp, _ := get(t, n.url+"/healthz"); resp.StatusCode != 200 {
		t.Errorf("/healthz after a connection was closed: %d, want 200", resp.StatusCode)
	}
}

// If the address is in use, Start returns an error that names it. Close then
// does nothing.
func TestAddressInUse(t *testing.T) {
	n := start(t)
	second := New(Config{HTTP: n.Addr().String()})
	err := second.Start()
	if err == nil || !strings.Contains(err.Error(), n.Addr().String()) {
		t.Errorf("Start on an address in use: %v, want an error that names it", err)
	}
	if err := second.Close(context.Background()); err != nil {
		t.Errorf("Close: %v, want no error", err)
	}
}

// Close closes the connections of requests that are in progress when ctx ends.
func TestCloseAfterTimeout(t *testing.T) {
	n := start(t)
	c, err := net.Dial("tcp", n.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /debug/pprof/trace?seconds=0.2 HTTP/1.1\r\nHost: x\r\n\r\n")
	// The first byte shows that the request is in progress.
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := n.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
}
