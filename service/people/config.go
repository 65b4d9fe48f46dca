package people

import "chatd/internal/setting"

// Config holds the settings of friends.
type Config struct {
	MaxFriends int `group:"limits" name:"max-friends" default:"1000" placeholder:"N" common:"" help:"Friends per user."`
}

// DefaultConfig returns the default settings.
func DefaultConfig() (c Config) {
	setting.Defaults(&c)
	return c
}

// Lift removes all limits.
func (c *Config) Lift() { c.MaxFriends = setting.Unlimited }

// CheckSettings adds each invalid setting to p.
func (c *Config) CheckSettings(p *setting.Problems) {
	p.Int("max-friends", c.MaxFriends, 1, setting.Unlimited)
}
