package ops

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// refusedPort listens where browsers don't connect to: on an address of the
// loopback that nobody else has.
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

// behind starts a Server whose chat is on l, and takes what comes there.
func behind(t *testing.T, l net.Listener) (*node, <-chan net.Conn) {
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

// dial connects to the Server, with a bound on all that follows.
func (n *node) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", n.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c
}

// take takes the next connection at the chat.
func take(t *testing.T, conns <-chan net.Conn) (net.Conn, *bufio.Reader) {
	t.Helper()
	select {
	case c := <-conns:
		t.Cleanup(func() { _ = c.Close() })
		if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		return c, bufio.NewReader(c)
	case <-time.After(time.Minute):
		t.Fatal("nobody has come to the chat")
		return nil, nil
	}
}

// A chat on a port that no browser connects to is reached by way of the page's
// own address: the handshake arrives as the browser made it, with the address
// that it came from, and all bytes go both ways until either has said all.
func TestTunnel(t *testing.T) {
	n, conns := behind(t, refusedPort(t))
	resp, body := do(t, "GET", n.url+"/config.json", "chat.example:8080")
	if !strings.Contains(body, `"ws://chat.example:8080/ws"`) || !strings.Contains(resp.Header.Get("Content-Security-Policy"), " ws://chat.example:8080;") {
		t.Errorf("a page is told %s, and may connect to %s", body, resp.Header.Get("Content-Security-Policy"))
	}
	browser := n.dial(t)
	if _, err := io.WriteString(browser, askForWebSocket+"early"); err != nil {
		t.Fatal(err)
	}
	chat, r := take(t, conns)
	req, err := http.ReadRequest(r)
	if err != nil {
		t.Fatal(err)
	}
	if req.Host != "chat.example:8080" || req.Header.Get("Origin") != "http://chat.example:8080" || req.Header.Get("Sec-WebSocket-Key") != "x" ||
		strings.Join(req.Header["X-Forwarded-For"], " ") != "127.0.0.1" || req.URL.Path != "/ws" {
		t.Errorf("the chat is asked by %q for %s with %v", req.Host, req.URL, req.Header)
	}
	want := make([]byte, 5)
	if _, err := io.ReadFull(r, want); err != nil || string(want) != "early" {
		t.Errorf("what came with the handshake reads %q, %v", want, err)
	}
	if _, err := io.WriteString(chat, "down"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(browser, want[:4]); err != nil || string(want[:4]) != "down" {
		t.Errorf("the browser reads %q, %v", want[:4], err)
	}
	// The browser has said all; the chat still answers.
	if err := browser.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(r); err != nil || len(rest) != 0 {
		t.Errorf("the chat reads %q, %v", rest, err)
	}
	if _, err := io.WriteString(chat, "bye"); err != nil {
		t.Fatal(err)
	}
	_ = chat.Close()
	if rest, err := io.ReadAll(browser); err != nil || string(rest) != "bye" {
		t.Errorf("the browser reads %q at the end, %v", rest, err)
	}
}

// Tunnels leave operators room, and end with the server.
func TestTunnelsAreBounded(t *testing.T) {
	n, conns := behind(t, refusedPort(t))
	var last net.Conn
	for range MaxTunnels {
		last = n.dial(t)
		if _, err := io.WriteString(last, askForWebSocket); err != nil {
			t.Fatal(err)
		}
		// What has been handed on was counted before: the next one can't overtake it.
		_, r := take(t, conns)
		if _, err := http.ReadRequest(r); err != nil {
			t.Fatal(err)
		}
	}
	beyond := n.dial(t)
	if _, err := io.WriteString(beyond, askForWebSocket); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(beyond); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 503 ") {
		t.Errorf("one too many is told %q, %v", answer, err)
	}
	if _, body := do(t, "GET", n.url+"/metrics", ""); !strings.Contains(body, fmt.Sprintf("chatd_ops_tunnels %d\n", MaxTunnels)) || !strings.Contains(body, "chatd_ops_tunnels_refused_total 1\n") {
		t.Error("it isn't counted")
	}
	if err := n.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if rest, err := io.ReadAll(last); err == nil && len(rest) > 0 {
		t.Errorf("a tunnel goes on after the end: %q", rest)
	}
}

// Only a WebSocket goes through, and only where there is no direct way.
func TestNoTunnel(t *testing.T) {
	l := refusedPort(t)
	n, _ := behind(t, l)
	if resp, _ := do(t, "GET", n.url+"/ws", ""); resp.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("no WebSocket: %s", resp.Status)
	}
	if resp, _ := do(t, "POST", n.url+"/ws", ""); resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %s", resp.Status)
	}
	_ = l.Close()
	ask := func() int {
		t.Helper()
		c := n.dial(t)
		if _, err := io.WriteString(c, askForWebSocket); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	if got := ask(); got != http.StatusServiceUnavailable {
		t.Errorf("a chat that doesn't listen: %d", got)
	}
	ordinary := netip.MustParseAddrPort("127.0.0.1:6001")
	n.chat.Store(&ordinary)
	if got := ask(); got != http.StatusNotFound {
		t.Errorf("an ordinary port: %d", got)
	}
	nowhere := netip.AddrPort{}
	n.chat.Store(&nowhere)
	if got := ask(); got != http.StatusNotFound {
		t.Errorf("no chat yet: %d", got)
	}
	if resp, _ := do(t, "GET", n.url+"/config.json", ""); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("no chat yet, /config.json: %s", resp.Status)
	}
}

// Where a page connects is made of what its host name is, and of nothing else
// that somebody writes into a header.
func TestThroughHere(t *testing.T) {
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
