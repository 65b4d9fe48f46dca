// Package limits has the rate limits per user, address and account, and the
// counters of all limits that clients reach. The rate limits per connection are
// in package reactor.
package limits

import (
	"net/netip"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"chatd/internal/limit"
	"chatd/proto"
)

// MaxAbuseWait is the longest lockout after abuse. It is also how long an abuse
// is remembered after its lockout: another one within that time doubles the
// lockout.
const MaxAbuseWait = 5 * time.Minute

// LeastWait is the minimum retry_after of a refusal because of these limits.
const LeastWait = time.Second

// Maximum sizes of the tables. A full table drops the entry that would be back
// within its limit soonest.
const (
	maxAddrs    = 1 << 16
	maxAccounts = 1 << 16
	maxPairs    = 1 << 17 // accounts with an address
	maxLeft     = 1 << 16 // users without a session, see Keep; users who have logged in
	maxAbusers  = 1 << 16
)

// Limits has the rate limits of one node. Its methods may be called from any
// goroutine and don't block.
type Limits struct {
	m                      *Metrics
	frames, bytes, answers limit.Rate          // per user
	leftFrames, leftBytes  *limit.Table[int64] // by user; see Keep
	leftAnswers            *limit.Table[int64] // by user; see Keep
	leftMissed             *limit.Table[int64] // by user; see Keep
	logins, passwords      *limit.Table[netip.Addr]
	registrations          *limit.Table[netip.Addr]
	userLogins             *limit.Table[int64]
	failedAddr             *limit.Table[netip.Addr]
	failedAccount          *limit.Table[Account]
	failedPair             *limit.Table[pair]
	abusers                *limit.Penalties[int64] // by user
}

// Account identifies an account whose password is checked: by its ID, however the
// request named it, so that guesses by ID and by name count together. If there is
// no such account, it is identified as in the request. Limits apply all the same,
// so that they don't reveal which accounts exist.
type Account struct {
	ID   int64
	Name string // in the form of proto.NameKey
}

// pair is an account, and an address from which its password is guessed.
type pair struct {
	who  Account
	addr netip.Addr
}

// Refusal is the refusal of a request that would exceed a limit. It wraps a
// *proto.Error.
type Refusal struct {
	Limit Kind
	err   *proto.Error
}

func (r *Refusal) Error() string { return r.err.Error() }
func (r *Refusal) Unwrap() error { return r.err }

// UserRate is the rate-limit state of a user. All sessions of the user on this
// node share it.
type UserRate struct {
	frames, bytes, answers limit.Shared
	missed                 limit.Shared // of missed messages; apart from answers, so that nothing is refused because of them
}

// New returns the limits of a node. now is the current time by the clock of the
// event loops.
func New(cfg *Config, m *Metrics, now time.Time) *Limits {
	l := &Limits{m: m, frames: limit.PerSecond(cfg.FramesPerSecPerUser, cfg.Burst, now), bytes: limit.BytesPerSecond(cfg.BytesPerSecPerUser, cfg.Burst, now),
		answers: limit.BytesPerSecond(cfg.AnswersPerSecPerUser, cfg.Burst, now)}
	l.leftFrames = limit.NewTable[int64](l.frames, maxLeft, add(m.forgotUsers))
	l.leftBytes = limit.NewTable[int64](l.bytes, maxLeft, add(m.forgotUsers))
	l.leftAnswers = limit.NewTable[int64](l.answers, maxLeft, add(m.forgotUsers))
	l.leftMissed = limit.NewTable[int64](l.answers, maxLeft, add(m.forgotUsers))
	l.logins = limit.NewTable[netip.Addr](limit.PerSecond(cfg.LoginsPerSecPerAddr, cfg.Burst, now), maxAddrs, add(m.forgotAddrs))
	l.userLogins = limit.NewTable[int64](limit.PerSecond(cfg.LoginsPerSecPerUser, cfg.Burst, now), maxLeft, add(m.forgotUsers))
	l.passwords = limit.NewTable[netip.Addr](limit.PerSecond(cfg.PasswordsPerSecPerAddr, cfg.Burst, now), maxAddrs, add(m.forgotAddrs))
	l.registrations = limit.NewTable[netip.Addr](limit.Per(cfg.RegistrationsPerDayPerAddr, 24*time.Hour, now), maxAddrs, add(m.forgotAddrs))
	l.failedAddr = limit.NewTable[netip.Addr](limit.Per(cfg.FailedLoginsPerAddr, cfg.FailedLoginsTime, now), maxAddrs, add(m.forgotAddrs))
	l.failedAccount = limit.NewTable[Account](limit.Per(cfg.FailedLoginsPerAccount, cfg.FailedLoginsTime, now), maxAccounts, add(m.forgotAccounts))
	l.failedPair = limit.NewTable[pair](limit.Per(cfg.FailedLoginsPerAccountAddr, cfg.FailedLoginsTime, now), maxPairs, add(m.forgotAccounts))
	l.abusers = limit.NewPenalties[int64](cfg.AbuseWait, MaxAbuseWait, maxAbusers, add(m.forgotUsers))
	return l
}

func add(c *metrics.Counter) func(n int) { return func(n int) { c.Add(n) } }

// Frame charges a frame of size bytes to a user. It returns 0, or how long the
// user has to wait if that exceeds a limit.
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

// RowBytes is how many bytes of an answer a row counts as that the store reads,
// besides what the answer has of it.
const RowBytes = 100

// PushBytes is how many bytes a push to a session counts as, besides its size: a
// short one costs a node a system call, too.
const PushBytes = 256

// Answered charges what a request has cost to a user, once that is known: bytes is
// the size of the answer. Rows that were read count as RowBytes each.
func (l *Limits) Answered(rate *UserRate, now time.Time, bytes int) {
	rate.answers.Spend(&l.answers, now, bytes)
}

// ChangeBytes is how many bytes a request counts as that changes friends, blocks,
// groups or their members: it takes a transaction.
const ChangeBytes = 64 << 10

// Pushed charges a push of this size to a user, for each session that gets it.
func (l *Limits) Pushed(rate *UserRate, now time.Time, sessions, size int) {
	l.Answered(rate, now, sessions*(size+PushBytes))
}

// Costly checks whether a user may send a request whose answer may cost much. It
// returns 0, or how long the user has to wait because earlier ones exceed the limit.
func (l *Limits) Costly(rate *UserRate, now time.Time) (wait time.Duration) {
	if wait = rate.answers.Take(&l.answers, now, 1); wait > 0 {
		l.m.Reached(UserAnswers, 1)
	}
	return wait
}

// Missed charges bytes of missed messages to a user.
func (l *Limits) Missed(rate *UserRate, now time.Time, bytes int) {
	rate.missed.Spend(&l.answers, now, bytes)
}

// MoreMissed returns 0, or how long to wait before more missed messages are read for a
// user. They may be as many bytes as answers.
func (l *Limits) MoreMissed(rate *UserRate, now time.Time) (wait time.Duration) {
	if wait = rate.missed.Take(&l.answers, now, 1); wait > 0 {
		l.m.Reached(UserMissed, 1)
	}
	return wait
}

// Restore continues with the rate-limit state from the user's last session. Call
// it for the first session of a user on this node.
func (l *Limits) Restore(user int64, rate *UserRate) {
	l.leftFrames.Restore(user, &rate.frames)
	l.leftBytes.Restore(user, &rate.bytes)
	l.leftAnswers.Restore(user, &rate.answers)
	l.leftMissed.Restore(user, &rate.missed)
}

// Keep saves the rate-limit state of a user whose last session has ended, so
// that a reconnect doesn't reset it.
func (l *Limits) Keep(user int64, rate *UserRate, now time.Time) {
	l.leftFrames.Keep(user, now, &rate.frames)
	l.leftBytes.Keep(user, now, &rate.bytes)
	l.leftAnswers.Keep(user, now, &rate.answers)
	l.leftMissed.Keep(user, now, &rate.missed)
}

// Login charges a login to an address. It returns nil, or a refusal if that
// exceeds the limit. The zero Addr has no limit.
func (l *Limits) Login(addr netip.Addr, now time.Time) *Refusal {
	return l.take(l.logins, addr, now, Logins)
}

// Password charges one password hash to an address. It returns nil, or a refusal
// if that exceeds the limit.
func (l *Limits) Password(addr netip.Addr, now time.Time) *Refusal {
	return l.take(l.passwords, addr, now, PasswordWork)
}

// Registration charges a registration to an address. It returns nil, or a refusal if
// that exceeds the limit. If the registration fails, call Unregistered.
func (l *Limits) Registration(addr netip.Addr, now time.Time) *Refusal {
	e := l.take(l.registrations, addr, now, Registrations)
	if e != nil {
		e.err.Message = "too many registrations from this address today; try again later"
	}
	return e
}

// Unregistered takes back a call of Registration that returned nil.
func (l *Limits) Unregistered(addr netip.Addr) { l.registrations.Give(addr, 1) }

func (l *Limits) take(table *limit.Table[netip.Addr], addr netip.Addr, now time.Time, kind Kind) *Refusal {
	if !addr.IsValid() {
		return nil
	}
	wait := table.Take(addr, now, 1)
	if wait == 0 {
		return nil
	}
	l.m.Reached(kind, 1)
	return &Refusal{kind, proto.SlowDown(max(wait, LeastWait))}
}

// Abused starts the lockout of a user who was kicked for abuse.
func (l *Limits) Abused(user int64, now time.Time) { l.abusers.Add(user, now) }

// LoginOf charges a login to a user. It returns nil, or a refusal if that exceeds
// the limit, or if the user is locked out after abuse. Call it only after the
// password or token was found valid: the refusal shows that the account exists, and
// nobody else may use up the user's logins.
func (l *Limits) LoginOf(user int64, now time.Time) error {
	wait := l.abusers.Left(user, now)
	if wait == 0 {
		if wait = l.userLogins.Take(user, now, 1); wait > 0 {
			l.m.Reached(UserLogins, 1)
			return &Refusal{UserLogins, proto.SlowDown(max(wait, LeastWait))}
		}
		return nil
	}
	l.m.Reached(ShutOut, 1)
	e := proto.SlowDown(max(wait, LeastWait))
	e.Message = "temporarily locked out for ignoring rate limits; try again later"
	return &Refusal{ShutOut, e}
}

// Guess is a password check in progress. It counts as failed until Done says
// otherwise. So the limit also holds for many checks at the same time. Its methods
// may be called from any goroutine, one at a time.
type Guess struct {
	l    *Limits
	addr netip.Addr // the zero Addr has no limit
	who  Account    // the zero Account: Check wasn't called, or has refused. A wrong invitation has no account
}

// Guess charges a password check and its hash to an address. If it returns a
// refusal, don't check the password. Otherwise call Check before the check, and
// Done after it.
func (l *Limits) Guess(addr netip.Addr, now time.Time) (*Guess, *Refusal) {
	if e := l.Password(addr, now); e != nil {
		return nil, e
	}
	if addr.IsValid() {
		if wait := l.failedAddr.Take(addr, now, 1); wait > 0 {
			return nil, l.tooManyWrong(FailedAddr, wait)
		}
	}
	return &Guess{l: l, addr: addr}, nil
}

// Check charges the check to an account. If it returns a refusal, don't check the
// password. The limit of an account and an address together is much lower than
// that of the account alone: someone who guesses locks out their own address long
// before the account's owner.
func (g *Guess) Check(who Account, now time.Time) *Refusal {
	l := g.l
	if wait := l.failedPair.Take(pair{who, g.addr}, now, 1); wait > 0 {
		return l.tooManyWrong(FailedPair, wait)
	}
	if wait := l.failedAccount.Take(who, now, 1); wait > 0 {
		l.failedPair.Give(pair{who, g.addr}, 1)
		return l.tooManyWrong(FailedAccount, wait)
	}
	g.who = who
	return nil
}

func (l *Limits) tooManyWrong(kind Kind, wait time.Duration) *Refusal {
	l.m.Reached(kind, 1)
	e := proto.SlowDown(max(wait, LeastWait))
	e.Message = "too many wrong passwords; try again later"
	return &Refusal{kind, e}
}

// Done ends the check. wrong means that the password was wrong, not that the
// check failed for another reason. Done returns the limits that are reached now,
// so that further checks will be refused.
func (g *Guess) Done(wrong bool, now time.Time) (reached []Kind) {
	l := g.l
	if wrong {
		return l.locked(g.who, g.addr, now)
	}
	if g.who != (Account{}) {
		l.failedPair.Give(pair{g.who, g.addr}, 1)
		l.failedAccount.Give(g.who, 1)
	}
	if g.addr.IsValid() {
		l.failedAddr.Give(g.addr, 1)
	}
	return nil
}

// Subject returns the account that was passed to Check, and the address.
func (g *Guess) Subject() (Account, netip.Addr) { return g.who, g.addr }

// WrongElsewhere charges a wrong password that another node has checked.
func (l *Limits) WrongElsewhere(who Account, addr netip.Addr, now time.Time) {
	if addr.IsValid() {
		l.failedAddr.Take(addr, now, 1)
	}
	if who != (Account{}) {
		l.failedPair.Take(pair{who, addr}, now, 1)
		l.failedAccount.Take(who, now, 1)
	}
}

// locked returns the limits that would refuse another check.
func (l *Limits) locked(who Account, addr netip.Addr, now time.Time) (reached []Kind) {
	if who != (Account{}) && l.failedPair.Wait(pair{who, addr}, now, 1) > 0 {
		reached = append(reached, FailedPair)
	}
	if who != (Account{}) && l.failedAccount.Wait(who, now, 1) > 0 {
		reached = append(reached, FailedAccount)
	}
	if addr.IsValid() && l.failedAddr.Wait(addr, now, 1) > 0 {
		reached = append(reached, FailedAddr)
	}
	return reached
}
