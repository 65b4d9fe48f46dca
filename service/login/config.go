package login

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/alexedwards/argon2id"

	"chatd/internal/names"
	"chatd/internal/setting"
)

// Config holds the settings of logins.
type Config struct {
	Registration  string   `group:"security" name:"registration" default:"open" placeholder:"WHO" enum:"open,invite,off" common:"" help:"Who may register: open (anyone), invite (users with a code made by chatd invite) or off (nobody)."`
	ReservedNames []string `group:"security" name:"reserved-names" default:"admin,administrator,chatd,moderator,operator,root,security,server,staff,support,system,you,我" placeholder:"NAME,…" help:"Names that can't be registered, nor names that look like them. Empty: none."`

	MaxDevices int    `group:"limits" name:"max-devices" default:"8" placeholder:"N" help:"Devices per user. A login from one more device logs out the least recently used one."`
	Argon2     Argon2 `group:"security" name:"argon2" env:"CHATD_ARGON2" default:"19456,2,1" placeholder:"KIB,T,P" help:"Cost of password hashing: memory in KiB, passes, threads. Load tests use 8,1,1."`
}

// Values of Config.Registration.
const (
	RegistrationOpen   = "open"
	RegistrationInvite = "invite"
	RegistrationOff    = "off"
)

// DefaultConfig returns the default settings.
func DefaultConfig() (c Config) {
	setting.Defaults(&c)
	return c
}

// Lift removes all limits.
func (c *Config) Lift() { c.MaxDevices = setting.Unlimited }

// CheckSettings adds each invalid setting to p.
func (c *Config) CheckSettings(p *setting.Problems) {
	p.Int("max-devices", c.MaxDevices, 1, setting.Unlimited)
	for _, name := range c.ReservedNames {
		err := names.Check(name)
		p.Check(err == nil, "reserved-names", "%q is not a valid name: %v", name, err)
	}
}

// Argon2 is the cost of password hashing.
type Argon2 struct{ argon2id.Params }

// UnmarshalText parses KIB,T,P: memory in KiB, passes, threads. It checks the
// minimum of argon2 (8 KiB per thread), and maximums that keep a login
// affordable.
func (a *Argon2) UnmarshalText(text []byte) error {
	bad := fmt.Errorf("%q is not KIB,T,P, such as 19456,2,1 (at least 8 KiB per thread; at most 1 GiB, 64 passes and 64 threads)", text)
	parts := strings.Split(string(text), ",")
	if len(parts) != 3 {
		return bad
	}
	var n [3]uint64
	for i, p := range parts {
		v, err := strconv.ParseUint(strings.TrimSpace(p), 10, 32)
		if err != nil || v == 0 {
			return bad
		}
		n[i] = v
	}
	if n[0] > 1<<20 || n[1] > 64 || n[2] > 64 || n[0] < 8*n[2] {
		return bad
	}
	a.Params = argon2id.Params{Memory: uint32(n[0]), Iterations: uint32(n[1]), Parallelism: uint8(n[2]), SaltLength: 16, KeyLength: 32}
	return nil
}
