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

// proxyHeaders are headers and the address in each: "-" if it has none, "" if
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

// A PROXY header from a trusted proxy sets the client's address, in one piece or
// byte by byte, before both framings. A malformed or second one ends the connection.
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
					t.Errorf("%q: got %s, want %s", tc.header, got, want)
				}
			}
		}
	}
	c := dial(t, r)
	c.raw([]byte(strings.Repeat(proxyHeaders[0].header, 2)))
	c.want(message{Op: proto.ERROR, Errno: proto.BadLength, Text: "*"})
	c.wantEnd()
}

// A PROXY header from any other address is read as a bad frame length. The limits
// per address apply to the client's address, not to the proxy's.
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

// Parsing a header piece by piece gives the same result as parsing it whole, and
// never reads past its end.
func FuzzProxy(f *testing.F) {
	for _, tc := range proxyHeaders {
		f.Add([]byte(tc.header))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		size, addr, err := parseProxy(p)
		if size > len(p) || err != nil && size != 0 {
			t.Fatal(size, addr, err)
		}
		for n := range p {
			s, a, e := parseProxy(bytes.Clone(p[:n]))
			switch {
			case s == 0 && e == nil: // not enough yet
			case s != size || a != addr || (e != nil) != (err != nil):
				t.Fatalf("%q: with %d bytes %d %v %v, then %d %v %v", p, n, s, a, e, size, addr, err)
			}
		}
	})
}
