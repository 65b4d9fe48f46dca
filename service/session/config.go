package session

import "chatd/internal/setting"

// Config holds the settings of sessions.
type Config struct {
	Window int `group:"buffers" name:"window" default:"256" placeholder:"N" help:"Chat messages that a connection may have without an ACK. Beyond that, the next one and all requests after it are held back."`
	// MaxUnanswered bounds the chat messages that this node has accepted and
	// not acknowledged yet.
	MaxUnanswered int64 `group:"buffers" name:"max-unanswered" type:"size" default:"48MiB" placeholder:"SIZE" help:"Bytes of chat messages without an ACK, over all connections. Beyond that, messages are refused with errno 9."`
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
