package service

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/alexedwards/argon2id"

	"chatd/internal/setting"
	"chatd/proto"
)

// Config is what an operator can set of the chat. DefaultConfig has the
// defaults.
type Config struct {
	Window int `group:"buffers" name:"window" default:"256" placeholder:"N" help:"Chat messages per connection that may have no answer yet. More requests are held back."`
	// MaxUnanswered bounds what this node has taken and not answered. What comes
	// beyond gets errno 9.
	MaxUnanswered int64 `group:"buffers" name:"max-unanswered" type:"size" default:"48MiB" placeholder:"SIZE" help:"Bytes of all chat messages that have no answer yet. More are refused as too fast."`

	// Limits per second and per address. Those per address count the client's
	// own address, also behind trusted proxies.
	FramesPerSecPerUser    int           `group:"limits" name:"frames-per-sec-per-user" default:"400" placeholder:"N" help:"Frames per second per user, over all connections to this node, without PING. 0: no limit."`
	BytesPerSecPerUser     int           `group:"limits" name:"bytes-per-sec-per-user" type:"size" default:"2MiB" placeholder:"SIZE" help:"Bytes of these frames per second per user. 0: no limit."`
	LoginsPerSecPerAddr    int           `group:"limits" name:"logins-per-sec-per-addr" default:"100" placeholder:"N" help:"Logins per second per address, by token or password. 0: no limit."`
	PasswordsPerSecPerAddr int           `group:"limits" name:"passwords-per-sec-per-addr" default:"20" placeholder:"N" help:"Passwords hashed per second per address, for logins, registrations and password changes. 0: no limit."`
	FailedLoginsPerAddr    int           `group:"limits" name:"failed-logins-per-addr" default:"100" placeholder:"N" help:"Wrong passwords per address within --failed-logins-time. 0: no limit."`
	FailedLoginsPerAccount int           `group:"limits" name:"failed-logins-per-account" default:"10" placeholder:"N" help:"Wrong passwords per account within --failed-logins-time. Logins by token still work. 0: no limit."`
	FailedLoginsTime       time.Duration `group:"limits" name:"failed-logins-time" default:"5m" placeholder:"TIME" help:"The time in which failed logins are counted."`
	AbuseWait              time.Duration `group:"limits" name:"abuse-wait" default:"5s" placeholder:"TIME" help:"How long a user who was closed as abuse can't log in. Doubles each time, up to 5m. 0: not at all."`
	Burst                  time.Duration `kong:"-"` // that of reactor.Config: how many seconds' worth of a limit per second may be used at once

	MaxDevices int `group:"limits" name:"max-devices" default:"8" placeholder:"N" help:"Devices per user. A new one replaces the one that was unused for longest."`
	MaxFriends int `group:"limits" name:"max-friends" default:"1000" placeholder:"N" common:"" help:"Friends per user."`
	MaxGroups  int `group:"limits" name:"max-groups" default:"100" placeholder:"N" common:"" help:"Groups per user."`
	MaxMembers int `group:"limits" name:"max-members" default:"10000" placeholder:"N" common:"" help:"Members per group."`
	MaxPage    int `group:"limits" name:"max-page" default:"200" placeholder:"N" help:"Messages per page of missed messages and of SYNC. At most 200."`

	Argon2 Argon2 `group:"security" name:"argon2" env:"CHATD_ARGON2" default:"19456,2,1" placeholder:"KIB,T,P" help:"Cost of password hashing: memory in KiB, passes, threads. Load tests use 8,1,1."`

	SweepEvery  time.Duration `kong:"-"` // how often the log is asked what has grown
	LookEvery   time.Duration `kong:"-"` // how often online friends on other nodes are looked after
	Grace       time.Duration `kong:"-"` // between a user's last session's end and "offline"
	DrainSpread time.Duration `kong:"-"` // over which a draining node spreads reconnects
}

// DefaultConfig is what chatd runs with when nothing is set.
func DefaultConfig() Config {
	c := Config{Burst: 10 * time.Second, SweepEvery: 10 * time.Second, LookEvery: 15 * time.Second, Grace: 2 * time.Second, DrainSpread: 2 * time.Second}
	setting.Defaults(&c)
	return c
}

// unlimited is what LiftLimits sets the limits of what the store counts to.
const unlimited = math.MaxInt32

// LiftLimits removes the limits per address, user and account. What bounds the
// memory stays.
func (c *Config) LiftLimits() {
	c.FramesPerSecPerUser, c.BytesPerSecPerUser, c.LoginsPerSecPerAddr, c.PasswordsPerSecPerAddr = 0, 0, 0, 0
	c.FailedLoginsPerAddr, c.FailedLoginsPerAccount, c.AbuseWait = 0, 0, 0
	c.MaxDevices, c.MaxFriends, c.MaxGroups, c.MaxMembers = unlimited, unlimited, unlimited, unlimited
}

// Bounds of the settings. They reject typing errors, such as a size without
// its unit.
const (
	maxWindow  = 65536
	minPending = 1 << 20 // some of the largest messages must fit
	maxPending = 64 << 30
	maxRate    = 1 << 24
	maxBytes   = 1 << 30
)

// CheckSettings notes each setting that has an invalid value.
func (c *Config) CheckSettings(p *setting.Problems) {
	p.Int("window", c.Window, 1, maxWindow)
	p.Size("max-unanswered", int(c.MaxUnanswered), minPending, maxPending)
	p.Int("frames-per-sec-per-user", c.FramesPerSecPerUser, 0, maxRate)
	p.Size("bytes-per-sec-per-user", c.BytesPerSecPerUser, 0, maxBytes)
	p.Int("logins-per-sec-per-addr", c.LoginsPerSecPerAddr, 0, maxRate)
	p.Int("passwords-per-sec-per-addr", c.PasswordsPerSecPerAddr, 0, maxRate)
	p.Int("failed-logins-per-addr", c.FailedLoginsPerAddr, 0, maxRate)
	p.Int("failed-logins-per-account", c.FailedLoginsPerAccount, 0, maxRate)
	p.Time("failed-logins-time", c.FailedLoginsTime, time.Second, setting.MaxTime)
	p.Time("abuse-wait", c.AbuseWait, 0, MaxAbuseWait)
	p.Int("max-devices", c.MaxDevices, 1, unlimited)
	p.Int("max-friends", c.MaxFriends, 1, unlimited)
	p.Int("max-groups", c.MaxGroups, 1, unlimited)
	p.Int("max-members", c.MaxMembers, 1, unlimited)
	p.Int("max-page", c.MaxPage, 1, proto.MaxSyncMessages)
}

// Argon2 is the cost of one password hash.
type Argon2 struct{ argon2id.Params }

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
	a.Params = argon2id.Params{Memory: uint32(n[0]), Iterations: uint32(n[1]), Parallelism: uint8(n[2]), SaltLength: 16, KeyLength: 32}
	return nil
}

// Bounds that are not settings.
const (
	maxLoops       = 64                   // a set of loops is a uint64
	courierLen     = 8192                 // notices for other nodes that wait
	courierBatch   = 256                  // of them in one publish
	courierPause   = 5 * time.Millisecond // between looks at whether it has room
	presenceBatch  = 256                  // users whose coming or going is told together
	publishTimeout = 500 * time.Millisecond
	drainSlots     = 64        // into which reconnects are spread
	backlogBytes   = 256 << 10 // waiting for a connection, from which on its backlog pauses
	maxOwn         = 1024      // acknowledged seqs beyond a hole that are remembered
	maxHeldNotices = 4096      // for a session that is joining
	maxListUsers   = 1000      // users of all groups in one LOGIN_ACK
	blockCacheLen  = 16384     // pairs whose blocks a loop remembers
	settleEvery    = 10 * time.Second
	quietAfter     = 10 * time.Minute
	retryRead      = time.Second
	retryBusy      = 100 * time.Millisecond
	recheckAfter   = time.Second           // between two looks at a token that seems to have ended
	awaySweep      = time.Second           // how often, while the bus is away
	afterReturn    = 10 * time.Second      // after the bus came back nobody is declared offline
	earlyWait      = 20 * time.Millisecond // that a message which came before its turn waits for the others
	maxEarly       = 256                   // of them in one conversation
	sweepOverlap   = 30                    // seconds read again by each sweep: a transaction may commit late
	revokeEvery    = time.Second
)
