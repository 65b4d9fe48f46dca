package delivery

import (
	"time"

	"chatd/internal/setting"
	"chatd/proto"
)

// Config holds the settings of delivery.
type Config struct {
	MaxPage     int           `group:"limits" name:"max-page" default:"200" placeholder:"N" help:"Messages per page of missed messages or history (SYNC). At most 200."`
	RepairEvery time.Duration `kong:"-"` // interval between two looks of Repair
}

// DefaultConfig returns the default settings.
func DefaultConfig() Config {
	c := Config{RepairEvery: time.Second}
	setting.Defaults(&c)
	return c
}

// CheckSettings adds each invalid setting to p.
func (c *Config) CheckSettings(p *setting.Problems) {
	p.Int("max-page", c.MaxPage, 1, proto.MaxSyncMessages)
}
