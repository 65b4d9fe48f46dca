// Package login has the handlers that register a user, log in and out, and
// change the password.
//
// A login takes four steps, so that the session misses nothing:
//
//  1. Off the loop, check the password or token.
//  2. On the loop, register the session. From then on new messages and notices
//     are recorded for it.
//  3. Off the loop, check the token again: if it was revoked before step 2, the
//     session wasn't registered and so couldn't be ended. Then read what the
//     device has missed.
//  4. On the loop, send LOGIN_ACK and what was recorded. The session is live.
package login

import (
	"context"
	"errors"
	"sync/atomic"

	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
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

// Store holds the methods of the store that logins need. All may block.
type Store interface {
	CreateUser(ctx context.Context, name, nameKey, hash string) (int64, error)
	UserByID(ctx context.Context, id int64) (model.User, error)
	UserByNameKey(ctx context.Context, key string) (model.User, error)
	SetHash(ctx context.Context, id int64, old, hash string) error
	OpenDevice(ctx context.Context, u model.User, device string, tokenHash []byte, max int) (evicted []string, err error)
	TokenMemberships(ctx context.Context, tokenHash []byte, user int64) (model.User, string, []model.Membership, error)
	CloseDevice(ctx context.Context, tokenHash []byte) error
	ChangePassword(ctx context.Context, user int64, hash, device string, tokenHash []byte) (others []string, err error)
}

// Deps holds what New needs.
type Deps struct {
	Reactor  *reactor.Reactor
	Store    Store
	Bus      bus.Bus
	Courier  *bus.Courier
	Sessions *session.Sessions
	Presence *presence.Presence
	Delivery *delivery.Delivery
	Limits   *limits.Limits
	People   *people.People
	Groups   *groups.Groups
	Messages *messages.Messages
	Node     string // this node's name, for LOGIN_ACK
	Epoch    int64  // the store's, for LOGIN_ACK
}

// Logins has the handlers of one node.
type Logins struct {
	Deps
	cfg    *Config
	pass   *passwords
	logins atomic.Int64 // number of logins so far; see identity.nth
}

// New returns the handlers. It takes as long as hashing one password.
func New(cfg *Config, on Deps) *Logins {
	return &Logins{Deps: on, cfg: cfg, pass: newPasswords(cfg.Argon2.Params)}
}

// errRefused is the answer to every login with invalid credentials. It is always
// the same, so that it doesn't reveal which accounts exist.
var errRefused = proto.Errorf(proto.Refused, "wrong ID, name, password or token")

// errOvertaken is the answer to a login with the right password whose token was
// revoked before its session started, for example by another login of the same
// device.
var errOvertaken = &proto.Error{Errno: proto.TooFast, Message: "another login with the same device name ended this one; try again", RetryAfter: session.RetryAfter}

// identity is the result of a password or token check.
type identity struct {
	user        model.User
	device      string
	token       string
	at          int64              // time of the login by Bus.Now, in Unix microseconds
	nth         int64              // sequence number of the login on this node; see session.Session
	evicted     []string           // devices logged out because the user had too many
	memberships []model.Membership // the user's groups, read before the session was registered
	late        error              // if set, the login is refused with it, after the evicted devices were logged out
}

// Login logs a user in. See the package comment for its steps.
func (l *Logins) Login(t Turn, c *conn, r *proto.Request) {
	a, q := session.Answer(r), *r // a copy is safe to keep: LOGIN has no fields of type []byte
	addr, now := c.Source(t), t.Now()
	refusal := l.Limits.Login(addr, now)
	var guess *limits.Guess // nil for a login by token
	if refusal == nil && !q.Has(proto.FToken) {
		guess, refusal = l.Limits.Guess(accountOf(&q), addr, now)
	}
	if refusal != nil {
		c.Refuse(t, a, refusal)
		return
	}
	proven := func(t Turn, id identity, err error) {
		if err != nil {
			c.Refuse(t, a, err)
			return
		}
		l.Sessions.Limited.Reached(limits.FullDevices, len(id.evicted))
		for _, device := range id.evicted {
			l.Sessions.EndDevices(&bus.Login{User: id.user.ID, Device: device, Reason: proto.LoggedOut, At: id.at})
		}
		if !c.Open(t) {
			return
		}
		if id.late != nil {
			c.Refuse(t, a, id.late)
			return
		}
		a.ID, a.Name, a.Device, a.Token = id.user.ID, id.user.Name, id.device, id.token
		l.enter(t, c, a, id, &q)
	}
	if guess == nil {
		session.TryJob(t, c, reactor.Quick, func(t Off) (identity, error) { return l.proveByToken(t, q.Token) }, proven)
		return
	}
	session.TryJob(t, c, reactor.Slow, func(t Off) (model.User, error) { return l.checkPassword(t, &q) }, func(t Turn, u model.User, err error) {
		if guess.Done(errors.Is(err, errRefused)); err != nil {
			c.Refuse(t, a, err)
			return
		}
		if !c.Open(t) {
			return
		}
		// Not on a slow worker: this may take long for a new device, and others are
		// waiting to have their passwords checked.
		session.TryJob(t, c, reactor.Quick, func(t Off) (identity, error) { return l.openDevice(t, u, &q) }, proven)
	})
}

// accountOf returns the account that a login by password names.
func accountOf(q *proto.Request) limits.Account {
	if q.Has(proto.FID) {
		return limits.Account{ID: q.ID}
	}
	return limits.Account{Name: proto.NameKey(q.Name)}
}

// proveByToken checks a token. It notes the time of the login before the check.
// So a login that revokes the token after the check has a later time, and this
// login doesn't end its session.
func (l *Logins) proveByToken(t Off, token string) (id identity, err error) {
	at, nth := l.Bus.Now(t), l.logins.Add(1)
	id.token = token
	// User 0: only the groups.
	id.user, id.device, id.memberships, err = l.Store.TokenMemberships(t, tokenHash(token), 0)
	switch {
	case errors.Is(err, model.ErrNotFound):
		err = errRefused
	case err == nil:
		err = l.Limits.ShutOut(id.user.ID, l.Reactor.Now())
	}
	id.at, id.nth = at, nth
	return id, err
}

// openDevice creates a token after the password was checked, which revokes others.
// It sets the time of the login only after that, so that every login whose token
// was revoked has an earlier time.
func (l *Logins) openDevice(t Off, u model.User, q *proto.Request) (id identity, err error) {
	id.user, id.device = u, q.Device
	if id.device == "" {
		id.device = proto.DefaultDevice
	}
	var hash []byte
	id.token, hash = newToken()
	id.evicted, err = l.Store.OpenDevice(t, id.user, id.device, hash, l.cfg.MaxDevices)
	if errors.Is(err, model.ErrNotFound) { // banned, or the password was changed, since the check
		err = errRefused
	}
	if err != nil {
		return id, err
	}
	id.at = l.Bus.Now(t)
	id.nth = l.logins.Add(1)
	// Check the token again now that nth is assigned. Anything that revokes the
	// token from here on gets a higher nth, and so ends this login.
	if _, _, id.memberships, id.late = l.Store.TokenMemberships(t, hash, 0); errors.Is(id.late, model.ErrNotFound) {
		id.late = errOvertaken
	}
	return id, nil
}

// checkPassword returns the user that a login by password names. Errors: errRefused.
func (l *Logins) checkPassword(t Off, q *proto.Request) (u model.User, err error) {
	if q.Has(proto.FID) {
		u, err = l.Store.UserByID(t, q.ID)
	} else {
		u, err = l.Store.UserByNameKey(t, proto.NameKey(q.Name))
	}
	if err != nil && !errors.Is(err, model.ErrNotFound) {
		return u, err
	}
	ok, rehashed, err := l.pass.check(t, q.Password, u.Hash)
	if err != nil {
		return u, err
	}
	if !ok || u.Banned {
		return u, errRefused
	}
	if err := l.Limits.ShutOut(u.ID, l.Reactor.Now()); err != nil { // before OpenDevice evicts a device
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

// enter registers the session, reads what LOGIN_ACK needs, and sends it.
func (l *Logins) enter(t Turn, c *conn, a proto.Response, id identity, q *proto.Request) {
	brief, byPassword := q.Brief, !q.Has(proto.FToken)
	topics := l.Delivery.On(t)
	ss := session.New(t, c, session.Login{User: id.user.ID, Name: id.user.Name, Device: id.device, Receipts: q.Ack,
		At: id.at, Nth: id.nth, TokenHash: tokenHash(id.token)})
	older, first, ok := l.Sessions.Add(ss)
	switch {
	case ok:
	case byPassword:
		c.Refuse(t, a, errOvertaken)
		return
	default: // what other nodes do in this case
		c.FinishReplaced(t)
		return
	}
	topics.Begin(t, ss, id.memberships)
	if first {
		l.Limits.Restore(ss.User, ss.Rate)
		l.Presence.Up(ss.User)
	}
	if older != nil {
		l.Sessions.Replace(older)
	}
	session.TryJob(t, c, reactor.Quick, func(t Off) (welcome, error) {
		return l.welcome(t, ss, brief)
	}, func(t Turn, w welcome, err error) {
		if errors.Is(err, errRefused) && byPassword {
			err = errOvertaken
		}
		switch {
		case ss.Ended(t), errors.Is(err, errEnded): // closed, kicked, or about to be kicked
		case err != nil:
			topics.End(t, ss)
			c.SetLoggedIn(t, false)
			c.Refuse(t, a, err)
		default:
			l.arrive(t, ss, &w, a)
		}
	})
}

// Logout ends the session and revokes its token. The connection stays open.
func (l *Logins) Logout(t Turn, c *conn, r *proto.Request) {
	a, ss := session.Answer(r), c.Session(t)
	token := ss.TokenHash()
	session.RunJob(t, c, reactor.Quick, a, func(t Off) (struct{}, error) {
		return struct{}{}, l.Store.CloseDevice(t, token)
	}, func(t Turn, _ struct{}) {
		l.Delivery.On(t).End(t, ss)
		c.SetLoggedIn(t, false)
		c.Reply(t, &a)
	})
}
