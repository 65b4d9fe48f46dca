// Package ops is HTTP beside the loops: the web client, whether the node is
// well, what it counts, and where its time goes. It knows nothing of the chat
// and shares no goroutine with it.
package ops

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// Bounds of the server. A browser holds up to six connections while it loads
// the client, and needs none afterwards.
const (
	MaxConns      = 512 // open at once; the next one is closed and counted
	maxHeader     = 16 << 10
	headerTimeout = 15 * time.Second // browsers open connections ahead, and trip over one that has just been closed
	readTimeout   = 10 * time.Second
	writeTimeout  = 30 * time.Second // a profile gets its own seconds on top
	idleTimeout   = 15 * time.Second
)

// Config is what a Server needs of the node around it.
type Config struct {
	// Addr to listen on, host:port; port 0 for a free one.
	Addr string
	// Ready reports whether the node takes connections: not while it starts
	// or drains, and whatever the state of its database. Called from any
	// goroutine; it must not block.
	Ready func() bool
	// Chat is where the node's clients connect; the zero AddrPort as long as
	// it doesn't listen. Called from any goroutine; it must not block.
	Chat func() netip.AddrPort
	// Profiles has /debug/pprof served: who reaches it can slow the node down,
	// and sees what is in its memory.
	Profiles bool
	// Trace answers GET /trace of an admin address: what to encode as JSON, or
	// a *Refusal. Called from any goroutine; it may block until ctx ends.
	Trace func(ctx context.Context, query url.Values) (any, error)
	// Set is what /metrics shows, and where the server's own counters go. Nil: a private one.
	Set    *metrics.Set
	Logger *slog.Logger
}

// Server serves the web client and the operator's pages. Make one with New.
type Server struct {
	cfg      Config
	http     http.Server
	listener *boundedListener
	served   chan struct{} // closed when the serving goroutine has ended
	requests *metrics.Counter
	refused  *metrics.Counter
	tunnels  *tunnels // nil in a NewAdmin Server
}

// New makes a Server of the web client and the pages, which doesn't listen yet.
func New(cfg Config) *Server {
	s := newServer(cfg, "chatd_ops", (*Server).handler)
	s.tunnels = newTunnels(s, "chatd_ops")
	return s
}

func newServer(cfg Config, name string, handler func(*Server) http.Handler) *Server {
	if cfg.Set == nil {
		cfg.Set = metrics.NewSet()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Chat == nil {
		cfg.Chat = func() netip.AddrPort { return netip.AddrPort{} }
	}
	s := &Server{cfg: cfg}
	s.requests, s.refused = counters(cfg.Set, name)
	s.http = http.Server{
		Handler:           handler(s),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelWarn),
	}
	return s
}

// Start listens and serves in a goroutine of the Server's. The error says
// which address could not be had, and why. Call it once.
func (s *Server) Start() error {
	l, err := net.Listen("tcp", s.cfg.Addr)
	if err != nil {
		return fmt.Errorf("the HTTP address: %w", err)
	}
	s.listener = newBoundedListener(l, MaxConns, s.refused)
	s.served = make(chan struct{})
	go func() {
		defer close(s.served)
		if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			s.cfg.Logger.Error("the HTTP server ended", "err", err)
		}
	}()
	return nil
}

// Addr is what the Server listens on; call it after Start.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close ends all tunnels to the chat, stops listening, waits until ctx ends for
// requests under way, cuts off those that remain (a profile of minutes, say),
// and waits for the Server's goroutine. It returns nil where Start was never called or failed.
func (s *Server) Close(ctx context.Context) error {
	if s.served == nil {
		return nil
	}
	if s.tunnels != nil {
		s.tunnels.close()
	}
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = s.http.Close()
	}
	<-s.served
	return err
}
