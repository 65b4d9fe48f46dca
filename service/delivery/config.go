package delivery

import (
	"time"

	"chatd/internal/setting"
	"chatd/proto"
)

// Config are the settings of delivery.
type Config struct {
	MaxPage    int           `group:"limits" name:"max-page" default:"200" placeholder:"N" help:"Messages per page of missed messages or history (SYNC). At most 200."`
	SweepEvery time.Duration `kong:"-"` // how often the log is asked what has grown
}

// DefaultConfig is what chatd runs with when nothing is set.
func DefaultConfig() Config {
	c := Config{SweepEvery: 10 * time.Second}
	setting.Defaults(&c)
	return c
}

// CheckSettings notes each setting that has an invalid value.
func (c *Config) CheckSettings(p *setting.Problems) {
	p.Int("max-page", c.MaxPage, 1, proto.MaxSyncMessages)
}
