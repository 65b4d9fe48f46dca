package test

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"chatd/proto"
)

// webSocket is a WebSocket through the tunnel of --http.
type webSocket struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

// dialTunnel opens a WebSocket at the --http address, from the loopback address
// 127.0.0.from.
func dialTunnel(t *testing.T, addr string, from byte, headers string) *webSocket {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, from)}}
	conn, err := d.Dial("tcp", addr)
	if errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Skip("only 127.0.0.1 is loopback here")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(clusterTimeout)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET /ws HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n%s"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", addr, headers)
	w := &webSocket{t, conn, bufio.NewReader(conn)}
	resp, err := http.ReadResponse(w.r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("WebSocket handshake through the tunnel: %v, %v; want 101", resp, err)
	}
	return w
}

// call sends a request and returns the errno of its answer.
func (w *webSocket) call(r *proto.Request) proto.Errno {
	w.t.Helper()
	body := proto.AppendRequest(nil, r)
	frame := append([]byte{0x81, 0x80 | 126, byte(len(body) >> 8), byte(len(body)), 0, 0, 0, 0}, body...) // masked by zeros
	if _, err := w.Write(frame); err != nil {
		w.t.Fatal(err)
	}
	var head [2]byte
	if _, err := io.ReadFull(w.r, head[:]); err != nil {
		w.t.Fatal(err)
	}
	n := int(head[1])
	if n == 126 {
		var size [2]byte
		if _, err := io.ReadFull(w.r, size[:]); err != nil {
			w.t.Fatal(err)
		}
		n = int(binary.BigEndian.Uint16(size[:]))
	}
	answer := make([]byte, n)
	if _, err := io.ReadFull(w.r, answer); err != nil {
		w.t.Fatal(err)
	}
	var a struct{ Errno proto.Errno }
	if err := json.Unmarshal(answer, &a); err != nil {
		w.t.Fatalf("answer %q: %v", answer, err)
	}
	return a.Errno
}

// TestLimitsThroughTunnel checks that wrong passwords are counted for the browser's
// address, also if the browser comes through the tunnel of --http, with or without a
// trusted proxy in front of it: nobody else is locked out, and nobody escapes the limit
// by forging a header.
func TestLimitsThroughTunnel(t *testing.T) {
	dir := t.TempDir()
	ip := ""
	for i := 2; i < 250; i++ {
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.7.%d:6000", i)); err == nil {
			l.Close()
			ip = fmt.Sprintf("127.0.7.%d", i)
			break
		}
	}
	if ip == "" {
		t.Skip("only 127.0.0.1 is loopback here")
	}
	const most = 3
	d := startDaemon(t, dir, ip, "6000", "--db", "sqlite:"+filepath.Join(dir, "chat.db"), "--http", "127.0.0.1:0", "--argon2", "8,1,1",
		"--proxy-protocol", "127.0.0.9/32", "--failed-logins-per-addr", fmt.Sprint(most))
	addr := strings.Trim(strings.TrimPrefix(d.until(t, `web client.* url=(\S+)`), "http:"), "/")
	forwarded := func(who string) string { return "X-Forwarded-For: " + who + "\r\n" }
	for i, c := range []struct {
		from    byte
		headers func(i int) string // of attempt i
		want    proto.Errno        // of the attempt after most attempts
	}{
		{8, func(i int) string { return forwarded(fmt.Sprintf("10.0.0.%d", i)) }, proto.TooFast},            // a browser that forges its address
		{7, func(int) string { return "" }, proto.TooFast},                                                  // another browser
		{9, func(i int) string { return forwarded(fmt.Sprintf("10.0.0.%d, 192.0.2.1", i)) }, proto.TooFast}, // one client of a proxy
		{9, func(int) string { return forwarded("192.0.2.2") }, proto.TooFast},                              // another one
		{9, func(i int) string { return forwarded(fmt.Sprintf("192.0.2.%d", 100+i)) }, proto.Refused},       // many clients of a proxy
		{6, func(int) string { return "Chatd-Tunnel: x\r\n" + forwarded("192.0.2.3") }, proto.TooFast},      // guesses the key
		{5, func(int) string { return forwarded("192.0.2.200") + forwarded("192.0.2.201") }, proto.TooFast}, // two headers
	} {
		for k := range most + 1 {
			want := proto.Refused
			if k == most {
				want = c.want
			}
			w := dialTunnel(t, addr, c.from, c.headers(k))
			// Different names, so that no limit per account applies.
			got := w.call(&proto.Request{Op: proto.LOGIN, Name: fmt.Sprintf("name %d %d x", i, k), Password: "wrong password"})
			if got != want {
				t.Errorf("case %d: attempt %d from 127.0.0.%d with %q: errno %d, want %d", i, k+1, c.from, c.headers(k), got, want)
			}
			w.Close()
		}
	}
}
