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

	"github.com/VictoriaMetrics/metrics"
)

//go:embed ops.html ops.css
var pages embed.FS

// handler routes by exact path; nothing is ever served from http.DefaultServeMux,
// where other packages leave handlers behind.
func (s *Server) handler() http.Handler {
	page := template.Must(template.ParseFS(pages, "ops.html"))

	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		plain(w, http.StatusOK, "ok\n")
	})
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !s.cfg.Ready() {
			plain(w, http.StatusServiceUnavailable, "not ready: starting or draining\n")
			return
		}
		plain(w, http.StatusOK, "ok\n")
	})
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		s.cfg.Set.WritePrometheus(w)
		metrics.WriteProcessMetrics(w)
		metrics.WriteFDMetrics(w)
	})
	mux.HandleFunc("/config.json", s.config)
	mux.HandleFunc("/ws", s.tunnel)
	if s.cfg.ServesProfiles() {
		mux.Handle("/debug/pprof/", direct(profiles()))
	}
	mux.Handle("/ops.css", http.FileServerFS(pages))
	mux.HandleFunc("/ops", func(w http.ResponseWriter, r *http.Request) {
		var chat netip.AddrPort
		if s.cfg.Ready() {
			chat = s.chatAddr(r)
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if err := page.Execute(w, chat); err != nil {
			s.cfg.Logger.Debug("the page was not taken", "err", err)
		}
	})
	client := sync.OnceValue(clientFiles) // a node that no browser asks does without
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if f := client()[r.URL.Path]; f != nil {
			f.ServeHTTP(w, r)
			return
		}
		http.NotFound(w, r)
	})
	return s.strict(mux)
}

// policy is what a page of ours may do, with the chat's address besides: run
// and style itself with files of ours, show what is drawn in them, and talk to
// us. No text can become a script or a part of the page (trusted types).
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; manifest-src 'self'; connect-src 'self'%s; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// strict counts, lets only reading requests through, and tells browsers to
// allow a page of ours nothing but ourselves and the chat.
func (s *Server) strict(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Inc()
		var chat string
		if ws := s.webSocket(r); ws != "" {
			chat = " " + strings.TrimSuffix(ws, "/ws")
		}
		h := w.Header()
		h.Set("Content-Security-Policy", fmt.Sprintf(policy, chat))
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-cache")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			plain(w, http.StatusMethodNotAllowed, "only GET and HEAD\n")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// config tells a page where to connect.
func (s *Server) config(w http.ResponseWriter, r *http.Request) {
	ws := s.webSocket(r)
	if ws == "" {
		plain(w, http.StatusServiceUnavailable, "not listening yet\n")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	// A string in a map can't fail to encode; what can fail is the connection.
	if err := json.NewEncoder(w).Encode(map[string]string{"ws": ws}); err != nil {
		s.cfg.Logger.Debug("the configuration was not taken", "err", err)
	}
}

// chatAddr is the chat's address as the asker can reach it: where it listens
// on all addresses, the one that this request came to.
func (s *Server) chatAddr(r *http.Request) netip.AddrPort {
	chat := s.cfg.Chat()
	if local := localAddr(r); chat.IsValid() && chat.Addr().IsUnspecified() && local.IsValid() {
		return netip.AddrPortFrom(local, chat.Port())
	}
	return chat
}

// webSocket is the chat's WebSocket URL for a page from here, empty as long
// as the chat doesn't listen. Where browsers refuse the chat's port, it is ours:
// see tunnel. Where the chat can be reached by the host name
// that the page was asked by, it keeps that name: the chat admits browsers
// whose page comes from the same host name.
func (s *Server) webSocket(r *http.Request) string {
	chat := s.cfg.Chat()
	if !chat.IsValid() {
		return ""
	}
	if s.tunnelled() {
		return tunnelURL(r)
	}
	reach := s.chatAddr(r)
	host := reach.Addr().String()
	local := localAddr(r)
	if name := hostName(r.Host); name != "" && (local == reach.Addr() || local.IsLoopback() && reach.Addr().IsLoopback()) {
		host = name
	}
	return "ws://" + net.JoinHostPort(host, strconv.Itoa(int(chat.Port()))) + "/ws"
}

func localAddr(r *http.Request) netip.Addr {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return local.AddrPort().Addr().Unmap().WithZone("")
}

// hostName is the host of a Host header, empty where it is anything that
// doesn't belong into a URL or a policy: the header is the asker's to write.
func hostName(header string) string {
	host, _, err := net.SplitHostPort(header)
	if err != nil {
		host = strings.Trim(header, "[]")
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.WithZone("").String()
	}
	strange := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '-'
	}
	if len(host) > 253 || strings.ContainsFunc(host, strange) {
		return ""
	}
	return host
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // the asker is gone: nobody to tell
}
