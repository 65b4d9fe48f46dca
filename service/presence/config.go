package presence

import "time"

// Config holds the settings of presence.
type Config struct {
	Grace      time.Duration `kong:"-"` // how long a user counts as online after their last session has ended
	SweepEvery time.Duration `kong:"-"` // how often to compare what users were told with who is online, and to retry what failed
}

// DefaultConfig returns the default settings.
func DefaultConfig() Config { return Config{Grace: 2 * time.Second, SweepEvery: 5 * time.Second} }
