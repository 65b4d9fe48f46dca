package daemon

import (
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"chatd/internal/setting"
	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service"
	"chatd/service/bus"
	"chatd/service/ops"
)

// Config holds every setting of the daemon and of the operator commands.
// The tags are the one place where a setting's name, default, group and help
// text stand: the command line, the environment, the file and --help are all
// read from them. A Config comes from parse, which has validated it; nothing
// changes it afterwards.
type Config struct {
	// terminal is where somebody sits who is told in words where to point a
	// client; nil: nobody does, the log says it.
	terminal io.Writer `kong:"-"`

	Store   model.Options   `embed:""`
	Bus     bus.RedisConfig `embed:""`
	Ops     ops.Config      `embed:""`
	Reactor reactor.Config  `embed:""`

	Node string `group:"nodes" name:"node" placeholder:"NAME" help:"This node's name. Empty: host name and port."`

	DrainTimeout  time.Duration `group:"network" name:"drain-timeout" default:"5s" placeholder:"TIME" help:"At most so long a stopping node answers what it had accepted."`
	Window        int           `group:"buffers" name:"window" default:"256" placeholder:"N" help:"Chat messages a connection may have unacknowledged; what comes beyond is held back."`
	MaxUnanswered int           `group:"buffers" name:"max-unanswered" type:"size" default:"48MiB" placeholder:"SIZE" help:"Bytes that all chat messages take which have no answer yet; beyond it they are refused as too fast."`
	FramesPerUser int           `group:"limits" name:"frames-per-sec-per-user" default:"400" placeholder:"N" help:"Frames per second from all connections of a user to this node, without PING. 0: no limit."`
	BytesPerUser  int           `group:"limits" name:"bytes-per-sec-per-user" type:"size" default:"2MiB" placeholder:"SIZE" help:"Bytes of these per second. 0: no limit."`
	LoginsPerSec  int           `group:"limits" name:"logins-per-sec-per-addr" default:"100" placeholder:"N" help:"Logins per second from one address, by token or password. 0: no limit."`
	PasswordsSec  int           `group:"limits" name:"passwords-per-sec-per-addr" default:"20" placeholder:"N" help:"Passwords to be hashed per second for one address: logins by password, registrations, changes. 0: no limit."`
	FailedAddr    int           `group:"limits" name:"failed-logins-per-addr" default:"100" placeholder:"N" help:"Wrong passwords from one address within --failed-logins-time. 0: no limit."`
	FailedAccount int           `group:"limits" name:"failed-logins-per-account" default:"10" placeholder:"N" help:"Wrong passwords for one account within --failed-logins-time; logins by token go on. 0: no limit."`
	FailedTime    time.Duration `group:"limits" name:"failed-logins-time" default:"5m" placeholder:"TIME" help:"The time in which so many logins may fail."`
	AbuseWait     time.Duration `group:"limits" name:"abuse-wait" default:"5s" placeholder:"TIME" help:"So long a user who was closed as abuse can't log in, twice as long each further time, up to 5m. 0: not at all."`
	MaxDevices    int           `group:"limits" name:"max-devices" default:"8" placeholder:"N" help:"Devices of a user; one more takes the place of the one not used for longest."`
	MaxFriends    int           `group:"limits" name:"max-friends" default:"1000" placeholder:"N" help:"Friends of a user."`
	MaxGroups     int           `group:"limits" name:"max-groups" default:"100" placeholder:"N" help:"Groups of a user."`
	MaxMembers    int           `group:"limits" name:"max-members" default:"10000" placeholder:"N" help:"Members of a group."`
	MaxPage       int           `group:"limits" name:"max-page" default:"200" placeholder:"N" help:"Messages of one page: of what a device has missed, and of a SYNC. At most 200."`
	NoLimits      bool          `group:"limits" name:"no-limits" help:"Lift every limit per address, user and connection, for load tests. Sizes, window and buffers stay bounded."`

	Argon2 Argon2 `group:"security" name:"argon2" env:"CHATD_ARGON2" default:"19456,2,1" placeholder:"KIB,T,P" help:"Cost of password hashing: memory in KiB, passes, threads. Load tests use 8,1,1."`

	LogLevel  string `group:"logging" name:"log-level" default:"info" placeholder:"LEVEL" enum:"debug,info,warn,error" help:"The least level that is logged: debug, info, warn or error."`
	LogFormat string `group:"logging" name:"log-format" default:"text" placeholder:"FORMAT" enum:"text,json" help:"text or json, to stderr."`
}

// Unlimited is what --no-limits sets the counted limits of the store to:
// larger than any of them can get, and still an int everywhere.
const Unlimited = math.MaxInt32

// Bounds of the settings. They reject typing errors, such as a time in
// nanoseconds or a size without its unit.
const (
	maxLoops    = 64 // the chat keeps sets of loops in 64 bits
	maxLanes    = 1024
	maxWindow   = 65536
	minBuffer   = 512 << 10 // the largest frame a server sends must fit
	maxBuffer   = 1 << 30
	maxBuffers  = 64 << 30 // of all connections
	minPending  = 1 << 20  // some of the largest messages must fit
	maxConns    = 1 << 24
	maxRate     = 1 << 24
	maxAbuse    = 1 << 15
	minTimeout  = 100 * time.Millisecond
	maxNodeName = 64
)

// Validate reports every setting with an invalid value, each on a line that
// begins with its flag. It never prints what may be a password.
func (c *Config) Validate() error {
	var p setting.Problems
	c.validateStore(&p)
	c.validateNetwork(&p)
	c.validateLimits(&p)
	return p.Err()
}

func (c *Config) validateStore(p *setting.Problems) {
	c.Store.CheckSettings(p)
	p.Check(c.Bus.Redis == "" || !strings.HasPrefix(c.Store.DB, "sqlite:"), "redis", "%s with a sqlite: store: several nodes need one database", setting.Redacted(c.Bus.Redis))
	c.Bus.CheckSettings(p)
	p.Check(utf8.RuneCountInString(c.Node) <= maxNodeName && !strings.ContainsFunc(c.Node, unprintable), "node",
		"%q: at most %d printable characters without blanks", c.Node, maxNodeName)
}

func (c *Config) validateNetwork(p *setting.Problems) {
	c.Ops.CheckSettings(p)
	c.Reactor.CheckSettings(p)
	p.Int("loops", c.Reactor.Loops, 0, maxLoops)
	p.Time("drain-timeout", c.DrainTimeout, minTimeout, setting.MaxTime)
	p.Int("window", c.Window, 1, maxWindow)
	p.Size("max-unanswered", c.MaxUnanswered, minPending, maxBuffers)
}

func (c *Config) validateLimits(p *setting.Problems) {
	p.Int("frames-per-sec-per-user", c.FramesPerUser, 0, maxRate)
	p.Size("bytes-per-sec-per-user", c.BytesPerUser, 0, maxBuffer)
	p.Int("logins-per-sec-per-addr", c.LoginsPerSec, 0, maxRate)
	p.Int("passwords-per-sec-per-addr", c.PasswordsSec, 0, maxRate)
	p.Int("failed-logins-per-addr", c.FailedAddr, 0, maxRate)
	p.Int("failed-logins-per-account", c.FailedAccount, 0, maxRate)
	p.Time("failed-logins-time", c.FailedTime, time.Second, setting.MaxTime)
	p.Time("abuse-wait", c.AbuseWait, 0, service.MaxAbuseWait)
	p.Int("max-devices", c.MaxDevices, 1, Unlimited)
	p.Int("max-friends", c.MaxFriends, 1, Unlimited)
	p.Int("max-groups", c.MaxGroups, 1, Unlimited)
	p.Int("max-members", c.MaxMembers, 1, Unlimited)
	p.Int("max-page", c.MaxPage, 1, proto.MaxSyncMessages)
}

// lift carries out --no-limits.
func (c *Config) lift() {
	if !c.NoLimits {
		return
	}
	c.Reactor.LiftLimits()
	c.LoginsPerSec, c.PasswordsSec, c.FramesPerUser, c.BytesPerUser = 0, 0, 0, 0
	c.FailedAddr, c.FailedAccount, c.AbuseWait = 0, 0, 0
	c.MaxDevices, c.MaxFriends, c.MaxGroups, c.MaxMembers = Unlimited, Unlimited, Unlimited, Unlimited
}

// NodeName is --node or, without one, the host name and the port that clients
// connect to, which is known only once it listens when port 0 was asked for.
func (c *Config) NodeName(port uint16) string {
	if c.Node != "" {
		return c.Node
	}
	host, err := os.Hostname()
	if err != nil {
		host = "node"
	}
	return host + ":" + strconv.Itoa(int(port))
}

func unprintable(r rune) bool { return r <= ' ' || !strconv.IsPrint(r) }

// Argon2 is the cost of one password hash.
type Argon2 struct {
	KiB     uint32 // memory
	Passes  uint32
	Threads uint8
}

// UnmarshalText reads KIB,T,P within what argon2 allows (8 KiB per thread)
// and what one login may cost a server (1 GiB, 64 passes).
func (a *Argon2) UnmarshalText(text []byte) error {
	bad := fmt.Errorf("%q is not KIB,T,P, such as 19456,2,1 (8 KiB per thread at least, 1 GiB, 64 passes and 64 threads at most)", text)
	parts := strings.Split(string(text), ",")
	if len(parts) != 3 {
		return bad
	}
	var n [3]uint64
	for i, p := range parts {
		v, err := strconv.ParseUint(strings.TrimSpace(p), 10, 32)
		if err != nil || v == 0 {
			return bad
		}
		n[i] = v
	}
	if n[0] > 1<<20 || n[1] > 64 || n[2] > 64 || n[0] < 8*n[2] {
		return bad
	}
	a.KiB, a.Passes, a.Threads = uint32(n[0]), uint32(n[1]), uint8(n[2])
	return nil
}

func (a Argon2) String() string { return fmt.Sprintf("%d,%d,%d", a.KiB, a.Passes, a.Threads) }
