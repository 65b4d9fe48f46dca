package ops

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// refusedPort listens on a port that browsers refuse, on a loopback address
// that is free.
func refusedPort(t *testing.T) net.Listener {
	t.Helper()
	for i := 2; i < 250; i++ {
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.6.%d:6000", i)); err == nil {
			t.Cleanup(func() { _ = l.Close() })
			return l
		}
	}
	t.Skip("only 127.0.0.1 is loopback here")
	return nil
}

// startWithChat starts a Server whose chat port is l. It returns the
// connections that l accepts.
func startWithChat(t *testing.T, l net.Listener) (*node, <-chan net.Conn) {
	t.Helper()
	n := start(t)
	chat := netip.MustParseAddrPort(l.Addr().String())
	n.chat.Store(&chat)
	conns := make(chan net.Conn, MaxTunnels)
	go func() {
		defer close(conns)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns <- c
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		for c := range conns {
			_ = c.Close()
		}
	})
	return n, conns
}

const askForWebSocket = "GET /ws HTTP/1.1\r\nHost: chat.example:8080\r\nOrigin: http://chat.example:8080\r\nConnection: Upgrade\r\n" +
	"Upgrade: websocket\r\nSec-WebSocket-Key: x\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n"

// dial connects to the Server. All I/O on the connection has to end within a
// minute.
func (n *node) dial(t *testing.T) net.Conn {
	t.Helper()
	return n.dialFrom(t, 1)
}

// dialFrom is dial, from the loopback address 127.0.0.i. It skips the test if that
// doesn't exist here.
func (n *node) dialFrom(t *testing.T, i int) net.Conn {
	t.Helper()
	d := net.Dialer{}
	if i > 1 {
		d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(i))}
	}
	c, err := d.Dial("tcp", n.Addr().String())
	if errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Skip("only 127.0.0.1 is loopback here")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c
}

const (
	upgraded = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: y\r\n\r\n"
	refused  = "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 18\r\n\r\norigin not allowed"
)

// answer accepts the next connection at the chat, reads the handshake from it
// and sends response.
func answer(t *testing.T, conns <-chan net.Conn, response string) (*http.Request, net.Conn, *bufio.Reader) {
	t.Helper()
	select {
	case c := <-conns:
		t.Cleanup(func() { _ = c.Close() })
		if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(c)
		req, err := http.ReadRequest(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, response); err != nil {
			t.Fatal(err)
		}
		return req, c, r
	case <-time.After(time.Minute):
		t.Fatal("no connection to the chat within a minute")
		return nil, nil, nil
	}
}

// handshake sends a WebSocket handshake, and early right after it.
func handshake(t *testing.T, browser net.Conn, early string) {
	t.Helper()
	if _, err := io.WriteString(browser, askForWebSocket+early); err != nil {
		t.Fatal(err)
	}
}

// wantStatus reads the answer to a handshake, with its body unless it is a 101.
func wantStatus(t *testing.T, browser *bufio.Reader, status int) (h http.Header, body string) {
	t.Helper()
	resp, err := http.ReadResponse(browser, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != status {
		t.Fatalf("the browser got %s with body %q, %v; want status %d", resp.Status, b, err, status)
	}
	return resp.Header, string(b)
}

// A chat on a port that browsers refuse is reached through the page's own
// address. The handshake arrives as the browser sent it, with the browser's
// address added, and both sides can send until they close.
func TestTunnel(t *testing.T) {
	n, conns := startWithChat(t, refusedPort(t))
	resp, body := do(t, "GET", n.url+"/config.json", "chat.example:8080")
	if !strings.Contains(body, `"ws://chat.example:8080/ws"`) || !strings.Contains(resp.Header.Get("Content-Security-Policy"), " ws://chat.example:8080;") {
		t.Errorf("config.json is %s and the policy %s; want ws://chat.example:8080 in both", body, resp.Header.Get("Content-Security-Policy"))
	}
	browser := n.dial(t)
	handshake(t, browser, "early")
	req, chat, r := answer(t, conns, upgraded+"down")
	if req.Host != "chat.example:8080" || req.Header.Get("Origin") != "http://chat.example:8080" || req.Header.Get("Sec-WebSocket-Key") != "x" ||
		strings.Join(req.Header["X-Forwarded-For"], " ") != "127.0.0.1" || req.RequestURI != "/ws" ||
		req.Header.Get("Upgrade") != "websocket" || req.Header.Get("Connection") != "Upgrade" || req.Header.Get("Accept-Encoding") != "" || req.Header.Get("User-Agent") != "" {
		t.Errorf("the chat got a handshake for %s with Host %q and %v;\nwant /ws, the browser's Host and headers, its address in X-Forwarded-For, and no Accept-Encoding or User-Agent",
			req.URL, req.Host, req.Header)
	}
	down := bufio.NewReader(browser)
	if h, _ := wantStatus(t, down, http.StatusSwitchingProtocols); len(h) != 3 || h.Get("Sec-WebSocket-Accept") != "y" {
		t.Errorf("the browser got %v, want the three headers of the chat's answer", h)
	}
	want := make([]byte, 5)
	if _, err := io.ReadFull(r, want); err != nil || string(want) != "early" {
		t.Errorf("the chat read %q, %v after the handshake; want early", want, err)
	}
	if _, err := io.ReadFull(down, want[:4]); err != nil || string(want[:4]) != "down" {
		t.Errorf("the browser read %q, %v after the handshake; want down", want[:4], err)
	}
	// The browser half-closes; the chat still answers.
	if err := browser.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(r); err != nil || len(rest) != 0 {
		t.Errorf("the chat read %q, %v; want the end", rest, err)
	}
	if _, err := io.WriteString(chat, "bye"); err != nil {
		t.Fatal(err)
	}
	_ = chat.Close()
	if rest, err := io.ReadAll(down); err != nil || string(rest) != "bye" {
		t.Errorf("the browser read %q, %v; want bye", rest, err)
	}
}

// The tunnel ends when the browser's connection does, also while the chat
// hasn't answered the handshake yet.
func TestTunnelBrowserLeaves(t *testing.T) {
	n, conns := startWithChat(t, refusedPort(t))
	for _, response := range []string{"", upgraded} {
		browser := n.dial(t)
		handshake(t, browser, "")
		_, _, r := answer(t, conns, response)
		if response != "" {
			wantStatus(t, bufio.NewReader(browser), http.StatusSwitchingProtocols)
		}
		if err := browser.(*net.TCPConn).SetLinger(0); err != nil { // Close resets the connection
			t.Fatal(err)
		}
		_ = browser.Close()
		if b, err := r.ReadByte(); err == nil {
			t.Errorf("after %q the chat read byte %d, want the end of the connection", response, b)
		}
	}
}

// The chat's refusal reaches the browser, and a chat that closes the connection
// without an answer is reported like one that doesn't listen.
func TestTunnelRefusal(t *testing.T) {
	n, conns := startWithChat(t, refusedPort(t))
	browser := n.dial(t)
	handshake(t, browser, "")
	answer(t, conns, refused)
	if _, body := wantStatus(t, bufio.NewReader(browser), http.StatusForbidden); body != "origin not allowed" {
		t.Errorf("the browser got %q, want the chat's text", body)
	}
	browser = n.dial(t)
	handshake(t, browser, "")
	_, chat, _ := answer(t, conns, "")
	_ = chat.Close()
	wantStatus(t, bufio.NewReader(browser), http.StatusServiceUnavailable)
}

// Tunnels leave connections for operators, and end with the server, even if a
// browser has stopped reading.
func TestTunnelsAreBounded(t *testing.T) {
	n, conns := startWithChat(t, refusedPort(t))
	var last net.Conn
	var lastDown *bufio.Reader
	var chat net.Conn
	for i := range MaxTunnels {
		last = n.dialFrom(t, 1+i/MaxTunnelsPerAddr)
		lastDown = bufio.NewReader(last)
		handshake(t, last, "")
		// The server counts a tunnel before it connects to the chat.
		_, chat, _ = answer(t, conns, upgraded)
		wantStatus(t, lastDown, http.StatusSwitchingProtocols)
	}
	beyond := n.dialFrom(t, 100)
	handshake(t, beyond, "")
	if answer, err := io.ReadAll(beyond); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 503 ") {
		t.Errorf("tunnel %d got %q, %v; want a 503 and the end", MaxTunnels+1, answer, err)
	}
	if _, body := do(t, "GET", n.url+"/metrics", ""); !strings.Contains(body, fmt.Sprintf("chatd_ops_tunnels %d\n", MaxTunnels)) || !strings.Contains(body, "chatd_ops_tunnels_refused_total 1\n") {
		t.Errorf("/metrics doesn't show %d tunnels and 1 refused", MaxTunnels)
	}
	// Fill what is between the chat and the browser, until the tunnel's write
	// blocks.
	if err := chat.SetWriteDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(chat, zeros{}); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("writing to a browser that doesn't read: %v, want a timeout", err)
	}
	began := time.Now()
	if err := n.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > writeTimeout/2 {
		t.Errorf("Close took %s with a browser that doesn't read; it should not wait for the write's timeout", took)
	}
	var metrics strings.Builder
	n.set.WritePrometheus(&metrics)
	if !strings.Contains(metrics.String(), "chatd_ops_tunnels 0\n") {
		t.Errorf("metrics after Close: %s; want chatd_ops_tunnels 0", metrics.String())
	}
	if _, err := io.Copy(io.Discard, lastDown); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the tunnel is still open after Close")
	}
}

// zeros is an endless Reader.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// Only WebSockets are proxied, and only if browsers can't connect to the chat
// port.
func TestNoTunnel(t *testing.T) {
	l := refusedPort(t)
	n, _ := startWithChat(t, l)
	if resp, _ := do(t, "GET", n.url+"/ws", ""); resp.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("GET /ws without Upgrade: %s, want 426", resp.Status)
	}
	if resp, _ := do(t, "POST", n.url+"/ws", ""); resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST /ws: %s, want 405", resp.Status)
	}
	_ = l.Close()
	ask := func() int {
		t.Helper()
		c := n.dial(t)
		handshake(t, c, "")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	if got := ask(); got != http.StatusServiceUnavailable {
		t.Errorf("chat port that doesn't listen: %d, want 503", got)
	}
	ordinary := netip.MustParseAddrPort("127.0.0.1:6001")
	n.chat.Store(&ordinary)
	if got := ask(); got != http.StatusNotFound {
		t.Errorf("chat on port 6001: %d, want 404", got)
	}
	nowhere := netip.AddrPort{}
	n.chat.Store(&nowhere)
	if got := ask(); got != http.StatusNotFound {
		t.Errorf("chat not started: %d, want 404", got)
	}
	if resp, _ := do(t, "GET", n.url+"/config.json", ""); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("chat not started: /config.json is %s, want 503", resp.Status)
	}
}

// The WebSocket URL uses the Host header only if that is a valid host name.
func TestTunnelURL(t *testing.T) {
	n := start(t)
	chat := netip.MustParseAddrPort("127.0.0.1:6000")
	n.chat.Store(&chat)
	own := "ws://" + n.Addr().String() + "/ws"
	for host, want := range map[string]string{
		"localhost:8080": "ws://localhost:8080/ws", "chat.example": "ws://chat.example:80/ws", "[::1]:9000": "ws://[::1]:9000/ws",
		"evil;x:80": own, "chat.example:80;x": own, "chat.example:": own, "a b": own,
	} {
		req, err := http.NewRequest("GET", n.url+"/config.json", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			continue // no request that a client sends
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK && !strings.Contains(string(body), `"`+want+`"`) {
			t.Errorf("Host %q: %s, want %s", host, body, want)
		}
	}
}
