package reactor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"

	"chatd/proto"
)

// PROXY protocol headers carry the client's address through a trusted proxy. A
// header is the first thing on a connection. The first byte of neither version
// can start a valid frame.
//
// github.com/pires/go-proxyproto can't replace this: it needs the whole header, so
// finding its end would stay here, and it rejects headers that are accepted here
// (PROXY with an unspecified address, for example).
const (
	proxyV1      = "PROXY "
	proxyV1Max   = 107 // bytes, including the end of line
	proxyV2      = "\r\n\r\n\x00\r\nQUIT\n"
	proxyV2Fixed = 16
	proxyV2Max   = 4 << 10 // bytes; the fields that proxies add are far smaller
)

var errProxyHeader = errors.New("reactor: bad PROXY header")

// startsProxy reports whether a connection's first byte may start a PROXY header
// from a trusted proxy.
func (c *Conn) startsProxy(t Turn, first byte) bool {
	return !c.proxied && (first == proxyV1[0] || first == proxyV2[0]) && c.l.r.trusted(c.addr)
}

// unwrap reads the header, which may arrive in pieces: it keeps data in c.in until
// the header is complete. It returns what follows the header. A malformed header
// ends the connection.
func (c *Conn) unwrap(t Turn, data []byte) (rest []byte) {
	before := 0
	if c.in != nil {
		before = len(c.in.b)
	}
	n := min(len(data), proxyV2Max-before)
	c.in = c.l.r.buffers.grow(c.in, n)
	c.in.b = append(c.in.b, data[:n]...)
	size, addr, err := parseProxy(c.in.b)
	if err != nil {
		c.l.r.count.badProxy.Inc()
		c.finish(t)
		return nil
	}
	if size == 0 {
		return data[n:]
	}
	c.l.r.buffers.put(c.in)
	c.in = nil
	c.framing, c.proxied = framingUnknown, true
	if addr.IsValid() {
		if err := c.setAddr(t, addr); err != nil {
			c.WriteResponse(t, &proto.Response{Op: proto.ERROR, Errno: proto.TooFast,
				ErrMsg: "too many connections; try again later", RetryAfter: retryAfterMS})
			c.finish(t)
		}
	}
	return data[size-before:]
}

// parseProxy parses the header at the start of p. It returns the header's size, or
// 0 if p doesn't hold all of it, and the client's address. The address is invalid
// if the proxy opened the connection for itself or doesn't know its client.
func parseProxy(p []byte) (size int, addr netip.Addr, err error) {
	switch {
	case startsWith(p, proxyV1):
		return parseProxyV1(p)
	case startsWith(p, proxyV2):
		return parseProxyV2(p)
	default:
		return 0, addr, errProxyHeader
	}
}

// startsWith reports whether p starts with prefix, or is the start of prefix.
func startsWith(p []byte, prefix string) bool {
	n := min(len(p), len(prefix))
	return string(p[:n]) == prefix[:n]
}

func parseProxyV1(p []byte) (size int, addr netip.Addr, err error) {
	end := bytes.Index(p, []byte("\r\n"))
	if end < 0 || end+2 > proxyV1Max {
		if len(p) >= proxyV1Max {
			err = errProxyHeader
		}
		return 0, addr, err
	}
	size = end + 2
	f := strings.Split(string(p[:end]), " ")
	switch {
	case f[1] == "UNKNOWN":
		return size, addr, nil
	case len(f) != 6:
		return 0, addr, errProxyHeader
	}
	if addr, err = netip.ParseAddr(f[2]); err != nil || addr.Zone() != "" || (f[1] == "TCP4") != addr.Is4() || (f[1] == "TCP6") != addr.Is6() {
		return 0, netip.Addr{}, errProxyHeader
	}
	return size, addr.Unmap(), nil
}

func parseProxyV2(p []byte) (size int, addr netip.Addr, err error) {
	if len(p) < proxyV2Fixed {
		return 0, addr, nil
	}
	size = proxyV2Fixed + int(binary.BigEndian.Uint16(p[14:]))
	if p[12]>>4 != 2 || size > proxyV2Max {
		return 0, addr, errProxyHeader
	}
	if len(p) < size {
		return 0, addr, nil
	}
	const local, proxied = 0, 1
	const tcp4, tcp6 = 0x11, 0x21
	rest := p[proxyV2Fixed:size]
	switch p[12] & 15 {
	case local:
		return size, addr, nil
	case proxied:
	default:
		return 0, addr, errProxyHeader
	}
	switch p[13] {
	case tcp4:
		if len(rest) < 12 {
			return 0, addr, errProxyHeader
		}
		addr = netip.AddrFrom4([4]byte(rest))
	case tcp6:
		if len(rest) < 36 {
			return 0, addr, errProxyHeader
		}
		addr = netip.AddrFrom16([16]byte(rest)).Unmap()
	}
	return size, addr, nil
}
