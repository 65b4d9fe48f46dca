package ops

import (
	"bufio"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"chatd/internal/limit"
)

// Limits of the tunnels to the chat port.
const (
	MaxTunnels        = MaxConns / 2        // open at once; the rest of MaxConns is for pages and operators
	MaxTunnelsPerAddr = MaxConnsPerAddr / 2 // of these, for one client's address
	tunnelsPerSec     = 5                   // new ones per second and address
	tunnelsBurst      = 10 * time.Second    // how many seconds' worth of them may be opened at once
	maxTunnelAddrs    = 1 << 14             // addresses whose rate is tracked
	dialTimeout       = 5 * time.Second
)

// refusedByBrowsers lists the ports above 1023 that no browser connects to: the
// bad ports of the Fetch standard. 6000, a port in common use for chat servers
// of this kind, is one of them.
var refusedByBrowsers = []uint16{1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080}

// tunnels proxies WebSockets to a chat port that browsers refuse to connect to.
type tunnels struct {
	proxy   httputil.ReverseProxy
	slots   chan struct{} // holds one value per open tunnel
	perAddr *limit.Open
	rates   *limit.Table[netip.Addr] // new tunnels, by limit.Source
	refused *metrics.Counter
	ctx     context.Context // canceled by close
	cancel  context.CancelFunc
}

func newTunnels(s *Server, name string) *tunnels {
	t := &tunnels{slots: make(chan struct{}, MaxTunnels), perAddr: limit.NewOpen(MaxTunnelsPerAddr),
		rates:   limit.NewTable[netip.Addr](limit.PerSecond(tunnelsPerSec, tunnelsBurst, time.Now()), maxTunnelAddrs, nil),
		refused: s.cfg.Set.NewCounter(name + "_tunnels_refused_total")}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	s.cfg.Set.NewGauge(name+"_tunnels", func() float64 { return float64(len(t.slots)) })
	t.proxy = httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL = &url.URL{Scheme: "http", Host: s.chatAddr(p.In).String(), Path: "/ws"}
			// The chat trusts this header, so only a trusted proxy may add to it.
			// SetXForwarded appends the address of the connection.
			if limit.Contains(s.cfg.Proxies, peer(p.In)) {
				p.Out.Header["X-Forwarded-For"] = p.In.Header["X-Forwarded-For"]
			}
			p.SetXForwarded()
			if s.cfg.TunnelKey != "" {
				p.Out.Header.Set(s.cfg.TunnelHeader, s.cfg.TunnelKey)
			}
		},
		Transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: dialTimeout}).DialContext,
			DisableKeepAlives:      true,
			DisableCompression:     true, // adds no header to the handshake
			ResponseHeaderTimeout:  readTimeout,
			MaxResponseHeaderBytes: maxHeader,
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			s.cfg.Logger.Debug("WebSocket tunnel failed", "err", err)
			if !w.(*upgradeWriter).hijacked {
				writeText(w, http.StatusServiceUnavailable, "the chat port doesn't accept connections\n")
			}
		},
		ErrorLog: slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelDebug),
	}
	return t
}

// close ends all tunnels and waits for them. Later requests get a 503.
func (t *tunnels) close() {
	t.cancel()
	for range MaxTunnels {
		t.slots <- struct{}{}
	}
	for range MaxTunnels {
		<-t.slots
	}
}

// tunnelled reports whether browsers can reach the chat only through this
// server.
func (s *Server) tunnelled() bool {
	return slices.Contains(refusedByBrowsers, s.cfg.Chat().Port())
}

// tunnel proxies a WebSocket to the chat, which checks the origin and applies
// its own limits. It blocks until the tunnel ends.
func (s *Server) tunnel(w http.ResponseWriter, r *http.Request) {
	if !s.tunnelled() {
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodGet || !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		w.Header().Set("Upgrade", "websocket")
		writeText(w, http.StatusUpgradeRequired, "this URL is only for WebSockets\n")
		return
	}
	t := s.tunnels
	release := t.admit(s.client(r))
	if release == nil {
		t.refused.Inc()
		w.Header().Set("Connection", "close")
		w.Header().Set("Retry-After", "5")
		writeText(w, http.StatusServiceUnavailable, "too many WebSockets; try again later\n")
		return
	}
	defer release()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(t.ctx, cancel)()
	t.proxy.ServeHTTP(&upgradeWriter{ResponseWriter: w, ctx: ctx}, r.WithContext(ctx))
}

// admit counts a tunnel, and returns the function that ends that. It returns nil
// if there are too many. The zero Addr has no limit of its own.
func (t *tunnels) admit(addr netip.Addr) (release func()) {
	if addr.IsValid() && t.rates.Take(limit.Source(addr), time.Now(), 1) > 0 || !t.perAddr.Join(addr) {
		return nil
	}
	select {
	case t.slots <- struct{}{}:
	default:
		t.perAddr.Leave(addr)
		return nil
	}
	return func() {
		t.perAddr.Leave(addr)
		<-t.slots
	}
}

// peer returns the address at the other end of the connection, or the zero Addr.
func peer(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// client returns the address for which limits count a request: that of the
// connection or, if that is a trusted proxy, the one that the proxy reports. It is
// the zero Addr if the proxy reports none.
func (s *Server) client(r *http.Request) netip.Addr {
	addr := peer(r)
	if limit.Contains(s.cfg.Proxies, addr) {
		addr, _ = limit.Forwarded(strings.Join(r.Header["X-Forwarded-For"], ","), s.cfg.Proxies)
	}
	return addr
}

// upgradeWriter is the ResponseWriter of a tunnel. ReverseProxy takes the
// browser's connection from its Hijack.
type upgradeWriter struct {
	http.ResponseWriter
	ctx      context.Context // the connection is closed when it is canceled
	hijacked bool
}

func (w *upgradeWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, buf, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	w.hijacked = true
	clear(w.Header()) // those of pages; ReverseProxy adds the chat's
	context.AfterFunc(w.ctx, func() { _ = c.Close() })
	return browserConn{c, buf.Reader}, buf, nil
}

// browserConn is the browser's end of a tunnel. It has no CloseWrite on purpose:
// ReverseProxy then ends the tunnel when the chat has sent everything.
type browserConn struct {
	net.Conn
	buffered *bufio.Reader // what arrived together with the handshake; ReverseProxy would drop it
}

func (c browserConn) Read(p []byte) (int, error) {
	if n := c.buffered.Buffered(); n > 0 {
		return c.buffered.Read(p[:min(n, len(p))])
	}
	return c.Conn.Read(p)
}

// Write gives up after writeTimeout. While a write blocks, nobody would notice
// that the chat has closed its end because this browser doesn't read.
func (c browserConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// tunnelURL is the tunnel's URL by the host name that the client asked for, or
// by this server's address if that name is invalid.
func tunnelURL(r *http.Request) string {
	host := hostName(r.Host)
	_, port, err := net.SplitHostPort(r.Host)
	if _, bad := strconv.ParseUint(port, 10, 16); host == "" || err == nil && bad != nil {
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		if local == nil {
			return ""
		}
		return "ws://" + local.String() + "/ws"
	}
	if err != nil {
		port = "80"
	}
	return "ws://" + net.JoinHostPort(host, port) + "/ws"
}
