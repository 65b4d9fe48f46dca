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
	"strconv"
	"time"

	"chatd/internal/setting"

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

// Config is what the Servers of New and NewAdmin need of the node around them.
type Config struct {
	HTTP        string `group:"network" name:"http" default:"127.0.0.1:8080" placeholder:"ADDR" common:"" help:"Address of the web client, /healthz, /readyz, /metrics and, on loopback, /debug/pprof. Empty: off. Don't expose it to the public."`
	HTTPPprof   bool   `group:"network" name:"http-pprof" env:"CHATD_HTTP_PPROF" help:"Serve /debug/pprof on --http even if other machines reach it. They can then slow the node down and read its memory."`
	Admin       string `group:"network" name:"admin" placeholder:"ADDR" common:"" help:"Address, host:port, where chatd trace asks this node. It has no password. Empty: off."`
	AdminRemote bool   `group:"network" name:"admin-remote" help:"Allow an --admin address that other machines reach."`

	// Ready reports whether the node takes connections: not while it starts
	// or drains, and whatever the state of its database. Called from any
	// goroutine; it must not block.
	Ready func() bool `kong:"-"`
	// Chat is where the node's clients connect; the zero AddrPort as long as
	// it doesn't listen. Called from any goroutine; it must not block.
	Chat func() netip.AddrPort `kong:"-"`
	// Trace answers GET /trace of an admin address: what to encode as JSON, or
	// a *Refusal. Called from any goroutine; it may block until ctx ends.
	Trace func(ctx context.Context, query url.Values) (any, error) `kong:"-"`
	// Set is what /metrics shows, and where the server's own counters go. Nil: a private one.
	Set    *metrics.Set `kong:"-"`
	Logger *slog.Logger `kong:"-"`
}

// CheckSettings notes each setting that has an invalid value.
func (c *Config) CheckSettings(p *setting.Problems) {
	checkAddr(p, "http", c.HTTP)
	checkAddr(p, "admin", c.Admin)
	p.Check(c.Admin == "" || c.AdminRemote || IsLoopback(c.Admin), "admin",
		"%q is reached by other machines, and asks for no password: use 127.0.0.1:PORT, or set --admin-remote as well", c.Admin)
}

func checkAddr(p *setting.Problems, flag, addr string) {
	if addr == "" {
		return
	}
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	p.Check(err == nil, flag, "%q is not host:port", addr)
}

// ServesProfiles reports whether /debug/pprof is served on the address HTTP:
// whoever reaches it can slow the node down and read its memory.
func (c *Config) ServesProfiles() bool { return c.HTTPPprof || IsLoopback(c.HTTP) }

// Server serves the web client and the operator's pages. Make one with New.
type Server struct {
	cfg      Config
	addr     string // host:port to listen on; port 0 for a free one
	http     http.Server
	listener *boundedListener
	served   chan struct{} // closed when the serving goroutine has ended
	requests *metrics.Counter
	refused  *metrics.Counter
	tunnels  *tunnels // nil in a NewAdmin Server
}

// New makes a Server of the web client and the pages, which doesn't listen yet.
func New(cfg Config) *Server {
	s := newServer(cfg, cfg.HTTP, "chatd_ops", (*Server).handler)
	s.tunnels = newTunnels(s, "chatd_ops")
	return s
}

func newServer(cfg Config, addr, name string, handler func(*Server) http.Handler) *Server {
	if cfg.Set == nil {
		cfg.Set = metrics.NewSet()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Chat == nil {
		cfg.Chat = func() netip.AddrPort { return netip.AddrPort{} }
	}
	s := &Server{cfg: cfg, addr: addr}
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
	l, err := net.Listen("tcp", s.addr)
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
