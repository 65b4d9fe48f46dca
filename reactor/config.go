package reactor

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"chatd/internal/setting"
	"chatd/proto"

	"github.com/VictoriaMetrics/metrics"
)

// Limits that aren't settings.
const (
	minReserve = 64 // file descriptors reserved for the store, the logs and the loops
	maxLoops   = 1024
	maxLanes   = 1024
)

// Config holds the reactor's settings. Start from DefaultConfig; zero isn't the
// default of most fields.
type Config struct {
	Addr  string `kong:"-"` // host:port to listen on; port 0: any free port
	Cores int    `kong:"-"` // determines the default number of loops and workers; 0: GOMAXPROCS

	WebURL        string         `group:"network" name:"web-url" placeholder:"URL" common:"" help:"URL to which the chat port redirects browsers. Empty: that of --http if they can reach it, otherwise they get 404."`
	WebPort       int            `kong:"-"` // without WebURL: redirect to this port of the requested host; 0: 404
	Origins       []string       `group:"network" name:"origins" placeholder:"ORIGIN,…" common:"" help:"Origins, such as https://chat.example.com, from which browsers may open a WebSocket, in addition to the server's own host name. *: all."`
	ProxyProtocol []netip.Prefix `group:"network" name:"proxy-protocol" placeholder:"CIDR,…" common:"" help:"Address ranges of trusted proxies. The client's address is taken from their PROXY header or X-Forwarded-For."`
	TunnelKey     string         `kong:"-"` // a handshake whose TunnelHeader has this value comes from a tunnel of this process: X-Forwarded-For is trusted; empty: none
	Loops         int            `group:"network" name:"loops" default:"0" placeholder:"N" help:"Event loops. 0: one per core."`
	QuickLanes    int            `group:"network" name:"quick-lanes" default:"0" placeholder:"N" help:"Quick workers: they serve requests that use the database. 0: four per core."`
	SlowLanes     int            `group:"network" name:"slow-lanes" default:"0" placeholder:"N" help:"Slow workers: they hash passwords. 0: one per two cores."`
	PasswordWait  time.Duration  `group:"network" name:"password-wait" default:"5s" placeholder:"TIME" help:"How long a request that needs a password hashed may wait for a slow worker. One that would wait longer is refused with errno 9 at once."`
	LaneQueue     int            `kong:"-"` // jobs that may wait, per worker; beyond that, Go returns ErrBusy
	LoginTimeout  time.Duration  `group:"network" name:"login-timeout" default:"10s" placeholder:"TIME" help:"How long a connection may take to log in before it is closed."`
	IdleTimeout   time.Duration  `group:"network" name:"idle-timeout" default:"90s" placeholder:"TIME" help:"How long a connection may send nothing before it is closed. Clients ping every 30s."`
	Linger        time.Duration  `kong:"-"` // how long a graceful close may take

	MaxHeld        int `group:"buffers" name:"max-held" type:"size" default:"1MiB" placeholder:"SIZE" help:"Bytes of requests that may be held back per connection. A connection that exceeds it is closed with KICK abuse."`
	MaxHeldAll     int `group:"buffers" name:"max-held-all" type:"size" default:"256MiB" placeholder:"SIZE" help:"Bytes of requests that may be held back for all connections. Above it, connections with more than an equal share are closed with KICK slow."` // and with more than one frame
	MaxWaiting     int `group:"buffers" name:"max-waiting" type:"size" default:"1MiB" placeholder:"SIZE" help:"Bytes of unsent output per connection. A connection that exceeds it is closed with KICK slow."`
	MaxWaitingAll  int `group:"buffers" name:"max-waiting-all" type:"size" default:"512MiB" placeholder:"SIZE" help:"Bytes of unsent output of all connections, divided among the loops. Above it, the connections with the most are closed with KICK slow."`
	MaxBeforeLogin int `kong:"-"` // most bytes of a frame, and of held requests, of a connection that isn't logged in; 0: as after login
	MaxMailbox     int `kong:"-"` // bytes queued for one loop; beyond that, the receiver of a frame gets KICK "slow". PostDroppable fails at half of it
	MaxBadFrames   int `kong:"-"` // bad frames in a row, then KICK "abuse"

	// Limits per client address (IPv6: per /64) are checked when a connection
	// is accepted. Addresses in ProxyProtocol are exempt: the client's address
	// counts, once the proxy has sent it. Conn.Charge checks the limits per
	// connection, also for bad frames.
	MaxConns              int           `group:"limits" name:"max-conns" default:"0" placeholder:"N" common:"" help:"Connections in total. 0: as many as the limit of open files allows."`
	ConnsPerAddr          int           `group:"limits" name:"conns-per-addr" default:"1000" placeholder:"N" common:"" help:"Connections per address. 0: no limit."`
	ConnectsPerSecPerAddr int           `group:"limits" name:"connects-per-sec-per-addr" default:"100" placeholder:"N" help:"New connections per second per address. 0: no limit."`
	FramesPerSecPerConn   int           `group:"limits" name:"frames-per-sec-per-conn" default:"200" placeholder:"N" help:"Frames per second per connection, PING included. 0: no limit."`
	BytesPerSecPerConn    int           `group:"limits" name:"bytes-per-sec-per-conn" type:"size" default:"1MiB" placeholder:"SIZE" help:"Bytes of frames per second per connection. 0: no limit."`
	FramesBeforeLogin     int           `group:"limits" name:"frames-before-login" default:"64" placeholder:"N" help:"Frames that a connection may send before it logs in. 0: no limit."`
	Burst                 time.Duration `group:"limits" name:"burst" default:"10s" placeholder:"TIME" help:"How many seconds' worth of a rate limit may be used at once; of a limit on bytes, 2 seconds' worth at most."`
	AbuseAfter            int           `group:"limits" name:"abuse-after" default:"5" placeholder:"N" help:"How many times in a row a connection may ignore the wait after errno 9 before it is closed with KICK abuse. 0: any number."`

	Now    func() time.Time `kong:"-"` // the clock; nil: time.Now
	Logger *slog.Logger     `kong:"-"` // nil: slog.Default()
	Set    *metrics.Set     `kong:"-"` // nil: a set of its own
}

// DefaultConfig returns the default settings. It listens on 127.0.0.1:6000.
func DefaultConfig() Config {
	c := Config{
		Addr:           "127.0.0.1:6000",
		MaxBeforeLogin: proto.MaxUnauth,
		Linger:         time.Second,
		MaxMailbox:     256 << 20,
		MaxBadFrames:   10,
		LaneQueue:      1024,
	}
	setting.Defaults(&c)
	return c
}

// LiftLimits removes the limits per address and connection, but not those that
// bound memory.
func (c *Config) LiftLimits() {
	c.ConnsPerAddr, c.ConnectsPerSecPerAddr = 0, 0
	c.FramesPerSecPerConn, c.BytesPerSecPerConn, c.FramesBeforeLogin = 0, 0, 0
}

// Bounds of the settings for operators. They catch mistakes such as a size without
// its unit. New accepts a wider range, for tests.
const (
	minBuffer  = 512 << 10 // the largest frame a server sends must fit
	maxBuffer  = 1 << 30
	maxBuffers = 64 << 30 // of all connections
	maxConns   = 1 << 24
	maxRate    = 1 << 24
	minTimeout = 100 * time.Millisecond
)

// CheckSettings adds each invalid setting to p. It doesn't check Loops: the
// handler may have a limit of its own, and checks it.
func (c *Config) CheckSettings(p *setting.Problems) {
	isHTTP := func(u *url.URL) bool { return (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" }
	if c.WebURL != "" {
		u, err := url.Parse(c.WebURL)
		p.Check(err == nil && isHTTP(u) && u.User == nil, "web-url", "%q is not http://host/… or https://host/…", setting.Redacted(c.WebURL))
	}
	for _, o := range c.Origins {
		u, err := url.Parse(o)
		p.Check(o == "*" || err == nil && isHTTP(u) && o == u.Scheme+"://"+u.Host,
			"origins", "%q is not http://host or https://host, without a path", setting.Redacted(o))
	}
	p.Int("quick-lanes", c.QuickLanes, 0, maxLanes)
	p.Int("slow-lanes", c.SlowLanes, 0, maxLanes)
	p.Time("password-wait", c.PasswordWait, minTimeout, setting.MaxTime)
	p.Time("login-timeout", c.LoginTimeout, minTimeout, setting.MaxTime)
	p.Time("idle-timeout", c.IdleTimeout, minTimeout, setting.MaxTime)
	p.Size("max-held", c.MaxHeld, minBuffer, maxBuffer)
	p.Size("max-held-all", c.MaxHeldAll, c.MaxHeld, maxBuffers)
	p.Size("max-waiting", c.MaxWaiting, minBuffer, maxBuffer)
	p.Size("max-waiting-all", c.MaxWaitingAll, c.MaxWaiting, maxBuffers)
	p.Int("max-conns", c.MaxConns, 0, maxConns)
	p.Int("conns-per-addr", c.ConnsPerAddr, 0, maxConns)
	p.Int("connects-per-sec-per-addr", c.ConnectsPerSecPerAddr, 0, maxRate)
	p.Int("frames-per-sec-per-conn", c.FramesPerSecPerConn, 0, maxRate)
	p.Size("bytes-per-sec-per-conn", c.BytesPerSecPerConn, 0, maxBuffer)
	p.Int("frames-before-login", c.FramesBeforeLogin, 0, maxRate)
	p.Time("burst", c.Burst, time.Second, setting.MaxTime)
	p.Int("abuse-after", c.AbuseAfter, 0, 1<<15)
}

// validate returns an error that names the first field with an invalid value.
func (c *Config) validate() error {
	bad := func(field string, v any, why string) error {
		return fmt.Errorf("reactor: config %s = %v: %s", field, v, why)
	}
	host, port, err := net.SplitHostPort(c.Addr)
	if err != nil {
		return fmt.Errorf("reactor: config Addr = %q: %w", c.Addr, err)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return bad("Addr", c.Addr, "the port must be 0 to 65535")
	}
	if host == "" {
		return bad("Addr", c.Addr, "the host is missing; use 0.0.0.0 for all addresses")
	}
	for _, f := range []struct {
		name     string
		v        int
		min, max int
	}{
		{"Cores", c.Cores, 0, 1 << 15},
		{"Loops", c.Loops, 0, maxLoops},
		{"MaxConns", c.MaxConns, 0, 1 << 24},
		{"ConnsPerAddr", c.ConnsPerAddr, 0, 1 << 24},
		{"ConnectsPerSecPerAddr", c.ConnectsPerSecPerAddr, 0, 1 << 24},
		{"FramesPerSecPerConn", c.FramesPerSecPerConn, 0, 1 << 30},
		{"BytesPerSecPerConn", c.BytesPerSecPerConn, 0, 1 << 30},
		{"FramesBeforeLogin", c.FramesBeforeLogin, 0, 1 << 30},
		{"AbuseAfter", c.AbuseAfter, 0, 1 << 15},
		{"MaxHeld", c.MaxHeld, 1, 1 << 30},
		{"MaxHeldAll", c.MaxHeldAll, 1, 1 << 40},
		{"MaxWaiting", c.MaxWaiting, 1, 1 << 30},
		{"MaxWaitingAll", c.MaxWaitingAll, 1, 1 << 40},
		{"MaxMailbox", c.MaxMailbox, 1, 1 << 40},
		{"MaxBadFrames", c.MaxBadFrames, 1, 1 << 15},
		{"QuickLanes", c.QuickLanes, 0, maxLanes},
		{"SlowLanes", c.SlowLanes, 0, maxLanes},
		{"LaneQueue", c.LaneQueue, 1, 1 << 20},
	} {
		if f.v < f.min || f.v > f.max {
			return bad(f.name, f.v, fmt.Sprintf("must be %d to %d", f.min, f.max))
		}
	}
	for _, f := range []struct {
		name string
		v    time.Duration
	}{{"PasswordWait", c.PasswordWait}, {"LoginTimeout", c.LoginTimeout}, {"IdleTimeout", c.IdleTimeout}, {"Linger", c.Linger}, {"Burst", c.Burst}} {
		if f.v <= 0 || f.v > 24*time.Hour {
			return bad(f.name, f.v, "must be above 0 and at most 24h")
		}
	}
	if c.WebURL != "" {
		if u, err := url.Parse(c.WebURL); err != nil || u.Scheme == "" || u.Host == "" {
			return bad("WebURL", c.WebURL, "must be an absolute URL")
		}
	}
	if c.WebPort < 0 || c.WebPort > 65535 {
		return bad("WebPort", c.WebPort, "must be 0 to 65535")
	}
	for _, o := range c.Origins {
		if o == "*" {
			continue
		}
		if u, err := url.Parse(o); err != nil || u.Scheme == "" || u.Host == "" {
			return bad("Origins", o, `must be an origin, such as "https://chat.example"`)
		}
	}
	for _, p := range c.ProxyProtocol {
		if !p.IsValid() {
			return errors.New("reactor: config ProxyProtocol: contains an invalid prefix")
		}
	}
	return nil
}

// withDefaults fills in the defaults that depend on the machine.
func (c Config) withDefaults() (Config, error) {
	cores := c.Cores
	if cores == 0 {
		cores = runtime.GOMAXPROCS(0)
	}
	if c.Loops == 0 {
		c.Loops = min(cores, maxLoops)
	}
	if c.QuickLanes == 0 {
		c.QuickLanes = min(4*cores, maxLanes)
	}
	if c.SlowLanes == 0 {
		c.SlowLanes = min(max(1, cores/2), maxLanes)
	}
	if c.MaxConns == 0 {
		var lim syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
			return c, fmt.Errorf("reactor: get the limit on open files: %w", err)
		}
		files := int(min(lim.Cur, 1<<24))
		c.MaxConns = files - max(minReserve, files/20)
		if c.MaxConns < 1 {
			return c, fmt.Errorf("reactor: the limit of %d open files leaves none for connections: raise it (ulimit -n)", files)
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Set == nil {
		c.Set = metrics.NewSet()
	}
	return c, nil
}
