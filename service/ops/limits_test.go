package ops

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// startServer starts a Server, which is closed when the test ends.
func startServer(t *testing.T, s *Server) *node {
	t.Helper()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := s.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return &node{Server: s, url: "http://" + s.Addr().String()}
}

func isReady() bool { return true }

// One address can't use up the connections of a server: others still get pages,
// health checks and traces.
func TestConnectionsPerAddress(t *testing.T) {
	for name, c := range map[string]struct {
		server *Server
		most   int
	}{
		"http":   {New(Config{HTTP: "127.0.0.1:0", Ready: isReady}), MaxConnsPerAddr},
		"health": {NewHealth(Config{Health: "127.0.0.1:0", Ready: isReady}), maxHealthAddr},
		"admin":  {NewAdmin(Config{Admin: "127.0.0.1:0"}), maxAdminAddr},
	} {
		n := startServer(t, c.server)
		for range c.most {
			n.dialFrom(t, 2)
		}
		if got, err := n.dialFrom(t, 2).Read(make([]byte, 1)); err == nil {
			t.Errorf("%s: read %d bytes from connection %d of an address, want its end", name, got, c.most+1)
		}
		other := n.dialFrom(t, 3)
		fmt.Fprint(other, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
		if resp, err := http.ReadResponse(bufio.NewReader(other), nil); err != nil {
			t.Errorf("%s: GET from another address: %v, want a response", name, err)
		} else {
			resp.Body.Close()
		}
	}
}

// A trusted proxy has the connections of many clients, so it has no limit of its
// own.
func TestProxyConnections(t *testing.T) {
	n := startServer(t, New(Config{HTTP: "127.0.0.1:0", Ready: isReady, Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}}))
	var last net.Conn
	for range MaxConnsPerAddr + 1 {
		last = n.dialFrom(t, 2)
	}
	fmt.Fprint(last, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if b, err := io.ReadAll(last); err != nil || !strings.Contains(string(b), "200 OK") {
		t.Errorf("connection %d of a trusted proxy got %q, %v; want 200", MaxConnsPerAddr+1, b, err)
	}
}

// The health listener serves health checks and metrics and nothing else, one
// request per connection, while all connections of --http are in use.
func TestHealthListener(t *testing.T) {
	set := metrics.NewSet()
	cfg := Config{HTTP: "127.0.0.1:0", Health: "127.0.0.1:0", Ready: isReady, Set: set, Version: "v1"}
	main, health := startServer(t, New(cfg)), startServer(t, NewHealth(cfg))
	for i := range MaxConns {
		main.dialFrom(t, 2+i/MaxConnsPerAddr)
	}
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 200, "/": 404, "/ops": 404, "/ws": 404, "/config.json": 404,
		"/debug/pprof/": 404, "/trace": 404} {
		resp, body := get(t, health.url+path)
		if resp.StatusCode != want || !resp.Close {
			t.Errorf("GET %s: %d, close %v; want %d and the connection closed", path, resp.StatusCode, resp.Close, want)
		}
		if path == "/metrics" && (!strings.Contains(body, "chatd_ops_health_requests_total ") || !strings.Contains(body, `chatd_build_info{version="v1",go="go`)) {
			t.Errorf("/metrics lacks chatd_ops_health_requests_total or chatd_build_info:\n%s", body)
		}
	}
	if b := healthBounds; b.header > 2*time.Second || b.read > 2*time.Second {
		t.Errorf("a silent connection to --health stays open for up to %v, want at most 2s", max(b.header, b.read))
	}
}

// A profile takes no longer than maxProfile, and no page of another site can
// start one or read a trace: requests that a browser marks as coming from another
// site, or from nowhere that the address trusts, get 403.
func TestOperatorsOnly(t *testing.T) {
	traces := 0
	admin := startServer(t, NewAdmin(Config{Admin: "127.0.0.1:0", Trace: func(context.Context, url.Values) (any, error) {
		traces++
		return map[string]int{}, nil
	}}))
	main := startServer(t, New(Config{HTTP: "127.0.0.1:0", Ready: isReady}))
	for _, c := range []struct {
		site, origin, path string
		want               int
	}{
		{"", "", "/debug/pprof/", 200},
		{"none", "", "/debug/pprof/", 200},
		{"same-origin", "", "/debug/pprof/", 200},
		{"same-origin", "own", "/debug/pprof/", 200},
		{"cross-site", "", "/debug/pprof/", 403},
		{"same-site", "", "/debug/pprof/symbol", 403}, // another port of localhost
		{"future-value", "", "/debug/pprof/", 403},
		{"", "https://evil.example", "/debug/pprof/profile?seconds=1", 403},
		{"", "null", "/debug/pprof/profile?seconds=1", 403},
		{"cross-site", "", "/debug/pprof/profile?seconds=1", 403},
		{"", "", "/debug/pprof/profile?seconds=61", 400},
		{"", "", "/debug/pprof/trace?seconds=1e9", 400},
		{"", "", "/debug/pprof/trace?seconds=NaN", 400},
		{"", "", "/debug/pprof/profile?seconds=-1", 400},
		{"", "", "/debug/pprof/heap?seconds=1&seconds=61", 400},
		{"", "", "/debug/pprof/trace?seconds=0.01", 200},
	} {
		for _, n := range []*node{admin, main} {
			req, err := http.NewRequest("GET", n.url+c.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.site != "" {
				req.Header.Set("Sec-Fetch-Site", c.site)
			}
			if origin := c.origin; origin != "" {
				if origin == "own" {
					origin = n.url
				}
				req.Header.Set("Origin", origin)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode != c.want {
				t.Errorf("GET %s with Sec-Fetch-Site %q and Origin %q: %d, want %d", c.path, c.site, c.origin, resp.StatusCode, c.want)
			}
		}
	}
	req, _ := http.NewRequest("GET", admin.url+"/trace?group=1", nil)
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 403 || traces != 0 {
		t.Errorf("/trace from another site: %d, and the trace ran %d times; want 403 and 0", resp.StatusCode, traces)
	}
}

// One client can't use up the tunnels, directly or through a trusted proxy, so
// browsers of others aren't locked out.
func TestTunnelsPerAddress(t *testing.T) {
	n, conns := startWithChat(t, refusedPort(t))
	n.cfg.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.9/32")}
	ask := func(from int, forwarded string) net.Conn {
		c := n.dialFrom(t, from)
		fmt.Fprint(c, strings.Replace(askForWebSocket, "6.6.6.6", forwarded, 1))
		return c
	}
	for i := range MaxTunnelsPerAddr {
		// X-Forwarded-For counts only if it comes from the proxy, which adds the
		// last address.
		c := ask(9, fmt.Sprintf("10.0.0.%d, 192.0.2.7", i))
		answer(t, conns, upgraded)
		wantStatus(t, bufio.NewReader(c), http.StatusSwitchingProtocols)
		c = ask(8, fmt.Sprintf("10.0.0.%d", i))
		answer(t, conns, upgraded)
		wantStatus(t, bufio.NewReader(c), http.StatusSwitchingProtocols)
	}
	for _, c := range []struct {
		from      int
		forwarded string
		want      int
	}{{9, "192.0.2.7", 503}, {8, "192.0.2.8", 503}, {9, "192.0.2.8", 101}, {7, "192.0.2.7", 101}} {
		browser := ask(c.from, c.forwarded)
		if c.want == 101 {
			answer(t, conns, upgraded)
		}
		if resp, err := http.ReadResponse(bufio.NewReader(browser), nil); err != nil || resp.StatusCode != c.want {
			t.Errorf("tunnel from 127.0.0.%d for %s: %v, %v; want %d", c.from, c.forwarded, resp, err, c.want)
		}
	}
}

// The chat learns the browser's address, so that its limits per client work
// through the tunnel: a trusted proxy's X-Forwarded-For is extended, anyone
// else's is replaced.
func TestTunnelForwards(t *testing.T) {
	n, conns := startWithChat(t, refusedPort(t))
	n.cfg.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.9/32")}
	n.cfg.TunnelHeader, n.cfg.TunnelKey = "Chatd-Tunnel", "the key"
	for from, want := range map[int]string{9: "6.6.6.6, 127.0.0.9", 8: "127.0.0.8"} {
		c := n.dialFrom(t, from)
		fmt.Fprint(c, strings.Replace(askForWebSocket, "X-Forwarded-For", "Chatd-Tunnel: forged\r\nX-Forwarded-For", 1))
		req, _, _ := answer(t, conns, upgraded)
		if got := strings.Join(req.Header["X-Forwarded-For"], "|"); got != want {
			t.Errorf("handshake from 127.0.0.%d reached the chat with X-Forwarded-For %q, want %q", from, got, want)
		}
		if got := strings.Join(req.Header["Chatd-Tunnel"], "|"); got != "the key" {
			t.Errorf("handshake from 127.0.0.%d reached the chat with Chatd-Tunnel %q, want the key", from, got)
		}
	}
}

// Each metric has a HELP line with a text and a TYPE line. If promtool is
// installed, it checks the format.
func TestMetricsFormat(t *testing.T) {
	n := start(t)
	_, body := get(t, n.url+"/metrics")
	for _, want := range []string{"# HELP chatd_ops_requests_total Requests to --http.\n# TYPE chatd_ops_requests_total counter\nchatd_ops_requests_total ",
		"# TYPE chatd_build_info gauge\n", "# HELP go_goroutines From the Go runtime.\n"} {
		if !strings.Contains(body, want) {
			t.Errorf("/metrics lacks %q:\n%s", want, body)
		}
	}
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool isn't installed")
	}
	cmd := exec.Command(promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(body)
	if out, err := cmd.CombinedOutput(); strings.Contains(string(out), "error while linting") {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}
