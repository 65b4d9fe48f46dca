package setting

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Unlimited stands for no limit in counts that the store checks: more than
// there can be, and still an int on every platform.
const Unlimited = math.MaxInt32

// MaxTime is the largest value of most settings that are times. It catches
// typos, such as a time in nanoseconds.
const MaxTime = 24 * time.Hour

// Problems collects the settings that have an invalid value. The zero value is
// ready to use.
type Problems struct{ errs []error }

// Check records a problem of the flag unless ok. The text must not contain a
// password: use Redacted for URLs.
func (p *Problems) Check(ok bool, flag, format string, args ...any) {
	if !ok {
		p.errs = append(p.errs, fmt.Errorf("--%s: %s", flag, fmt.Sprintf(format, args...)))
	}
}

// Int checks that v is at least low and at most high.
func (p *Problems) Int(flag string, v, low, high int) {
	p.Check(v >= low && v <= high, flag, "%d is not between %d and %d", v, low, high)
}

// Size is like Int, for a number of bytes.
func (p *Problems) Size(flag string, v, low, high int) {
	p.Check(v >= low && v <= high, flag, "%s is not between %s and %s", FormatSize(v), FormatSize(low), FormatSize(high))
}

// Time is like Int, for a time.
func (p *Problems) Time(flag string, v, low, high time.Duration) {
	p.Check(v >= low && v <= high, flag, "%s is not between %s and %s", v, low, high)
}

// Err returns all problems, one on each line, or nil.
func (p *Problems) Err() error { return errors.Join(p.errs...) }
