package ops

import (
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// Bounds of the tunnels to the chat.
const (
	MaxTunnels    = MaxConns / 2 // open at once; the next one is refused and counted: operators need connections too
	tunnelTimeout = 5 * time.Second
)

// refusedByBrowsers lists the ports above 1023 that no browser connects to,
// whatever a page says, because other protocols live there: the Fetch standard's
// bad ports. 6000, which chats of this family are shown on, is one of them.
var refusedByBrowsers = []uint16{1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080}

// tunnels are the connections of browsers that go on to a chat on such a port.
type tunnels struct {
	refused *metrics.Counter

	mu     sync.Mutex
	open   map[net.Conn]net.Conn // those of browsers, each with that to the chat
	closed bool
	wg     sync.WaitGroup
}

func newTunnels(set *metrics.Set, name string) *tunnels {
	t := &tunnels{open: make(map[net.Conn]net.Conn), refused: set.NewCounter(name + "_tunnels_refused_total")}
	set.NewGauge(name+"_tunnels", func() float64 {
		t.mu.Lock()
		defer t.mu.Unlock()
		return float64(len(t.open))
	})
	return t
}

// add takes a tunnel in; false: there are too many, or the server ends.
func (t *tunnels) add(browser, chat net.Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || len(t.open) >= MaxTunnels {
		return false
	}
	t.open[browser] = chat
	t.wg.Add(1)
	return true
}

func (t *tunnels) remove(browser net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, browser)
	t.wg.Done()
}

// close ends all tunnels and waits for them.
func (t *tunnels) close() {
	t.mu.Lock()
	t.closed = true
	for browser, chat := range t.open { // the tunnel notices
		_ = browser.Close()
		_ = chat.Close()
	}
	t.mu.Unlock()
	t.wg.Wait()
}

// tunnelled says whether browsers reach the chat through this server alone.
func (s *Server) tunnelled() bool {
	return slices.Contains(refusedByBrowsers, s.cfg.Chat().Port())
}

// tunnel hands a WebSocket handshake, and all that follows, on to the chat,
// which decides about it: whose page it is from, what is too much.
func (s *Server) tunnel(w http.ResponseWriter, r *http.Request) {
	if !s.tunnelled() {
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodGet || !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		w.Header().Set("Upgrade", "websocket")
		plain(w, http.StatusUpgradeRequired, "this is for WebSockets\n")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), tunnelTimeout)
	defer cancel()
	chat, err := new(net.Dialer).DialContext(ctx, "tcp", s.chatAddr(r).String())
	if err != nil {
		plain(w, http.StatusServiceUnavailable, "the chat takes no connections\n")
		return
	}
	defer func() { _ = chat.Close() }() // whatever it had to say has been copied
	browser, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		s.cfg.Logger.Error("a connection can't become a tunnel", "err", err)
		plain(w, http.StatusInternalServerError, "this connection can't be a WebSocket\n")
		return
	}
	defer func() { _ = browser.Close() }()
	if !s.tunnels.add(browser, chat) {
		s.tunnels.refused.Inc()
		_, _ = io.WriteString(browser, "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		return
	}
	defer s.tunnels.remove(browser)

	// A later word on the address than ours would be the browser's own.
	head := r.Header.Clone()
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		head.Set("X-Forwarded-For", host)
	}
	var request strings.Builder
	request.WriteString("GET /ws HTTP/1.1\r\nHost: " + r.Host + "\r\n")
	_ = head.Write(&request) // a Builder takes everything
	request.WriteString("\r\n")
	early := make([]byte, buffered.Reader.Buffered())
	if _, err := io.ReadFull(buffered, early); err != nil {
		return // it is there already: this can't fail
	}
	if err := browser.SetDeadline(time.Time{}); err != nil { // the chat has its own idea of idle
		return
	}
	if _, err := chat.Write(append([]byte(request.String()), early...)); err != nil {
		return
	}

	var up sync.WaitGroup
	up.Go(func() {
		if _, err := io.Copy(patient{chat}, browser); err != nil {
			_ = chat.Close() // there is nobody any more who would hear it
			return
		}
		// The chat may still have something to say to who has said all.
		_ = chat.(*net.TCPConn).CloseWrite()
	})
	_, _ = io.Copy(patient{browser}, chat)
	_ = browser.Close() // ends the other direction
	up.Wait()
}

// patient gives up on who doesn't read: the chat, which has given up on them
// before, can't say so while a write hangs.
type patient struct{ net.Conn }

func (p patient) Write(b []byte) (int, error) {
	if err := p.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return p.Conn.Write(b)
}

// throughHere is the URL of the tunnel as the asker reaches it.
func throughHere(r *http.Request) string {
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
