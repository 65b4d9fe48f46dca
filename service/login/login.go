// Package login has the handlers that register a user, log in and out, and
// change the password.
//
// A login takes four steps, so that the session misses nothing:
//
//  1. Off the loop, check the password. Then give the session a number, in a
//     transaction that checks the password again, or the token.
//  2. On the loop, register the session. From then on new messages and notices
//     are recorded for it, except those of groups.
//  3. Off the loop, check the token and the number again: if the session has ended
//     before step 2, it wasn't registered and so couldn't be ended. The same query
//     reads the memberships.
//  4. If the user is in groups: on the loop, join their topics. Then off the loop, if a
//     topic may have missed a change since step 3, repeat the query.
//  5. Off the loop, read what the device has missed.
//  6. On the loop, send LOGIN_ACK and what was recorded. The session is live.
package login

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"chatd/internal/names"
	"chatd/model"
	"chatd/model/feed"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service/audit"
	"chatd/service/bus"
	"chatd/service/delivery"
	"chatd/service/groups"
	"chatd/service/limits"
	"chatd/service/messages"
	"chatd/service/people"
	"chatd/service/presence"
	"chatd/service/session"
)

// Turn and Off are short names for the types of package reactor.
type (
	Turn = reactor.Turn
	Off  = reactor.Off
	conn = session.Conn
)

// Store holds the methods of the store that logins need. All but StartSession may
// block.
type Store interface {
	CreateUser(ctx context.Context, name, nameKey, hash string) (int64, error)
	CreateInvitedUser(ctx context.Context, name, nameKey, hash string, codeHash []byte) (int64, error)
	CheckInvite(ctx context.Context, codeHash []byte) error
	UserByID(ctx context.Context, id int64) (model.User, error)
	UserByNameKey(ctx context.Context, key string) (model.User, error)
	SetHash(ctx context.Context, id int64, old, hash string) error
	OpenDevice(ctx context.Context, u model.User, device string, tokenHash []byte, max int, gone func() bool) (session int64, added bool, ended []feed.Ended, err error)
	StartSession(tokenHash []byte, gone func() bool, allow func(user int64) error, done func(model.Started, error))
	LogHeads(ctx context.Context, convs []int64) ([]model.LogHead, error)
	TokenMemberships(ctx context.Context, tokenHash []byte, user int64) (model.Token, []model.Membership, error)
	CloseDevice(ctx context.Context, user int64, device string, session int64, tokenHash []byte) (ended []feed.Ended, err error)
	ChangePassword(ctx context.Context, u model.User, hash, device string, session int64, oldToken, newToken []byte) (ended []feed.Ended, err error)
}

// Deps holds what New needs.
type Deps struct {
	Reactor  *reactor.Reactor
	Store    Store
	Courier  *bus.Courier
	Sessions *session.Sessions
	Presence *presence.Presence
	Delivery *delivery.Delivery
	Limits   *limits.Limits
	People   *people.People
	Groups   *groups.Groups
	Messages *messages.Messages
	Audit    *audit.Log // nil: none
	Node     string     // this node's name, for LOGIN_ACK
	Epoch    int64      // the store's, for LOGIN_ACK
}

// Logins has the handlers of one node.
type Logins struct {
	Deps
	cfg  *Config
	pass *passwords

	reserved names.Reserved // cfg.ReservedNames
	features []string       // of LOGIN_ACK
}

// New returns the handlers. It takes as long as hashing one password.
func New(cfg *Config, on Deps) *Logins {
	l := &Logins{Deps: on, cfg: cfg, pass: newPasswords(cfg.Argon2.Params), reserved: names.NewReserved(cfg.ReservedNames), features: []string{}}
	if cfg.Registration == RegistrationOpen {
		l.features = append(l.features, proto.FeatureRegister)
	}
	return l
}

// errRefused is the answer to every login with invalid credentials. It is always
// the same, so that it doesn't reveal which accounts exist.
var errRefused = proto.Errorf(proto.Refused, "wrong ID, name, password or token")

// These wrap errRefused, for the audit log.
var (
	errWrongPassword = fmt.Errorf("wrong password: %w", errRefused)
	errWrongToken    = fmt.Errorf("wrong token: %w", errRefused)
	errUnknownUser   = fmt.Errorf("no such user: %w", errRefused)
	errBanned        = fmt.Errorf("banned: %w", errRefused)
	errSessionEnded  = fmt.Errorf("the session has ended: %w", errRefused)
)

// errOvertaken is the answer to a login with the right password whose session ended
// before it was registered, for example because of another login of the same device.
var errOvertaken = &proto.Error{Errno: proto.TooFast, Message: "another login with the same device name ended this one; try again", RetryAfter: session.RetryAfter}

// errReplaced is the result of a login by token that a later login of the same device
// has overtaken. The connection gets KICK.
var errReplaced = errors.New("a later login of the same device has replaced this one")

// identity is the result of a password or token check, which has started the session.
type identity struct {
	user   model.User // of a login by token: only ID and Name
	device string
	added  bool // the device is new
	token  string
	number int64        // of the session
	ended  []feed.Ended // sessions that a login by password has ended
}

// attempt is a login in progress.
type attempt struct {
	q     proto.Request // a copy is safe to keep: LOGIN has no fields of type []byte
	event audit.Event   // for the audit log: gets its outcome at the end
}

func (at *attempt) byPassword() bool { return !at.q.Has(proto.FToken) }

// Login logs a user in. See the package comment for its steps.
func (l *Logins) Login(t Turn, c *conn, r *proto.Request) {
	a, at := session.Answer(r), &attempt{q: *r}
	at.event = audit.Event{Action: audit.Login, Addr: c.Addr(t), User: r.ID, Name: r.Name, Method: "token", Device: r.Device}
	addr, now := c.Source(t), t.Now()
	refusal := l.Limits.Login(addr, now)
	var guess *limits.Guess // nil for a login by token
	if at.byPassword() {
		at.event.Method = "password"
		if refusal == nil {
			guess, refusal = l.Limits.Guess(addr, now)
		}
	}
	if refusal != nil {
		l.failed(at, refusal)
		c.Refuse(t, a, refusal)
		return
	}
	proven := func(t Turn, id identity, err error) {
		at.isFrom(id.user, id.device)
		l.recordDevices(at.event, &id)
		// Also if the login fails after that.
		if evicted := slices.DeleteFunc(id.ended, func(e feed.Ended) bool { return e.Device == id.device }); len(evicted) > 0 {
			l.Sessions.Limited.Reached(limits.FullDevices, len(evicted))
			l.Sessions.End(evicted)
		}
		if errors.Is(err, model.ErrGone) || err == nil && !c.Open(t) {
			l.record(at.event, err)
			return
		}
		if err != nil {
			l.failed(at, err)
			c.Refuse(t, a, err)
			return
		}
		a.ID, a.Name, a.Device, a.Token = id.user.ID, id.user.Name, id.device, id.token
		l.enter(t, c, a, id, at)
	}
	if guess == nil {
		l.proveByToken(t, c, at.q.Token, proven)
		return
	}
	l.proveByPassword(t, c, at, guess, "", proven)
}

// isFrom says whose login it is. user is the zero User if there is no such user.
func (at *attempt) isFrom(user model.User, device string) {
	if user.ID != 0 {
		at.event.User, at.event.Name = user.ID, user.Name
		at.event.Device = cmp.Or(device, at.q.Device, proto.DefaultDevice)
	}
}

// failed counts and records a login that is refused with err.
func (l *Logins) failed(at *attempt, err error) {
	l.Sessions.LoginFailed(failure(at.byPassword(), err))
	l.record(at.event, err)
}

// failure returns the reason of a login that is refused with err.
func failure(byPassword bool, err error) session.LoginFailure {
	var e *proto.Error
	switch {
	case errors.Is(err, errOvertaken):
		return session.LoginOvertaken
	case errors.Is(err, errRefused) && byPassword:
		return session.WrongPassword
	case errors.Is(err, errRefused):
		return session.WrongToken
	case errors.As(err, &e) && e.Errno == proto.TooFast:
		return session.LoginLimited
	}
	return session.LoginError
}

// accountOf returns the account whose password a login gives. user is the zero User
// if there is none.
func accountOf(q *proto.Request, user *model.User) limits.Account {
	if user.ID != 0 {
		return limits.Account{ID: user.ID}
	}
	if q.Has(proto.FID) {
		return limits.Account{ID: q.ID}
	}
	return limits.Account{Name: proto.NameKey(q.Name)}
}

// allowOnce returns LoginOf for a transaction that may be repeated: it charges one
// login.
func (l *Logins) allowOnce() func(user int64) error {
	charged, refusal := false, error(nil)
	return func(user int64) error {
		if !charged {
			charged, refusal = true, l.Limits.LoginOf(user, l.Reactor.Now())
		}
		return refusal
	}
}

// proveByToken checks a token, and starts the session.
func (l *Logins) proveByToken(t Turn, c *conn, token string, done func(Turn, identity, error)) {
	session.Await(t, c, func(answer func(model.Started, error)) {
		l.Store.StartSession(tokenHash(token), c.Ref().Closed, l.allowOnce(), answer)
	}, func(t Turn, st model.Started, err error) {
		if errors.Is(err, model.ErrNotFound) {
			err = errWrongToken
		}
		done(t, identity{user: model.User{ID: st.User, Name: st.Name}, device: st.Device, token: token, number: st.Number}, err)
	})
}

// proveByPassword checks a password, and creates a token, which ends the device's
// earlier one. If another login has just replaced the hash with one of another cost,
// it checks the password again; checked is the hash that was checked before, or "".
// guess is nil then.
func (l *Logins) proveByPassword(t Turn, c *conn, at *attempt, guess *limits.Guess, checked string, done func(Turn, identity, error)) {
	q := &at.q
	session.TryJob(t, c, reactor.Slow, func(t Off) (model.User, error) { return l.checkPassword(t, q, guess, checked) }, func(t Turn, u model.User, err error) {
		at.isFrom(u, "")
		if guess != nil {
			l.guessed(guess, errors.Is(err, errRefused), at.event, t.Now())
		}
		if err != nil {
			done(t, identity{}, err)
			return
		}
		if !c.Open(t) {
			l.record(at.event, model.ErrGone)
			return
		}
		// Not on a slow worker: this may take long for a new device, and others are
		// waiting to have their passwords checked.
		gone := c.Ref().Closed
		session.TryJob(t, c, reactor.Quick, func(t Off) (identity, error) { return l.openDevice(t, u, q, gone) }, func(t Turn, id identity, err error) {
			switch {
			case !errors.Is(err, model.ErrNotFound):
				done(t, id, err)
			case checked != "": // the password was changed twice
				done(t, id, errWrongPassword)
			case c.Open(t):
				l.proveByPassword(t, c, at, nil, u.Hash, done)
			default:
				l.record(at.event, errOvertaken)
			}
		})
	})
}

// checkPassword returns the user that a login by password names, also if the password
// is wrong, and the zero User if there is none. It charges the check to guess, if that
// isn't nil. If the user still has the hash checked, it refuses: the user was banned
// after the check. Errors: *limits.Refusal; those that wrap errRefused.
func (l *Logins) checkPassword(t Off, q *proto.Request, guess *limits.Guess, checked string) (u model.User, err error) {
	if q.Has(proto.FID) {
		u, err = l.Store.UserByID(t, q.ID)
	} else {
		u, err = l.Store.UserByNameKey(t, proto.NameKey(q.Name))
	}
	if err != nil && !errors.Is(err, model.ErrNotFound) {
		return u, err
	}
	if guess != nil {
		if refusal := guess.Check(accountOf(q, &u), l.Reactor.Now()); refusal != nil {
			return u, refusal
		}
	}
	if checked != "" && checked == u.Hash {
		return u, errBanned
	}
	ok, rehashed, err := l.pass.check(t, q.Password, u.Hash)
	switch {
	case err != nil:
		return u, err
	case u.ID == 0:
		return u, errUnknownUser
	case !ok:
		return u, errWrongPassword
	case u.Banned:
		return u, errBanned
	}
	if err := l.Limits.LoginOf(u.ID, l.Reactor.Now()); err != nil { // before OpenDevice evicts a device
		return u, err
	}
	if rehashed != "" {
		if err := l.Store.SetHash(t, u.ID, u.Hash, rehashed); err != nil {
			return u, err
		}
		u.Hash = rehashed
	}
	return u, nil
}

// openDevice creates a token after the password was checked, which ends others. It
// returns ErrNotFound if the user's hash isn't the checked one any more, and ErrGone if
// the client has disconnected.
func (l *Logins) openDevice(t Off, u model.User, q *proto.Request, gone func() bool) (id identity, err error) {
	id.user, id.device = u, cmp.Or(q.Device, proto.DefaultDevice)
	l.Sessions.RecordUseOf(u.ID) // so that OpenDevice doesn't evict one of these devices
	var hash []byte
	id.token, hash = newToken()
	id.number, id.added, id.ended, err = l.Store.OpenDevice(t, id.user, id.device, hash, l.cfg.MaxDevices, gone)
	return id, err
}

// enter registers the session, reads what LOGIN_ACK needs, and sends it.
func (l *Logins) enter(t Turn, c *conn, a proto.Response, id identity, at *attempt) {
	brief, byPassword := at.q.Brief, at.byPassword()
	topics := l.Delivery.On(t)
	ss := session.New(t, c, session.Login{User: id.user.ID, Name: id.user.Name, Device: id.device, Receipts: at.q.Ack,
		Number: id.number, TokenHash: tokenHash(id.token)})
	older, first, ok := l.Sessions.Add(ss)
	switch {
	case ok:
	case byPassword:
		l.failed(at, errOvertaken)
		c.Refuse(t, a, errOvertaken)
		return
	default: // what other nodes do in this case
		l.record(at.event, errReplaced)
		c.FinishReplaced(t)
		return
	}
	topics.Begin(t, ss)
	if first {
		l.Limits.Restore(ss.User, ss.Rate)
		l.Presence.Up(ss.User)
	}
	if older != nil {
		l.Sessions.Replace(older)
	}
	// done is called after each of the jobs, and reports whether to go on.
	done := func(t Turn, err error) bool {
		if byPassword && (errors.Is(err, errRefused) || errors.Is(err, errReplaced)) {
			err = errOvertaken
		}
		switch {
		case ss.Ended(t), errors.Is(err, errEnded): // closed, kicked, or about to be kicked
			l.record(at.event, nil)
		case errors.Is(err, errReplaced):
			l.record(at.event, err)
			topics.End(t, ss)
			c.FinishReplaced(t)
		case err != nil:
			l.failed(at, err)
			topics.End(t, ss)
			c.SetLoggedIn(t, false)
			c.Refuse(t, a, err)
		default:
			return true
		}
		return false
	}
	arrive := func(t Turn, w welcome, err error) {
		if done(t, err) {
			l.record(at.event, nil)
			l.arrive(t, ss, &w, a)
		}
	}
	session.TryJob(t, c, reactor.Quick, func(t Off) (w welcome, err error) {
		if err = l.announce(t, ss); err == nil {
			err = l.readMemberships(t, ss, &w)
		}
		if err == nil && !w.hasGroups() {
			err = l.complete(t, ss, brief, &w)
		}
		return w, err
	}, func(t Turn, w welcome, err error) {
		if err != nil || !w.hasGroups() {
			arrive(t, w, err)
			return
		}
		if !done(t, nil) {
			return
		}
		check := topics.Follow(t, ss, w.memberships)
		session.TryJob(t, c, reactor.Quick, func(t Off) (welcome, error) {
			err := l.recheck(t, ss, check, &w)
			if err == nil {
				err = l.complete(t, ss, brief, &w)
			}
			return w, err
		}, arrive)
	})
}

// Logout ends the session and the device's token. The connection stays open.
func (l *Logins) Logout(t Turn, c *conn, r *proto.Request) {
	a, ss := session.Answer(r), c.Session(t)
	token := ss.TokenHash()
	event := audit.Event{Action: audit.Logout, Addr: ss.Addr, User: ss.User, Name: ss.Name, Device: ss.Device}
	session.RunJob(t, c, reactor.Quick, a, func(t Off) (struct{}, error) {
		ended, err := l.Store.CloseDevice(t, ss.User, ss.Device, ss.Number, token)
		l.Sessions.End(ended) // of the device on other nodes
		l.record(event, err)
		return struct{}{}, err
	}, func(t Turn, _ struct{}) {
		l.Delivery.On(t).End(t, ss)
		c.SetLoggedIn(t, false)
		c.Reply(t, &a)
	})
}
