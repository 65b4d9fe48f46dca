package people

import "chatd/internal/setting"

// Config are the settings of what users do with each other.
type Config struct {
	MaxFriends int `group:"limits" name:"max-friends" default:"1000" placeholder:"N" common:"" help:"Friends per user."`
}

// DefaultConfig is what chatd runs with when nothing is set.
func DefaultConfig() (c Config) {
	setting.Defaults(&c)
	return c
}

// Lift removes all limits.
func (c *Config) Lift() { c.MaxFriends = setting.Unlimited }

// CheckSettings notes each setting that has an invalid value.
func (c *Config) CheckSettings(p *setting.Problems) {
	p.Int("max-friends", c.MaxFriends, 1, setting.Unlimited)
}
