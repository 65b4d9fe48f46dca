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

// Limits of the servers. More connections are closed and counted. Connections of
// an IPv6 /64 count as those of one address. Proxies have no limit per address.
const (
	MaxConns        = 512 // of New
	MaxConnsPerAddr = 64  // of New. A browser opens up to six while it loads the web client, and needs none afterwards
	maxAdminConns   = 64
	maxAdminAddr    = 32 // per address
	maxHealthConns  = 64
	maxHealthAddr   = 16       // per address
	maxHeader       = 16 << 10 // bytes
	readTimeout     = 10 * time.Second
	writeTimeout    = 30 * time.Second // net/http/pprof adds the duration of a profile
)

// bounds are the limits of one server. Times are those of http.Server.
type bounds struct {
	conns, connsPerAddr       int
	header, read, write, idle time.Duration
	once                      bool // one request per connection
}

var (
	// The header timeout is long because browsers open connections in advance,
	// and fail on one that was just closed.
	mainBounds  = bounds{conns: MaxConns, connsPerAddr: MaxConnsPerAddr, header: 15 * time.Second, read: readTimeout, write: writeTimeout, idle: 15 * time.Second}
	adminBounds = bounds{conns: maxAdminConns, connsPerAddr: maxAdminAddr, header: 5 * time.Second, read: readTimeout, write: writeTimeout, idle: 15 * time.Second}
	// Nobody can keep a connection for long, so there is always one for the next
	// check.
	healthBounds = bounds{conns: maxHealthConns, connsPerAddr: maxHealthAddr, header: 2 * time.Second, read: 2 * time.Second, write: 5 * time.Second, once: true}
)

// Config holds the settings of New and NewAdmin, and what they need of the node.
type Config struct {
	HTTP        string `group:"network" name:"http" default:"127.0.0.1:8080" placeholder:"ADDR" common:"" help:"Address, host:port, of the web client, /healthz, /readyz, /metrics and, on loopback, /debug/pprof. Empty: off. Don't expose it to the public."`
	HTTPPprof   bool   `group:"network" name:"http-pprof" env:"CHATD_HTTP_PPROF" help:"Serve /debug/pprof on --http even if other machines can reach it. They can then slow the node down and read its memory."`
	Health      string `group:"network" name:"health" placeholder:"ADDR" help:"Address, host:port, of a listener only for /healthz, /readyz and /metrics, which other traffic can't exhaust. Empty: only --http serves them."`
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
	// Proxies are the address ranges of trusted proxies, whose X-Forwarded-For
	// headers have the client's address.
	Proxies []netip.Prefix `kong:"-"`
	// TunnelHeader and TunnelKey are a header that tells the chat that a handshake
	// comes from the tunnel. Empty: the tunnel sends none.
	TunnelHeader, TunnelKey string `kong:"-"`
	// Version of the program, for chatd_build_info.
	Version string `kong:"-"`
	// Set holds the metrics that /metrics serves, including the server's own.
	// Nil: a private set.
	Set    *metrics.Set `kong:"-"`
	Logger *slog.Logger `kong:"-"` // nil: logs nothing
}

// CheckSettings adds each invalid setting to p.
func (c *Config) CheckSettings(p *setting.Problems) {
	checkAddr(p, "http", c.HTTP)
	checkAddr(p, "health", c.Health)
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

// Server is an HTTP server. Create it with New, NewHealth or NewAdmin.
type Server struct {
	cfg      Config
	addr     string // host:port to listen on; port 0 for a free one
	http     http.Server
	listener *boundedListener
	done     chan struct{} // closed when the serving goroutine has ended; nil before Start
	requests *metrics.Counter
	refused  *metrics.Counter
	bounds   *bounds
	tunnels  *tunnels // only in a Server of New
}

// New returns a Server for the web client, health checks and metrics. It listens
// once Start is called.
func New(cfg Config) *Server {
	s := newServer(cfg, cfg.HTTP, "chatd_ops", &mainBounds, (*Server).mainHandler)
	s.tunnels = newTunnels(s, "chatd_ops")
	return s
}

// NewHealth returns a Server only for health checks and metrics. It has limits of
// its own, so that no other traffic can make a node look dead. It listens once
// Start is called. It uses only Health, Ready, Version, Set and Logger of Config.
func NewHealth(cfg Config) *Server {
	cfg.Chat, cfg.Proxies = nil, nil
	return newServer(cfg, cfg.Health, "chatd_ops_health", &healthBounds, (*Server).healthHandler)
}

func newServer(cfg Config, addr, name string, b *bounds, handler func(*Server) http.Handler) *Server {
	if cfg.Set == nil {
		cfg.Set = metrics.NewSet()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Chat == nil {
		cfg.Chat = func() netip.AddrPort { return netip.AddrPort{} }
	}
	exposeTypes()
	registerBuildInfo(cfg.Set, cfg.Version)
	s := &Server{cfg: cfg, addr: addr, bounds: b}
	s.requests, s.refused = newCounters(cfg.Set, name)
	s.http = http.Server{
		Handler:           handler(s),
		ReadHeaderTimeout: b.header,
		ReadTimeout:       b.read,
		WriteTimeout:      b.write,
		IdleTimeout:       b.idle,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelWarn),
	}
	s.http.SetKeepAlivesEnabled(!b.once)
	return s
}

// Start listens on the address and serves requests in a goroutine. Call it at
// most once. It returns an error if it can't listen.
func (s *Server) Start() error {
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		return fmt.Errorf("HTTP server: %w", err)
	}
	s.listener = newBoundedListener(l, s.bounds, s.cfg.Proxies, s.refused)
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
