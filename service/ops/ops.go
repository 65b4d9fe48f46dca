// Package ops is the HTTP server of a node: the web client, health checks,
// metrics, profiles and traces. It is separate from the chat: it uses neither
// its packages nor its event loops.
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

// Limits of the server. A browser opens up to six connections while it loads the
// web client, and needs none afterwards.
const (
	MaxConns      = 512              // open connections; more are closed and counted
	maxHeader     = 16 << 10         // bytes
	headerTimeout = 15 * time.Second // long: browsers open connections in advance, and fail on one that was just closed
	readTimeout   = 10 * time.Second
	writeTimeout  = 30 * time.Second // net/http/pprof adds the duration of a profile
	idleTimeout   = 15 * time.Second
)

// Config holds the settings of New and NewAdmin, and what they need of the node.
type Config struct {
	HTTP        string `group:"network" name:"http" default:"127.0.0.1:8080" placeholder:"ADDR" common:"" help:"Address, host:port, of the web client, /healthz, /readyz, /metrics and, on loopback, /debug/pprof. Empty: off. Don't expose it to the public."`
	HTTPPprof   bool   `group:"network" name:"http-pprof" env:"CHATD_HTTP_PPROF" help:"Serve /debug/pprof on --http even if other machines can reach it. They can then slow the node down and read its memory."`
	Admin       string `group:"network" name:"admin" placeholder:"ADDR" common:"" help:"Address, host:port, for chatd trace and /debug/pprof. It has no password. Empty: off."`
	AdminRemote bool   `group:"network" name:"admin-remote" help:"Allow an --admin address that other machines can reach."`

	// Ready reports whether the node accepts connections: false while it starts
	// or drains. The state of the database doesn't matter. It is called from
	// any goroutine and must not block.
	Ready func() bool `kong:"-"`
	// Chat returns the address that the chat listens on, or the zero AddrPort
	// before it listens. It is called from any goroutine and must not block.
	Chat func() netip.AddrPort `kong:"-"`
	// Registration is who may register: open, invite or off.
	Registration string `kong:"-"`
	// Trace returns the result of GET /trace on the admin address, which is
	// encoded as JSON, or a *RequestError. It is called from any goroutine and
	// may block until ctx ends.
	Trace func(ctx context.Context, query url.Values) (any, error) `kong:"-"`
	// Set holds the metrics that /metrics serves, including the server's own.
	// Nil: a private set.
	Set    *metrics.Set `kong:"-"`
	Logger *slog.Logger `kong:"-"` // nil: logs nothing
}

// CheckSettings adds each invalid setting to p.
func (c *Config) CheckSettings(p *setting.Problems) {
	checkAddr(p, "http", c.HTTP)
	checkAddr(p, "admin", c.Admin)
	p.Check(c.Admin == "" || c.AdminRemote || IsLoopback(c.Admin), "admin",
		"%q is reached by other machines, and there is no password: use 127.0.0.1:PORT, or set --admin-remote as well", c.Admin)
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

// ServesProfiles reports whether /debug/pprof is served on the HTTP address.
// Anyone who can reach it can slow the node down and read its memory.
func (c *Config) ServesProfiles() bool { return c.HTTPPprof || IsLoopback(c.HTTP) }

// Server is an HTTP server. Create it with New or NewAdmin.
type Server struct {
	cfg      Config
	addr     string // host:port to listen on; port 0 for a free one
	http     http.Server
	listener *boundedListener
	done     chan struct{} // closed when the serving goroutine has ended; nil before Start
	requests *metrics.Counter
	refused  *metrics.Counter
	tunnels  *tunnels // nil in a Server of NewAdmin
}

// New returns a Server for the web client, health checks and metrics. It listens
// once Start is called.
func New(cfg Config) *Server {
	s := newServer(cfg, cfg.HTTP, "chatd_ops", (*Server).mainHandler)
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
	s.requests, s.refused = newCounters(cfg.Set, name)
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

// Start listens on the address and serves requests in a goroutine. Call it at
// most once. It returns an error if it can't listen.
func (s *Server) Start() error {
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		return fmt.Errorf("HTTP server: %w", err)
	}
	s.listener = newBoundedListener(l, MaxConns, s.refused)
	s.done = make(chan struct{})
	go func() {
		defer close(s.done)
		if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			s.cfg.Logger.Error("HTTP server failed", "err", err)
		}
	}()
	return nil
}

// Addr returns the address that the Server listens on. Call it only after Start.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close closes all tunnels to the chat, stops listening, and blocks until all
// requests are done. When ctx ends, it closes the connections of those that
// remain, such as a long profile. If Start wasn't called or failed, Close does
// nothing and returns nil.
func (s *Server) Close(ctx context.Context) error {
	if s.done == nil {
		return nil
	}
	if s.tunnels != nil {
		s.tunnels.close()
	}
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = s.http.Close()
	}
	<-s.done
	return err
}
