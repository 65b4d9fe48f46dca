package session

import "chatd/internal/setting"

// Config holds the settings of sessions.
type Config struct {
	Window int `group:"buffers" name:"window" default:"256" placeholder:"N" help:"Chat messages that a connection may have unanswered. The next one is held back, and all requests behind it."`
	// MaxUnanswered bounds the chat messages that this node has taken and not
	// answered. More get errno 9.
	MaxUnanswered int64 `group:"buffers" name:"max-unanswered" type:"size" default:"48MiB" placeholder:"SIZE" help:"Bytes of unanswered chat messages over all connections. More are refused as too fast (errno 9)."`
}

// DefaultConfig returns the default settings.
func DefaultConfig() (c Config) {
	setting.Defaults(&c)
	return c
}

// Bounds of the settings. They catch typos, such as a size without its
// unit.
const (
	maxWindow  = 65536
	minPending = 1 << 20 // enough for several messages of maximum size
	maxPending = 64 << 30
)

// CheckSettings adds each invalid setting to p.
func (c *Config) CheckSettings(p *setting.Problems) {
	p.Int("window", c.Window, 1, maxWindow)
	p.Size("max-unanswered", int(c.MaxUnanswered), minPending, maxPending)
}
