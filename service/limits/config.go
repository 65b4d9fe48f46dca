package limits

import (
	"time"

	"chatd/internal/setting"
)

// Config holds the rate limits; 0 means no limit. Behind a trusted proxy, limits
// per address count the client's address, not the proxy's.
type Config struct {
	FramesPerSecPerUser        int           `group:"limits" name:"frames-per-sec-per-user" default:"400" placeholder:"N" help:"Frames per second per user, over all connections to this node, PING excluded. 0: no limit."`
	BytesPerSecPerUser         int           `group:"limits" name:"bytes-per-sec-per-user" type:"size" default:"1MiB" placeholder:"SIZE" help:"Bytes of frames per second per user, over all connections to this node, PING excluded. 0: no limit."`
	AnswersPerSecPerUser       int           `group:"limits" name:"answers-per-sec-per-user" type:"size" default:"4MiB" placeholder:"SIZE" help:"Bytes per second of answers, and of what is sent to groups times the receivers, per user, over all connections to this node. 0: no limit."`
	LoginsPerSecPerAddr        int           `group:"limits" name:"logins-per-sec-per-addr" default:"100" placeholder:"N" help:"Logins per second per address, by token or password. 0: no limit."`
	LoginsPerSecPerUser        int           `group:"limits" name:"logins-per-sec-per-user" default:"2" placeholder:"N" help:"Logins per second per user, on this node, by token or password. 0: no limit."`
	PasswordsPerSecPerAddr     int           `group:"limits" name:"passwords-per-sec-per-addr" default:"20" placeholder:"N" help:"Passwords hashed per second per address, for logins, registrations and password changes. 0: no limit."`
	RegistrationsPerDayPerAddr int           `group:"limits" name:"registrations-per-day-per-addr" default:"1000" placeholder:"N" help:"Users registered per day per address, on this node. 0: no limit."`
	FailedLoginsPerAddr        int           `group:"limits" name:"failed-logins-per-addr" default:"100" placeholder:"N" help:"Wrong passwords per address within --failed-logins-time. 0: no limit."`
	FailedLoginsPerAccountAddr int           `group:"limits" name:"failed-logins-per-account-addr" default:"10" placeholder:"N" help:"Wrong passwords per account from one address within --failed-logins-time. Logins by token still work. 0: no limit."`
	FailedLoginsPerAccount     int           `group:"limits" name:"failed-logins-per-account" default:"1000" placeholder:"N" help:"Wrong passwords per account from all addresses within --failed-logins-time. Logins by token still work. 0: no limit."`
	FailedLoginsTime           time.Duration `group:"limits" name:"failed-logins-time" default:"5m" placeholder:"TIME" help:"Period over which failed logins are counted."`
	AbuseWait                  time.Duration `group:"limits" name:"abuse-wait" default:"5s" placeholder:"TIME" help:"How long a user is locked out after KICK abuse. Doubles each time, up to 5m. 0: no lockout."`
	Burst                      time.Duration `kong:"-"` // how many seconds' worth of a limit per second may be used at once; that of reactor.Config
}

// DefaultConfig returns the default settings.
func DefaultConfig() Config {
	c := Config{Burst: 10 * time.Second}
	setting.Defaults(&c)
	return c
}

// Lift removes all limits.
func (c *Config) Lift() {
	c.FramesPerSecPerUser, c.BytesPerSecPerUser, c.LoginsPerSecPerAddr, c.PasswordsPerSecPerAddr = 0, 0, 0, 0
	c.FailedLoginsPerAddr, c.FailedLoginsPerAccountAddr, c.FailedLoginsPerAccount, c.AbuseWait, c.AnswersPerSecPerUser = 0, 0, 0, 0, 0
	c.LoginsPerSecPerUser, c.RegistrationsPerDayPerAddr = 0, 0
}

// Bounds of the settings. They catch typos, such as a size without its
// unit.
const (
	maxRate  = 1 << 24
	maxBytes = 1 << 30
)

// CheckSettings adds each invalid setting to p.
func (c *Config) CheckSettings(p *setting.Problems) {
	p.Int("frames-per-sec-per-user", c.FramesPerSecPerUser, 0, maxRate)
	p.Size("bytes-per-sec-per-user", c.BytesPerSecPerUser, 0, maxBytes)
	p.Size("answers-per-sec-per-user", c.AnswersPerSecPerUser, 0, maxBytes)
	p.Int("logins-per-sec-per-addr", c.LoginsPerSecPerAddr, 0, maxRate)
	p.Int("logins-per-sec-per-user", c.LoginsPerSecPerUser, 0, maxRate)
	p.Int("passwords-per-sec-per-addr", c.PasswordsPerSecPerAddr, 0, maxRate)
	p.Int("registrations-per-day-per-addr", c.RegistrationsPerDayPerAddr, 0, maxRate)
	p.Int("failed-logins-per-addr", c.FailedLoginsPerAddr, 0, maxRate)
	p.Int("failed-logins-per-account-addr", c.FailedLoginsPerAccountAddr, 0, maxRate)
	p.Int("failed-logins-per-account", c.FailedLoginsPerAccount, 0, maxRate)
	p.Time("failed-logins-time", c.FailedLoginsTime, time.Second, setting.MaxTime)
	p.Time("abuse-wait", c.AbuseWait, 0, MaxAbuseWait)
}
