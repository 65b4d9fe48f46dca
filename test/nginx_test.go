package test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"chatd/internal/realservice"
)

// TestNginxLimits checks the limits per address of deploy/nginx.conf: they refuse
// one client's excess and serve others, and an IPv6 address counts as its /64.
// Connections that send nothing count on the chat ports, and not on the web port. The
// test lowers the numbers.
func TestNginxLimits(t *testing.T) {
	node, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	reached := make(chan net.Conn, 16)
	go func() { // keeps connections open and answers nothing
		defer close(reached)
		for {
			c, err := node.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			reached <- c
		}
	}()
	dead := loopback(realservice.Port(t))
	c := &cluster{t: t, chat: loopback(realservice.Port(t)), chatTLS: loopback(realservice.Port(t)), web: loopback(realservice.Port(t))}
	for range 3 {
		c.nodes = append(c.nodes, &clusterNode{chat: node.Addr().String(), http: dead})
	}
	conf := c.nginxConf(t)
	for _, edit := range [][2]string{
		{"limit_conn chat_clients 1000;", "limit_conn chat_clients 3;"},
		{"limit_conn web_clients 1000;", "limit_conn web_clients 3;"},
		{"ssl_handshake_timeout 10s;", "ssl_handshake_timeout 10m;"},
		{"client_header_timeout 15s;", "client_header_timeout 10m;"},
		{"burst=5000 nodelay;", "burst=2 nodelay;"},
		{"rate=500r/s;", "rate=1r/m;"},
		{"server_tokens off;", "server_tokens off; set_real_ip_from 127.0.0.0/8; real_ip_header X-Test-Client;"},
	} {
		if strings.Count(conf, edit[0]) != 1 {
			t.Fatalf("deploy/nginx.conf has %q %d times, want once", edit[0], strings.Count(conf, edit[0]))
		}
		conf = strings.Replace(conf, edit[0], edit[1], 1)
	}
	realservice.Nginx(t, conf)

	// The chat port: the fourth connection of an address is closed.
	dialAt := func(from byte, addr string) net.Conn {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, from)}}
		conn, err := d.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	dial := func(from byte) net.Conn { t.Helper(); return dialAt(from, c.chat) }
	for i, from := range []byte{2, 2, 2, 3} {
		dial(from)
		select {
		case <-reached:
		case <-time.After(clusterTimeout):
			t.Fatalf("connection %d, from 127.0.0.%d, didn't reach the node; want three connections of an address and one of another", i+1, from)
		}
	}
	excess := dial(2)
	if err := excess.SetReadDeadline(time.Now().Add(clusterTimeout)); err != nil {
		t.Fatal(err)
	}
	if n, err := excess.Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the fourth connection of an address to the chat port: read %d bytes, %v; want its end", n, err)
	}

	// The web port: three requests are let through, to nodes that don't answer.
	get := func(client string) int {
		t.Helper()
		conn, err := tls.Dial("tcp", c.web, &tls.Config{RootCAs: c.roots, NextProtos: []string{"http/1.1"}})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nX-Test-Client: %s\r\nConnection: close\r\n\r\n", c.web, client)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode
	}
	for _, r := range []struct {
		client string
		want   int
	}{
		{"192.0.2.1", 502}, {"192.0.2.1", 502}, {"192.0.2.1", 502}, {"192.0.2.1", 429},
		{"192.0.2.2", 502},
		{"2001:db8::1", 502}, {"2001:db8::ffff:1", 502}, {"2001:db8::a:0:0:1", 502}, {"2001:db8::2", 429},
		{"2001:db8:0:1::1", 502},
		{"2001:db8:a00:a0a::1", 502}, {"2001:db8:a00:a0a::0a0a", 502}, {"2001:db8:a00:a0a::2", 502}, {"2001:db8:a00:a0a:0a0a:0a0a:0a0a:0a0a", 429},
	} {
		if got := get(r.client); got != r.want {
			t.Errorf("request of %s: status %d, want %d", r.client, got, r.want)
		}
	}

	// Connections that never send anything count on the chat ports, which share the limit.
	dial(4)
	<-reached
	ended := make(chan struct{}, 3)
	for range 3 {
		conn := dialAt(4, c.chatTLS)
		go func() {
			_, _ = conn.Read(make([]byte, 1)) // ends when nginx or the test closes the connection
			ended <- struct{}{}
		}()
	}
	select {
	case <-ended:
	case <-time.After(clusterTimeout):
		t.Error("the fourth silent connection of an address to the chat ports is open, want it closed")
	}
	if len(ended) > 0 {
		t.Error("more than one of four silent connections of an address to the chat ports was closed, want three open")
	}

	// They don't count on the web port, where only requests do.
	for range 5 {
		dialAt(5, c.web)
	}
	if got := get("127.0.0.5"); got != 502 {
		t.Errorf("request of an address with five silent connections to the web port: status %d, want 502", got)
	}
}
