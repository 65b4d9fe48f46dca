package service

import (
	"time"

	"chatd/internal/setting"
	"chatd/service/delivery"
	"chatd/service/groups"
	"chatd/service/limits"
	"chatd/service/login"
	"chatd/service/people"
	"chatd/service/presence"
	"chatd/service/session"
)

// Config are the settings of the chat: those of its packages.
type Config struct {
	Session  session.Config  `embed:""`
	Limits   limits.Config   `embed:""`
	Login    login.Config    `embed:""`
	People   people.Config   `embed:""`
	Groups   groups.Config   `embed:""`
	Delivery delivery.Config `embed:""`
	Presence presence.Config `kong:"-"`

	DrainSpread time.Duration `kong:"-"` // over which a draining node spreads reconnects
}

// DefaultConfig is what chatd runs with when nothing is set.
func DefaultConfig() Config {
	return Config{Session: session.DefaultConfig(), Limits: limits.DefaultConfig(), Login: login.DefaultConfig(), People: people.DefaultConfig(),
		Groups: groups.DefaultConfig(), Delivery: delivery.DefaultConfig(), Presence: presence.DefaultConfig(), DrainSpread: 2 * time.Second}
}

// LiftLimits removes the limits per address, user and account. What bounds the
// memory stays.
func (c *Config) LiftLimits() {
	c.Limits.Lift()
	c.Login.Lift()
	c.People.Lift()
	c.Groups.Lift()
}

// CheckSettings notes each setting that has an invalid value.
func (c *Config) CheckSettings(p *setting.Problems) {
	c.Session.CheckSettings(p)
	c.Limits.CheckSettings(p)
	c.Login.CheckSettings(p)
	c.People.CheckSettings(p)
	c.Groups.CheckSettings(p)
	c.Delivery.CheckSettings(p)
}
