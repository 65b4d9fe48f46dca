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

	"github.com/VictoriaMetrics/metrics"
)

// Limits that aren't settings.
const (
	minReserve = 64 // file descriptors reserved for the store, the logs and the loops
	maxLoops   = 1024
	maxLanes   = 1024
)

// Config holds the reactor's settings. Start from DefaultConfig. A zero field has
// the meaning given here.
type Config struct {
	Addr     string // host:port to listen on; port 0: any free port
	Cores    int    // CPU cores that the defaults of Loops and lanes are computed from; 0: GOMAXPROCS
	Loops    int    // event loops; 0: one per core
	MaxConns int    // open connections; 0: the soft limit RLIMIT_NOFILE minus a reserve

	// Limits per client address (IPv6: per /64), checked when a connection is
	// accepted. 0: no limit. For trusted proxies, the address that they report
	// counts, once it is known.
	ConnsPerAddr          int
	ConnectsPerAddrPerSec int

	// Limits per connection; see Conn.Charge. 0: no limit.
	FramesPerSec      int // every frame a client sends, including PING and bad frames
	BytesPerSec       int // bytes of these frames
	FramesBeforeLogin int // frames within LoginTimeout while it isn't logged in
	AbuseAfter        int // waits in a row that the client ignores, then KICK "abuse"

	Burst time.Duration // how much of a rate per second may be used at once

	LoginTimeout time.Duration // from accept to Conn.LoggedIn, then KICK "idle"
	IdleTimeout  time.Duration // time without a frame while logged in, then KICK "idle"
	Linger       time.Duration // how long a graceful close may take

	MaxHeld       int // bytes of held frames per connection, then KICK "abuse"
	MaxHeldAll    int // bytes of held frames of all connections; beyond it, KICK "slow" for a connection that exceeds its share and one frame
	MaxWaiting    int // bytes that the kernel hasn't accepted, per connection, then KICK "slow"
	MaxWaitingAll int // the same for all connections, divided among the loops; beyond it, KICK "slow" for those of the loop with the most
	MaxMailbox    int // bytes queued for one loop; a frame beyond it costs its receiver the connection (KICK "slow"); PostSized fails at half of it
	MaxBadFrames  int // frames in a row that don't decode, then KICK "abuse"

	QuickLanes int // workers for Quick jobs; 0: four per core
	SlowLanes  int // workers for Slow jobs; 0: half the cores, at least one
	LaneQueue  int // jobs queued for one worker, then ErrBusy

	Origins []string       // allowed browser origins besides the same host name; "*": all
	WebURL  string         // where HTTP requests for anything but /ws are redirected
	WebPort int            // without WebURL: redirect to this port of the requested host; 0: answer 404
	Trusted []netip.Prefix // proxies whose PROXY headers and X-Forwarded-For are trusted

	Now    func() time.Time // the clock; nil: time.Now
	Logger *slog.Logger     // nil: slog.Default()
	Set    *metrics.Set     // nil: a private one
}

// DefaultConfig returns the default settings. It listens on 127.0.0.1:6000.
func DefaultConfig() Config {
	return Config{
		Addr:          "127.0.0.1:6000",
		LoginTimeout:  10 * time.Second,
		IdleTimeout:   90 * time.Second,
		Linger:        time.Second,
		Burst:         10 * time.Second,
		MaxHeld:       1 << 20,
		MaxHeldAll:    256 << 20,
		MaxWaiting:    1 << 20,
		MaxWaitingAll: 512 << 20,
		MaxMailbox:    256 << 20,
		MaxBadFrames:  10,
		LaneQueue:     1024,
	}
}

// Validate returns an error that names the first field with an invalid value.
func (c *Config) Validate() error {
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
		return bad("Addr", c.Addr, "no host; 0.0.0.0 means every address")
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
		{"ConnectsPerAddrPerSec", c.ConnectsPerAddrPerSec, 0, 1 << 24},
		{"FramesPerSec", c.FramesPerSec, 0, 1 << 30},
		{"BytesPerSec", c.BytesPerSec, 0, 1 << 30},
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
	}{{"LoginTimeout", c.LoginTimeout}, {"IdleTimeout", c.IdleTimeout}, {"Linger", c.Linger}, {"Burst", c.Burst}} {
		if f.v <= 0 || f.v > 24*time.Hour {
			return bad(f.name, f.v, "must be above 0 and at most 24h")
		}
	}
	if c.WebURL != "" {
		if u, err := url.Parse(c.WebURL); err != nil || u.Scheme == "" || u.Host == "" {
			return bad("WebURL", c.WebURL, "not an absolute URL")
		}
	}
	if c.WebPort < 0 || c.WebPort > 65535 {
		return bad("WebPort", c.WebPort, "not a port")
	}
	for _, o := range c.Origins {
		if o == "*" {
			continue
		}
		if u, err := url.Parse(o); err != nil || u.Scheme == "" || u.Host == "" {
			return bad("Origins", o, `not an origin such as "https://chat.example"`)
		}
	}
	for _, p := range c.Trusted {
		if !p.IsValid() {
			return errors.New("reactor: config Trusted: an invalid prefix")
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
			return c, fmt.Errorf("reactor: get the limit of open files: %w", err)
		}
		files := int(min(lim.Cur, 1<<24))
		c.MaxConns = files - max(minReserve, files/20)
		if c.MaxConns < 1 {
			return c, fmt.Errorf("reactor: a limit of %d open files leaves none for connections; raise it (ulimit -n)", files)
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
