package ops

import (
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
)

//go:embed ops.html ops.css
var pages embed.FS

// mainHandler routes the requests to a Server of New. It doesn't use
// http.DefaultServeMux, where other packages may register handlers.
func (s *Server) mainHandler() http.Handler {
	page := template.Must(template.ParseFS(pages, "ops.html"))

	mux := s.healthMux()
	mux.HandleFunc("/config.json", s.serveConfig)
	mux.HandleFunc("/ws", s.tunnel)
	if s.cfg.ServesProfiles() {
		mux.Handle("/debug/pprof/", requireLocalHost(pprofHandler()))
	}
	mux.Handle("/ops.css", http.FileServerFS(pages))
	mux.HandleFunc("/ops", func(w http.ResponseWriter, r *http.Request) {
		var chat netip.AddrPort
		if s.cfg.Ready() {
			chat = s.chatAddr(r)
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if err := page.Execute(w, chat); err != nil {
			s.cfg.Logger.Debug("writing the page failed", "err", err)
		}
	})
	assets := sync.OnceValue(loadAssets) // at the first request, to save memory
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if a := assets()[r.URL.Path]; a != nil {
			a.ServeHTTP(w, r)
			return
		}
		http.NotFound(w, r)
	})
	return s.secure(mux)
}

// healthHandler routes the requests to a Server of NewHealth.
func (s *Server) healthHandler() http.Handler { return s.secure(s.healthMux()) }

// healthMux returns a mux with health checks and metrics.
func (s *Server) healthMux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeText(w, http.StatusOK, "ok\n")
	})
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !s.cfg.Ready() {
			writeText(w, http.StatusServiceUnavailable, "not ready: starting or draining\n")
			return
		}
		writeText(w, http.StatusOK, "ok\n")
	})
	mux.HandleFunc("/metrics", s.serveMetrics)
	return mux
}

// contentSecurityPolicy allows pages to load files only from this server, and to
// connect only to it and to the chat address, which replaces %s. Trusted Types
// keep the page from parsing text as script or HTML.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; manifest-src 'self'; connect-src 'self'%s; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// secure counts requests, sets security headers on all responses, and refuses
// methods other than GET and HEAD.
func (s *Server) secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Inc()
		var chat string
		if ws := s.webSocket(r); ws != "" {
			chat = " " + strings.TrimSuffix(ws, "/ws")
		}
		h := w.Header()
		h.Set("Content-Security-Policy", fmt.Sprintf(contentSecurityPolicy, chat))
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-cache")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			writeText(w, http.StatusMethodNotAllowed, "only GET and HEAD are allowed\n")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// webConfig is what the web client needs to know before it connects.
type webConfig struct {
	WS           string `json:"ws"`           // the URL that it connects to
	Registration string `json:"registration"` // who may register: open, invite or off
}

// serveConfig serves the configuration of the web client.
func (s *Server) serveConfig(w http.ResponseWriter, r *http.Request) {
	ws := s.webSocket(r)
	if ws == "" {
		writeText(w, http.StatusServiceUnavailable, "not listening yet\n")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	// Encoding strings can't fail, so an error comes from the connection.
	if err := json.NewEncoder(w).Encode(webConfig{ws, s.cfg.Registration}); err != nil {
		s.cfg.Logger.Debug("writing the configuration failed", "err", err)
	}
}

// chatAddr returns the chat address for the client of r. If the chat listens on
// all addresses, that is the address that the client used for r, with the chat
// port.
func (s *Server) chatAddr(r *http.Request) netip.AddrPort {
	chat := s.cfg.Chat()
	if local := localAddr(r); chat.IsValid() && chat.Addr().IsUnspecified() && local.IsValid() {
		return netip.AddrPortFrom(local, chat.Port())
	}
	return chat
}

// webSocket returns the WebSocket URL for a page that this server serves, or ""
// if the chat doesn't listen yet. If browsers refuse the chat port, it is the
// URL of tunnel. Otherwise it has the host name of r if that also leads to the
// chat, because the chat accepts browsers whose page has the same host name.
func (s *Server) webSocket(r *http.Request) string {
	chat := s.cfg.Chat()
	if !chat.IsValid() {
		return ""
	}
	if s.tunnelled() {
		return tunnelURL(r)
	}
	chatAddr := s.chatAddr(r)
	host := chatAddr.Addr().String()
	local := localAddr(r)
	if name := hostName(r.Host); name != "" && (local == chatAddr.Addr() || local.IsLoopback() && chatAddr.Addr().IsLoopback()) {
		host = name
	}
	return "ws://" + net.JoinHostPort(host, strconv.Itoa(int(chat.Port()))) + "/ws"
}

// localAddr returns the address that the client connected to, or the zero Addr.
func localAddr(r *http.Request) netip.Addr {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return netip.Addr{}
	}
	return addrOf(local)
}

// hostName returns the host of a Host header without the port. It returns "" if
// that isn't a valid name: the client controls the header, and it becomes part
// of URLs and of the Content-Security-Policy.
func hostName(header string) string {
	host, _, err := net.SplitHostPort(header)
	if err != nil {
		host = strings.Trim(header, "[]")
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.WithZone("").String()
	}
	invalid := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '-'
	}
	if len(host) > 253 || strings.ContainsFunc(host, invalid) {
		return ""
	}
	return host
}

// writeText responds with a status and a text.
func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // an error means that the client has disconnected
}
