package presence

import "time"

// Config are the settings of presence.
type Config struct {
	LookEvery time.Duration `kong:"-"` // how often online friends on other nodes are looked after
	Grace     time.Duration `kong:"-"` // between a user's last session's end and "offline"
}

// DefaultConfig is what chatd runs with.
func DefaultConfig() Config { return Config{LookEvery: 15 * time.Second, Grace: 2 * time.Second} }
