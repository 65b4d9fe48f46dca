package reactor

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"chatd/proto"
)

func proxyV2Header(command, family byte, addrs ...byte) string {
	h := append([]byte(proxyV2), 0x20|command, family)
	return string(append(binary.BigEndian.AppendUint16(h, uint16(len(addrs))), addrs...))
}

var (
	v4Addrs = []byte{192, 0, 2, 1, 127, 0, 0, 1, 1, 2, 3, 4}
	v6Addrs = append(append([]byte{0x20, 1, 0xd, 0xb8, 15: 1}, make([]byte, 16)...), 1, 2, 3, 4)
)

// proxyHeaders are PROXY headers with the address in each: "-" if there is none, "" if
// the header is malformed.
var proxyHeaders = []struct{ header, addr string }{
	{"PROXY TCP4 192.0.2.1 127.0.0.1 4711 6000\r\n", "192.0.2.1"},
	{"PROXY TCP6 2001:db8::1 ::1 4711 6000\r\n", "2001:db8::1"},
	{"PROXY UNKNOWN\r\n", "-"},
	{"PROXY UNKNOWN ffff::1 ::1 1 2\r\n", "-"},
	{proxyV2Header(1, 0x11, v4Addrs...), "192.0.2.1"},
	{proxyV2Header(1, 0x11, append(v4Addrs, 3, 0, 4, 1, 2, 3, 4)...), "192.0.2.1"},
	{proxyV2Header(1, 0x21, v6Addrs...), "2001:db8::1"},
	{proxyV2Header(0, 0x00), "-"},
	{proxyV2Header(1, 0x31, make([]byte, 216)...), "-"},
	{"PROXY TCP4 2001:db8::1 ::1 4711 6000\r\n", ""},
	{"PROXY TCP6 192.0.2.1 127.0.0.1 4711 6000\r\n", ""},
	{"PROXY TCP4 192.0.2.1\r\n", ""},
	{"PROXY TCP4 192.0.2.1" + strings.Repeat(" ", 100) + "\r\n", ""},
	{"PROXY \r\n", ""},
	{"POST / HTTP/1.1\r\n\r\n", ""},
	{"\r\n\r\nGET ", ""},
	{proxyV2Header(2, 0x11, v4Addrs...), ""},
	{proxyV2Header(1, 0x11, v4Addrs[:11]...), ""},
	{proxyV2Header(1, 0x11, make([]byte, 5000)...), ""},
}

// A PROXY header from a trusted proxy sets the client's address, whether it arrives
// whole or byte by byte, and with both framings. A malformed header or a second one
// ends the connection.
func TestProxyHeaders(t *testing.T) {
	addr := make(chan netip.Addr, 1)
	h := &funcs{request: func(t Turn, c *Conn, r *proto.Request) bool {
		addr <- c.Addr(t)
		return true
	}}
	r := serve(t, h, func(cfg *Config) { cfg.ProxyProtocol = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	for _, tc := range proxyHeaders {
		for _, whole := range []bool{true, false} {
			for _, web := range []bool{true, false} {
				rest := string(frame(chat("who")))
				if web {
					rest = handshakeText + "\r\n" + string(text(chat("who")))
				}
				c := dial(t, r)
				if tc.addr == "" {
					c.raw([]byte(tc.header))
					c.wantEnd()
					continue
				}
				if whole {
					c.raw([]byte(tc.header + rest))
				} else {
					for _, b := range []byte(tc.header + rest) {
						c.raw([]byte{b})
					}
				}
				want := strings.Replace(tc.addr, "-", "127.0.0.1", 1)
				if got := await(t, addr, "the address"); got.String() != want {
					t.Errorf("header %q: client address %s, want %s", tc.header, got, want)
				}
			}
		}
	}
	c := dial(t, r)
	c.raw([]byte(strings.Repeat(proxyHeaders[0].header, 2)))
	c.want(message{Op: proto.ERROR, Errno: proto.BadLength, Text: "*"})
	c.wantEnd()
}

// A PROXY header from an untrusted address is read as a bad frame length. Behind a
// trusted proxy, limits per address apply to the client's address, not the proxy's.
func TestProxyTrust(t *testing.T) {
	c := dial(t, serve(t, &funcs{}))
	c.raw([]byte(proxyHeaders[0].header))
	c.want(message{Op: proto.ERROR, Errno: proto.BadLength, Text: "*"})
	c.wantEnd()

	r := serve(t, &funcs{}, func(cfg *Config) {
		cfg.ProxyProtocol = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
		cfg.ConnsPerAddr = 2
	})
	var all []*client
	for range 2 {
		for _, h := range []string{proxyHeaders[0].header, proxyHeaders[1].header, ""} {
			c := dial(t, r)
			c.raw([]byte(h))
			c.ping()
			all = append(all, c)
		}
	}
	for _, h := range []string{proxyHeaders[0].header, proxyHeaders[1].header} {
		c := dial(t, r)
		c.raw([]byte(h))
		c.want(message{Op: proto.ERROR, Errno: proto.TooFast, Text: "*", Retry: retryAfterMS})
		c.wantEnd()
	}
	for _, c := range all {
		c.ping()
	}
}

// parseProxy returns 0 or the final result for each prefix of a header, and never a
// size beyond the end of the data.
func FuzzProxy(f *testing.F) {
	for _, tc := range proxyHeaders {
		f.Add([]byte(tc.header))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		size, addr, err := parseProxy(p)
		if size > len(p) || err != nil && size != 0 {
			t.Fatalf("parseProxy(%q) = %d, %v, %v; want a size of at most %d, and 0 with an error", p, size, addr, err, len(p))
		}
		for n := range p {
			s, a, e := parseProxy(bytes.Clone(p[:n]))
			switch {
			case s == 0 && e == nil: // incomplete
			case s != size || a != addr || (e != nil) != (err != nil):
				t.Fatalf("parseProxy of %d bytes of %q = %d, %v, %v; want the result for all bytes: %d, %v, %v", n, p, s, a, e, size, addr, err)
			}
		}
	})
}
