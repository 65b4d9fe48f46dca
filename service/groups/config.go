package groups

import "chatd/internal/setting"

// Config holds the settings of groups.
type Config struct {
	MaxGroups  int `group:"limits" name:"max-groups" default:"100" placeholder:"N" common:"" help:"Groups per user."`
	MaxMembers int `group:"limits" name:"max-members" default:"10000" placeholder:"N" common:"" help:"Members per group."`
}

// DefaultConfig returns the default settings.
func DefaultConfig() (c Config) {
	setting.Defaults(&c)
	return c
}

// Lift removes all limits.
func (c *Config) Lift() { c.MaxGroups, c.MaxMembers = setting.Unlimited, setting.Unlimited }

// CheckSettings adds each invalid setting to p.
func (c *Config) CheckSettings(p *setting.Problems) {
	p.Int("max-groups", c.MaxGroups, 1, setting.Unlimited)
	p.Int("max-members", c.MaxMembers, 1, setting.Unlimited)
}
