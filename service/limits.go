package service

import (
	"net/netip"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"chatd/internal/limit"
	"chatd/proto"
)

// limitKind is a limit that a client can run into.
type limitKind int

const (
	userFrames limitKind = iota
	userBytes
	behindRefused // sent behind a message that was refused and hasn't been told so yet
	logins
	passwordWork
	failedAddr
	failedAccount
	shutOut // for abuse
	fullFriends
	fullGroups
	fullMembers
	fullDevices
	fullPage
	limitKinds
)

var limitNames = [limitKinds]string{userFrames: "user_frames", userBytes: "user_bytes", behindRefused: "behind_refused", logins: "logins", passwordWork: "passwords",
	failedAddr: "failed_address", failedAccount: "failed_account", shutOut: "abuse",
	fullFriends: "friends", fullGroups: "groups", fullMembers: "members", fullDevices: "devices", fullPage: "page"}

// Bounds of what is remembered. At them those are forgotten who would be
// within their limit soonest.
const (
	maxAddrs    = 1 << 16
	maxAccounts = 1 << 16
	maxLeft     = 1 << 16 // users who have just gone
	maxAbusers  = 1 << 16
)

// MaxAbuseWait is the longest that somebody is shut out for abuse, and how
// long it is remembered after.
const MaxAbuseWait = 5 * time.Minute

// leastWait is the least that someone over a limit is told to wait.
const leastWait = time.Second

// limits are those per user, address and account. Any goroutine may use them.
type limits struct {
	frames, bytes         limit.Rate          // of a user
	leftFrames, leftBytes *limit.Table[int64] // by user: what they had used when their last session ended
	logins, passwords     *limit.Table[netip.Addr]
	failedAddr            *limit.Table[netip.Addr]
	failedAccount         *limit.Table[account]
	abusers               *limit.Penalties[int64] // by user
	m                     *counters
}

// account is one as a login names it. Whether there is such a one is never
// asked: an answer must not depend on it.
type account struct {
	id   int64
	name string // as proto.NameKey has it
}

// userRate is what a user's sessions on this node share.
type userRate struct{ frames, bytes limit.Shared }

// newLimits makes the limits; now is by the clock of the loops.
func newLimits(cfg *Config, m *counters, now time.Time) *limits {
	l := &limits{m: m, frames: limit.PerSecond(cfg.FramesPerSecPerUser, cfg.Burst, now), bytes: limit.PerSecond(cfg.BytesPerSecPerUser, cfg.Burst, now)}
	l.leftFrames = limit.NewTable[int64](l.frames, maxLeft, count(m.forgotUsers))
	l.leftBytes = limit.NewTable[int64](l.bytes, maxLeft, count(m.forgotUsers))
	l.logins = limit.NewTable[netip.Addr](limit.PerSecond(cfg.LoginsPerSecPerAddr, cfg.Burst, now), maxAddrs, count(m.forgotAddrs))
	l.passwords = limit.NewTable[netip.Addr](limit.PerSecond(cfg.PasswordsPerSecPerAddr, cfg.Burst, now), maxAddrs, count(m.forgotAddrs))
	l.failedAddr = limit.NewTable[netip.Addr](limit.Per(cfg.FailedLoginsPerAddr, cfg.FailedLoginsTime, now), maxAddrs, count(m.forgotAddrs))
	l.failedAccount = limit.NewTable[account](limit.Per(cfg.FailedLoginsPerAccount, cfg.FailedLoginsTime, now), maxAccounts, count(m.forgotAccounts))
	l.abusers = limit.NewPenalties[int64](cfg.AbuseWait, MaxAbuseWait, maxAbusers, count(m.forgotUsers))
	return l
}

func count(c *metrics.Counter) func(n int) { return func(n int) { c.Add(n) } }

// charge charges the request at hand to its connection and its user. A wait
// above 0: it is to be refused with that.
func (s *Service) charge(t Turn, x *client) time.Duration {
	size, wait := x.conn.Charge(t)
	if wait > 0 || x.session == nil {
		return wait
	}
	rate, why := x.session.rate, userFrames
	if wait = rate.frames.Take(&s.limits.frames, t.Now(), 1); wait == 0 {
		why = userBytes
		wait = rate.bytes.Take(&s.limits.bytes, t.Now(), size)
	}
	if wait == 0 {
		return 0
	}
	s.m.limited[why].Inc()
	return x.conn.Pause(t, wait)
}

// came gives a user's first session what an earlier one has left of the limits.
func (l *limits) came(user int64, rate *userRate) {
	l.leftFrames.Restore(user, &rate.frames)
	l.leftBytes.Restore(user, &rate.bytes)
}

// left keeps what a user has used of the limits: a new connection is no new
// beginning.
func (l *limits) left(user int64, rate *userRate, now time.Time) {
	l.leftFrames.Keep(user, now, &rate.frames)
	l.leftBytes.Keep(user, now, &rate.bytes)
}

// login is the refusal of a login from an address, nil if it may be tried.
// An invalid address is nobody's.
func (l *limits) login(addr netip.Addr, now time.Time) *proto.Error {
	return l.take(l.logins, addr, now, logins)
}

// abuse is the refusal of a login of a user who was kicked for abuse, nil if
// there is none. It is asked once it is certain that it is the user.
func (l *limits) abuse(user int64, now time.Time) error {
	wait := l.abusers.Left(user, now)
	if wait == 0 {
		return nil
	}
	l.m.limited[shutOut].Inc()
	e := proto.SlowDown(max(wait, leastWait))
	e.Message = "shut out for a while, for going on when told to wait"
	return e
}

// password is the refusal of one more password to be hashed for an address.
func (l *limits) password(addr netip.Addr, now time.Time) *proto.Error {
	return l.take(l.passwords, addr, now, passwordWork)
}

func (l *limits) take(table *limit.Table[netip.Addr], addr netip.Addr, now time.Time, why limitKind) *proto.Error {
	if !addr.IsValid() {
		return nil
	}
	wait := table.Take(addr, now, 1)
	if wait == 0 {
		return nil
	}
	l.m.limited[why].Inc()
	return proto.SlowDown(max(wait, leastWait))
}

// guess is a password that is being looked at. Until it has proven right it
// counts as wrong, or many at once would all be let through.
type guess struct {
	l    *limits
	who  account
	addr netip.Addr
}

// guess is for a password for an account; it is settled once. An error is the
// refusal, and the password must not be looked at.
func (l *limits) guess(who account, addr netip.Addr, now time.Time) (*guess, *proto.Error) {
	g := &guess{l, who, addr}
	wait, why := l.failedAccount.Take(who, now, 1), failedAccount
	if wait == 0 && addr.IsValid() {
		if wait, why = l.failedAddr.Take(addr, now, 1), failedAddr; wait > 0 {
			l.failedAccount.Give(who, 1)
		}
	}
	if wait == 0 {
		return g, nil
	}
	l.m.limited[why].Inc()
	e := proto.SlowDown(max(wait, leastWait))
	e.Message = "too many failed logins; try again later"
	return nil, e
}

// settle says whether the password was wrong. What failed for another reason
// wasn't.
func (g *guess) settle(wrong bool) {
	if wrong {
		return
	}
	g.l.failedAccount.Give(g.who, 1)
	if g.addr.IsValid() {
		g.l.failedAddr.Give(g.addr, 1)
	}
}
