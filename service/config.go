package service

import (
	"time"

	"chatd/internal/setting"
	"chatd/service/audit"
	"chatd/service/cluster"
	"chatd/service/delivery"
	"chatd/service/groups"
	"chatd/service/limits"
	"chatd/service/login"
	"chatd/service/people"
	"chatd/service/presence"
	"chatd/service/session"
)

// Config holds the settings of the service and its packages.
type Config struct {
	Session  session.Config  `embed:""`
	Limits   limits.Config   `embed:""`
	Login    login.Config    `embed:""`
	People   people.Config   `embed:""`
	Groups   groups.Config   `embed:""`
	Delivery delivery.Config `embed:""`
	Audit    *audit.Log      `kong:"-"` // the audit log; nil: none
	Presence presence.Config `kong:"-"`
	Cluster  cluster.Config  `kong:"-"`

	DrainSpread time.Duration `kong:"-"` // the time over which a draining node spreads its clients' reconnects
}

// DefaultConfig returns the default settings.
func DefaultConfig() Config {
	return Config{Session: session.DefaultConfig(), Limits: limits.DefaultConfig(), Login: login.DefaultConfig(), People: people.DefaultConfig(),
		Groups: groups.DefaultConfig(), Delivery: delivery.DefaultConfig(), Presence: presence.DefaultConfig(), Cluster: cluster.DefaultConfig(), DrainSpread: 2 * time.Second}
}

// LiftLimits removes the limits per address, user and account, for load tests.
// The limits that bound memory stay.
func (c *Config) LiftLimits() {
	c.Limits.Lift()
	c.Login.Lift()
	c.People.Lift()
	c.Groups.Lift()
}

// CheckSettings adds each invalid setting to p.
func (c *Config) CheckSettings(p *setting.Problems) {
	c.Session.CheckSettings(p)
	c.Limits.CheckSettings(p)
	c.Login.CheckSettings(p)
	c.People.CheckSettings(p)
	c.Groups.CheckSettings(p)
	login.CheckLists(p, c.People.MaxFriends, c.Groups.MaxGroups)
	c.Delivery.CheckSettings(p)
}
