package presence

import "time"

// Config holds the settings of presence.
type Config struct {
	LookEvery time.Duration `kong:"-"` // how often to check whether friends on other nodes are still online
	Grace     time.Duration `kong:"-"` // how long a user counts as online after their last session has ended
}

// DefaultConfig returns the default settings.
func DefaultConfig() Config { return Config{LookEvery: 15 * time.Second, Grace: 2 * time.Second} }
