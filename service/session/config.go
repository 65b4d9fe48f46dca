package session

import "chatd/internal/setting"

// Config are the settings of sessions.
type Config struct {
	Window int `group:"buffers" name:"window" default:"256" placeholder:"N" help:"Chat messages that a connection may have unanswered. Further requests are held back."`
	// MaxUnanswered bounds the chat messages that this node has taken and not
	// answered. More get errno 9.
	MaxUnanswered int64 `group:"buffers" name:"max-unanswered" type:"size" default:"48MiB" placeholder:"SIZE" help:"Bytes of unanswered chat messages over all connections. More are refused as too fast (errno 9)."`
}

// DefaultConfig is what chatd runs with when nothing is set.
func DefaultConfig() (c Config) {
	setting.Defaults(&c)
	return c
}

// Bounds of the settings. They reject typing errors, such as a size without its
// unit.
const (
	maxWindow  = 65536
	minPending = 1 << 20 // some of the largest messages must fit
	maxPending = 64 << 30
)

// CheckSettings notes each setting that has an invalid value.
func (c *Config) CheckSettings(p *setting.Problems) {
	p.Int("window", c.Window, 1, maxWindow)
	p.Size("max-unanswered", int(c.MaxUnanswered), minPending, maxPending)
}
