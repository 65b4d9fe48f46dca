// Package limits holds the rate limits of users, addresses and accounts, and
// counts every limit that a client reaches. Limits of a connection are in the
// reactor.
package limits

import (
	"net/netip"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"chatd/internal/limit"
	"chatd/proto"
)

// MaxAbuseWait is the longest wait after abuse, and how long an abuse is
// remembered after its wait.
const MaxAbuseWait = 5 * time.Minute

// LeastWait is the shortest retry_after that a client over a limit is sent.
const LeastWait = time.Second

// Bounds of the tables. A full table forgets the entry that would be within
// its limit soonest.
const (
	maxAddrs    = 1 << 16
	maxAccounts = 1 << 16
	maxLeft     = 1 << 16 // users without a session
	maxAbusers  = 1 << 16
)

// Limits are the rate limits of one node. Any goroutine may use them; nothing
// blocks.
type Limits struct {
	m                     *Metrics
	frames, bytes         limit.Rate          // of a user
	leftFrames, leftBytes *limit.Table[int64] // by user: what was used when the last session ended
	logins, passwords     *limit.Table[netip.Addr]
	failedAddr            *limit.Table[netip.Addr]
	failedAccount         *limit.Table[Account]
	abusers               *limit.Penalties[int64] // by user
}

// Account is an account as a login names it, by id or by name. Whether it
// exists is never looked up: a refusal must not depend on it.
type Account struct {
	ID   int64
	Name string // in the form of proto.NameKey
}

// UserRate is the rate-limit state that the sessions of a user on this node
// share.
type UserRate struct{ frames, bytes limit.Shared }

// New makes the limits. now is the time by the clock of the event loops.
func New(cfg *Config, m *Metrics, now time.Time) *Limits {
	l := &Limits{m: m, frames: limit.PerSecond(cfg.FramesPerSecPerUser, cfg.Burst, now), bytes: limit.PerSecond(cfg.BytesPerSecPerUser, cfg.Burst, now)}
	l.leftFrames = limit.NewTable[int64](l.frames, maxLeft, add(m.forgotUsers))
	l.leftBytes = limit.NewTable[int64](l.bytes, maxLeft, add(m.forgotUsers))
	l.logins = limit.NewTable[netip.Addr](limit.PerSecond(cfg.LoginsPerSecPerAddr, cfg.Burst, now), maxAddrs, add(m.forgotAddrs))
	l.passwords = limit.NewTable[netip.Addr](limit.PerSecond(cfg.PasswordsPerSecPerAddr, cfg.Burst, now), maxAddrs, add(m.forgotAddrs))
	l.failedAddr = limit.NewTable[netip.Addr](limit.Per(cfg.FailedLoginsPerAddr, cfg.FailedLoginsTime, now), maxAddrs, add(m.forgotAddrs))
	l.failedAccount = limit.NewTable[Account](limit.Per(cfg.FailedLoginsPerAccount, cfg.FailedLoginsTime, now), maxAccounts, add(m.forgotAccounts))
	l.abusers = limit.NewPenalties[int64](cfg.AbuseWait, MaxAbuseWait, maxAbusers, add(m.forgotUsers))
	return l
}

func add(c *metrics.Counter) func(n int) { return func(n int) { c.Add(n) } }

// Frame charges a frame of size bytes to a user. It returns how long the user
// has to wait where that is over the limit, else 0.
func (l *Limits) Frame(rate *UserRate, now time.Time, size int) (wait time.Duration) {
	kind := UserFrames
	if wait = rate.frames.Take(&l.frames, now, 1); wait == 0 {
		kind = UserBytes
		wait = rate.bytes.Take(&l.bytes, now, size)
	}
	if wait > 0 {
		l.m.Reached(kind, 1)
	}
	return wait
}

// Restore gives a user's first session what the last one had used of the
// limits.
func (l *Limits) Restore(user int64, rate *UserRate) {
	l.leftFrames.Restore(user, &rate.frames)
	l.leftBytes.Restore(user, &rate.bytes)
}

// Keep remembers what a user has used of the limits after the last session, so
// that a new connection doesn't start afresh.
func (l *Limits) Keep(user int64, rate *UserRate, now time.Time) {
	l.leftFrames.Keep(user, now, &rate.frames)
	l.leftBytes.Keep(user, now, &rate.bytes)
}

// Login charges a login to an address; an invalid address has no limit. It
// returns the refusal, or nil.
func (l *Limits) Login(addr netip.Addr, now time.Time) *proto.Error {
	return l.take(l.logins, addr, now, Logins)
}

// Password charges the hashing of one password to an address. It returns the
// refusal, or nil.
func (l *Limits) Password(addr netip.Addr, now time.Time) *proto.Error {
	return l.take(l.passwords, addr, now, PasswordWork)
}

func (l *Limits) take(table *limit.Table[netip.Addr], addr netip.Addr, now time.Time, kind Kind) *proto.Error {
	if !addr.IsValid() {
		return nil
	}
	wait := table.Take(addr, now, 1)
	if wait == 0 {
		return nil
	}
	l.m.Reached(kind, 1)
	return proto.SlowDown(max(wait, LeastWait))
}

// Abused notes that a user was kicked for abuse.
func (l *Limits) Abused(user int64, now time.Time) { l.abusers.Add(user, now) }

// ShutOut returns the refusal of a login by a user who was kicked for abuse,
// or nil. Call it only once the user has proven who they are.
func (l *Limits) ShutOut(user int64, now time.Time) error {
	wait := l.abusers.Left(user, now)
	if wait == 0 {
		return nil
	}
	l.m.Reached(ShutOut, 1)
	e := proto.SlowDown(max(wait, LeastWait))
	e.Message = "temporarily locked out for ignoring rate limits; try again later"
	return e
}

// Guess is a password check that is under way. It counts as failed until Done
// says otherwise: else many at once would all be let through.
type Guess struct {
	l    *Limits
	who  Account
	addr netip.Addr
}

// Guess charges a password check, and its hash, to an account and an address.
// Call Done once the outcome is known. With an error the password must not be
// looked at.
func (l *Limits) Guess(who Account, addr netip.Addr, now time.Time) (*Guess, *proto.Error) {
	if e := l.Password(addr, now); e != nil {
		return nil, e
	}
	wait, kind := l.failedAccount.Take(who, now, 1), FailedAccount
	if wait == 0 && addr.IsValid() {
		if wait, kind = l.failedAddr.Take(addr, now, 1), FailedAddr; wait > 0 {
			l.failedAccount.Give(who, 1)
		}
	}
	if wait == 0 {
		return &Guess{l, who, addr}, nil
	}
	l.m.Reached(kind, 1)
	e := proto.SlowDown(max(wait, LeastWait))
	e.Message = "too many wrong passwords; try again later"
	return nil, e
}

// Done says whether the password was wrong. A check that failed for another
// reason wasn't.
func (g *Guess) Done(wrong bool) {
	if wrong {
		return
	}
	g.l.failedAccount.Give(g.who, 1)
	if g.addr.IsValid() {
		g.l.failedAddr.Give(g.addr, 1)
	}
}
