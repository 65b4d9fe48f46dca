package reactor

import (
	"bytes"
	"crypto/subtle"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/gobwas/ws"

	"chatd/proto"
)

const (
	handshakeEnd  = "\r\n\r\n"
	handshakeMax  = 8 << 10 // bytes of an HTTP request
	handshakePath = "/ws"

	// TunnelHeader is the header of a WebSocket handshake that contains
	// Config.TunnelKey.
	TunnelHeader = "Chatd-Tunnel"
)

// httpMethods are the starts of HTTP requests. As the length of a frame, each would
// be far too large.
var httpMethods = []string{"GET ", "HEAD ", "OPTIONS ", "POST ", "PUT ", "PATCH ", "DELETE ", "CONNECT ", "TRACE "}

// startsHTTP reports whether p, which isn't empty, starts with the method of an HTTP
// request, or is the start of one.
func startsHTTP(p []byte) bool {
	for _, m := range httpMethods {
		if startsWith(p, m) {
			return true
		}
	}
	return false
}

// readHandshake collects an HTTP request and answers it once it is complete. It
// returns the bytes that follow the request. If a request stays incomplete, the
// login timeout closes the connection.
func (c *Conn) readHandshake(t Turn, data []byte) (rest []byte) {
	before := 0
	if c.in != nil {
		before = len(c.in.b)
	}
	n := min(len(data), handshakeMax-before)
	c.in = c.l.r.buffers.grow(c.in, n)
	c.in.b = append(c.in.b, data[:n]...)
	head := c.in.b
	if !startsHTTP(head) {
		// Not HTTP, so the letter is the first byte of a length. That is far too
		// large, and frameLen refuses it.
		c.framing = framingTCP
		if len(head) >= proto.HeaderSize {
			c.frameLen(t, head)
			return nil
		}
		return data[n:]
	}
	from := max(0, before-len(handshakeEnd)+1)
	end := bytes.Index(head[from:], []byte(handshakeEnd))
	if end < 0 {
		if len(head) >= handshakeMax {
			c.answerHTTP(t, "HTTP/1.1 431 Request Header Fields Too Large")
			return nil
		}
		return data[n:]
	}
	end += from + len(handshakeEnd)
	rest = data[end-before:]
	request := c.in
	c.in = nil
	c.upgrade(t, request.b[:end])
	c.l.r.buffers.put(request)
	return rest
}

// answerHTTP refuses an HTTP request.
func (c *Conn) answerHTTP(t Turn, status string) {
	c.l.r.count.wsRefused.Inc()
	c.writeRaw(t, []byte(status+"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
	c.finish(t)
}

// exchange is an HTTP request and the answer to it.
type exchange struct {
	bytes.Reader // the request
	answer       bytes.Buffer
	forwarded    string // its X-Forwarded-For headers, joined by commas
	tunnel       bool   // it comes from the tunnel of this process
	other        bool   // it isn't for a WebSocket
}

func (e *exchange) Write(p []byte) (int, error) { return e.answer.Write(p) }

// closing is a header of all answers except an upgrade.
const closing = "Connection: close\r\n"

func rejectHTTP(status int, header, why string) error {
	return ws.RejectConnectionError(ws.RejectionStatus(status), ws.RejectionReason(why),
		ws.RejectionHeader(ws.HandshakeHeaderString(header+closing)))
}

// upgrade answers an HTTP request. If the request is for a WebSocket and
// allowed, the connection becomes one.
func (c *Conn) upgrade(t Turn, request []byte) {
	cfg, count := &c.l.r.cfg, c.l.r.count
	if answer := answerOther(cfg, request); answer != "" {
		count.httpOther.Inc()
		c.writeRaw(t, []byte(answer))
		c.finish(t)
		return
	}
	allowed := *c.l.r.origins.Load()
	x, err := answerUpgrade(cfg, allowed, request, nil)
	if err == nil && c.setForwarded(t, x.forwarded, x.tunnel) != nil {
		x, err = answerUpgrade(cfg, allowed, request, rejectHTTP(429, "Retry-After: 5\r\n", "too many connections"))
	}
	if err == nil {
		count.wsUpgraded.Inc()
		c.writeRaw(t, x.answer.Bytes())
		c.framing = framingWebSocket
		return
	}
	if x.other {
		count.httpOther.Inc()
	} else {
		count.wsRefused.Inc()
	}
	if x.answer.Len() == 0 {
		x.answer.WriteString("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n" + closing + "\r\n")
	}
	c.writeRaw(t, x.answer.Bytes())
	c.finish(t)
}

// answerOther returns the answer to a request that can't be for a WebSocket because of
// its method or its HTTP version, or "" for all others.
func answerOther(cfg *Config, request []byte) string {
	line, _, _ := strings.Cut(string(request), "\r\n")
	method, rest, _ := strings.Cut(line, " ")
	uri, version, complete := strings.Cut(rest, " ")
	path, _, _ := strings.Cut(uri, "?")
	answer := func(status, headers string) string {
		return "HTTP/1.1 " + status + "\r\n" + headers + closing + "\r\n"
	}
	const empty = "Content-Length: 0\r\n"
	switch isGet := method == "GET"; {
	case !complete, isGet && (version != "HTTP/1.0" || path == handshakePath):
		return "" // answerUpgrade refuses what is wrong with them
	case version != "HTTP/1.0" && version != "HTTP/1.1":
		return answer("505 HTTP Version Not Supported", empty)
	case method == "OPTIONS":
		return answer("204 No Content", "Allow: GET, HEAD, OPTIONS\r\n")
	case !isGet && method != "HEAD":
		return answer("405 Method Not Allowed", "Allow: GET, HEAD, OPTIONS\r\n"+empty)
	case path == handshakePath:
		return answer("426 Upgrade Required", "Upgrade: websocket\r\n"+empty)
	}
	if to := webURL(cfg, request); to != "" {
		return answer("302 Found", "Location: "+to+"\r\n"+empty)
	}
	return answer("404 Not Found", empty)
}

// answerUpgrade answers an HTTP request: with an upgrade to WebSocket, or with a
// refusal, which it returns as an error. If refusal is not nil, it is the answer
// to a request that would be upgraded.
func answerUpgrade(cfg *Config, allowed []string, request []byte, refusal error) (*exchange, error) {
	var host string
	var origins []string // of the request
	x := &exchange{}
	x.Reset(request)
	u := ws.Upgrader{
		OnRequest: func(uri []byte) error {
			if path, _, _ := strings.Cut(string(uri), "?"); path == handshakePath {
				return nil
			}
			x.other = true
			if to := webURL(cfg, request); to != "" {
				return rejectHTTP(302, "Location: "+to+"\r\n", "")
			}
			return rejectHTTP(404, "", "not found")
		},
		OnHost: func(v []byte) error { host = string(v); return nil },
		OnHeader: func(key, v []byte) error {
			switch {
			case strings.EqualFold(string(key), "Origin"):
				origins = append(origins, string(v))
			case strings.EqualFold(string(key), "X-Forwarded-For"):
				x.forwarded += "," + string(v)
			case strings.EqualFold(string(key), TunnelHeader):
				x.tunnel = cfg.TunnelKey != "" && subtle.ConstantTimeCompare(v, []byte(cfg.TunnelKey)) == 1
			}
			return nil
		},
		OnBeforeUpgrade: func() (ws.HandshakeHeader, error) {
			for _, origin := range origins { // browsers send only one
				if !allowedOrigin(origin, host, allowed) {
					return nil, rejectHTTP(403, "", "origin not allowed")
				}
			}
			return nil, refusal
		},
	}
	_, err := u.Upgrade(x)
	return x, err
}

// webURL returns the URL of the web client to which a browser is redirected, or ""
// if there is none. The URL may contain the host of the request's Host header,
// which is used only if it is safe in a header and a URL.
func webURL(cfg *Config, request []byte) string {
	if cfg.WebURL != "" || cfg.WebPort == 0 {
		return cfg.WebURL
	}
	for line := range bytes.Lines(request) {
		key, value, _ := strings.Cut(string(line), ":")
		if !strings.EqualFold(key, "Host") {
			continue
		}
		host := hostname(strings.TrimSpace(value))
		strange := func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != ':'
		}
		if host == "" || strings.ContainsFunc(host, strange) {
			return ""
		}
		return "http://" + net.JoinHostPort(host, strconv.Itoa(cfg.WebPort)) + "/"
	}
	return ""
}

// allowedOrigin reports whether a page from origin may connect to this server:
// the origin is in allowed, or its host is that of the request's Host header.
func allowedOrigin(origin, host string, allowed []string) bool {
	for _, a := range allowed {
		if a == "*" || strings.EqualFold(strings.TrimSuffix(a, "/"), origin) {
			return true
		}
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return false
	}
	return strings.EqualFold(u.Hostname(), hostname(host))
}

// hostname returns a Host header without its port.
func hostname(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		return h
	}
	return strings.Trim(host, "[]")
}
