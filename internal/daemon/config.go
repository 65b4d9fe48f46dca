package daemon

import (
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"chatd/internal/setting"
	"chatd/model"
	"chatd/reactor"
	"chatd/service"
	"chatd/service/bus"
	"chatd/service/ops"
)

// Config holds every setting of the daemon and of the operator commands. Each
// is declared once, in the package that it belongs to: the field's tags have
// the name, the default and the help, see package setting. The command line,
// the environment, the file and the help are all read from them. A Config
// comes from parse, which has checked it; nothing changes it afterwards.
type Config struct {
	Store   model.Options   `embed:""`
	Bus     bus.RedisConfig `embed:""`
	Ops     ops.Config      `embed:""`
	Reactor reactor.Config  `embed:""`
	Service service.Config  `embed:""`

	Node             string        `group:"nodes" name:"node" placeholder:"NAME" common:"" help:"Name of this node. Empty: host name and port."`
	AllowUnconnected bool          `group:"nodes" name:"allow-unconnected-nodes" help:"Start even if another node uses the same database and is not connected to this one through Redis. Messages between them are late, and online status is wrong."`
	DrainTimeout     time.Duration `group:"network" name:"drain-timeout" default:"5s" placeholder:"TIME" common:"" help:"How long a draining node may take to answer the requests it has accepted."`
	NoLimits         bool          `group:"limits" name:"no-limits" common:"" help:"Turn off all limits per address, connection, user, account and group, for load tests. Sizes, window and buffers stay limited."`
	Memory           int           `group:"buffers" name:"memory" type:"size" default:"0" placeholder:"SIZE" common:"" help:"Memory below which the Go runtime tries to stay, at least 64MiB. 0: GOMEMLIMIT, or three quarters of the container's limit, or no limit."`
	LogLevel         string        `group:"logging" name:"log-level" default:"info" placeholder:"LEVEL" enum:"debug,info,warn,error" common:"" help:"Lowest level to log: debug, info, warn or error."`
	LogFormat        string        `group:"logging" name:"log-format" default:"text" placeholder:"FORMAT" enum:"text,json" common:"" help:"Format of the log on stderr: text or json."`

	AuditLog string `group:"logging" name:"audit-log" default:"-" placeholder:"FILE" common:"" help:"File for the audit log: logins, lockouts, and changes of accounts and groups, in the format of --log-format. -: standard output. off: none."`

	// stdout is where the audit log goes if AuditLog is "-".
	stdout io.Writer
	// terminal is the terminal that the server was started from, for the
	// welcome. It is nil if there is none.
	terminal io.Writer

	// live changes settings while the server runs. It is nil in tests.
	live *live

	// manager is the service manager that started the server. It is nil if there
	// is none.
	manager *manager
}

// Bounds of the settings. They catch typos.
const (
	maxLoops    = 64 // the chat keeps sets of loops in 64 bits
	minTimeout  = 100 * time.Millisecond
	maxNodeName = 64 // characters
	minMemory   = 64 << 20
)

// check reports every setting with an invalid value, each on a line that
// begins with its flag. It never prints what may be a password.
func (c *Config) check() error {
	var p setting.Problems
	c.Store.CheckSettings(&p)
	c.Bus.CheckSettings(&p)
	p.Check(c.Bus.Redis == "" || !strings.HasPrefix(c.Store.DB, "sqlite:"), "redis", "%s: several nodes can't share a SQLite database; set --db to a mysql:// URL", setting.Redacted(c.Bus.Redis))
	c.Ops.CheckSettings(&p)
	c.Reactor.CheckSettings(&p)
	p.Int("loops", c.Reactor.Loops, 0, maxLoops)
	c.Service.CheckSettings(&p)
	p.Check(utf8.RuneCountInString(c.Node) <= maxNodeName && !strings.ContainsFunc(c.Node, unprintable), "node",
		"%q is not a name of at most %d printable characters without spaces", c.Node, maxNodeName)
	p.Check(c.Memory == 0 || c.Memory >= minMemory, "memory", "%s is less than %s; 0 means the default", setting.FormatSize(c.Memory), setting.FormatSize(minMemory))
	p.Check(c.AuditLog != "", "audit-log", "%q is not a file; use off for none", c.AuditLog)
	p.Time("drain-timeout", c.DrainTimeout, minTimeout, setting.MaxTime)
	return p.Err()
}

// combine applies the settings that are about several packages.
func (c *Config) combine() {
	c.Service.Limits.Burst = c.Reactor.Burst
	if c.NoLimits {
		c.Store.Lift()
		c.Reactor.LiftLimits()
		c.Service.LiftLimits()
	}
}

// NodeName returns --node or, without one, the host name and the port that
// clients connect to. If <port> is 0, that port is known only once the node
// listens.
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
