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
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"chatd/model"
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

// Store holds the methods of the store that logins need. All may block.
type Store interface {
	CreateUser(ctx context.Context, name, nameKey, hash string) (int64, error)
	CreateInvitedUser(ctx context.Context, name, nameKey, hash string, codeHash []byte) (int64, error)
	CheckInvite(ctx context.Context, codeHash []byte) error
	HasDevice(ctx context.Context, user int64, device string) (bool, error)
	UserByID(ctx context.Context, id int64) (model.User, error)
	UserByNameKey(ctx context.Context, key string) (model.User, error)
	SetHash(ctx context.Context, id int64, old, hash string) error
	OpenDevice(ctx context.Context, u model.User, device string, tokenHash []byte, max int) (evicted []string, err error)
	TokenDevice(ctx context.Context, tokenHash []byte) (model.User, string, error)
	TokenMemberships(ctx context.Context, tokenHash []byte, user int64) (model.User, string, []model.Membership, error)
	Memberships(ctx context.Context, user int64, device string) ([]model.Membership, error)
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
	Audit    *audit.Log // nil: none
	Node     string     // this node's name, for LOGIN_ACK
	Epoch    int64      // the store's, for LOGIN_ACK
}

// Logins has the handlers of one node.
type Logins struct {
	Deps
	cfg    *Config
	pass   *passwords
	logins atomic.Int64 // number of logins so far; see identity.nth

	features []string // of LOGIN_ACK
}

// New returns the handlers. It takes as long as hashing one password.
func New(cfg *Config, on Deps) *Logins {
	l := &Logins{Deps: on, cfg: cfg, pass: newPasswords(cfg.Argon2.Params), features: []string{}}
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
)

// errOvertaken is the answer to a login with the right password whose token was
// revoked before its session started, for example by another login of the same
// device.
var errOvertaken = &proto.Error{Errno: proto.TooFast, Message: "another login with the same device name ended this one; try again", RetryAfter: session.RetryAfter}

// identity is the result of a password or token check.
type identity struct {
	user        model.User
	device      string
	newDevice   bool // the user had no such device
	token       string
	at          int64              // time of the login by Bus.Now, in Unix microseconds
	nth         int64              // sequence number of the login on this node; see session.Session
	evicted     []string           // devices logged out because the user had too many
	memberships []model.Membership // the user's conversations, read before the session was registered
	late        error              // if set, the login is refused with it, after the evicted devices were logged out
}

// Login logs a user in. See the package comment for its steps.
func (l *Logins) Login(t Turn, c *conn, r *proto.Request) {
	a, q := session.Answer(r), *r // a copy is safe to keep: LOGIN has no fields of type []byte
	event := audit.Event{Action: audit.Login, Addr: c.Addr(t), User: q.ID, Name: q.Name, Method: "password", Device: q.Device}
	addr, now, lane := c.Source(t), t.Now(), reactor.Quick
	refusal := l.Limits.Login(addr, now)
	var guess *limits.Guess // nil for a login by token
	if q.Has(proto.FToken) {
		event.Method = "token"
	} else if refusal == nil {
		lane = reactor.Slow
		guess, refusal = l.Limits.Guess(addr, now)
	}
	if refusal != nil {
		l.record(event, refusal)
		c.Refuse(t, a, refusal)
		return
	}
	session.TryJob(t, c, lane, func(t Off) (identity, error) {
		if q.Has(proto.FToken) {
			return l.proveByToken(t, q.Token)
		}
		return l.proveByPassword(t, &q, guess)
	}, func(t Turn, id identity, err error) {
		if id.user.ID != 0 {
			event.User, event.Name, event.Device = id.user.ID, id.user.Name, id.device
		}
		l.record(event, cmp.Or(err, id.late))
		if guess != nil {
			l.guessed(guess, errors.Is(err, errRefused), event, t.Now())
		}
		if err != nil {
			c.Refuse(t, a, err)
			return
		}
		if id.newDevice {
			event.Action = audit.NewDevice
			l.record(event, nil)
		}
		l.Sessions.Limited.Reached(limits.FullDevices, len(id.evicted))
		for _, device := range id.evicted {
			event.Action, event.Device = audit.DeviceEvicted, device
			l.record(event, nil)
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
	})
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

// proveByToken checks a token. It notes the time of the login before the check.
// So a login that revokes the token after the check has a later time, and this
// login doesn't end its session.
func (l *Logins) proveByToken(t Off, token string) (id identity, err error) {
	at, nth := l.Bus.Now(t), l.logins.Add(1)
	id.token = token
	// User 0: the user isn't known yet, so unwritten cursors are not included.
	// Only the groups are used.
	id.user, id.device, id.memberships, err = l.Store.TokenMemberships(t, tokenHash(token), 0)
	switch {
	case errors.Is(err, model.ErrNotFound):
		err = errWrongToken
	case err == nil:
		err = l.Limits.ShutOut(id.user.ID, l.Reactor.Now())
	}
	id.at, id.nth = at, nth
	return id, err
}

// proveByPassword checks a password and creates a token, which revokes others.
// It sets the time of the login only after that, so that every login whose token
// was revoked has an earlier time.
func (l *Logins) proveByPassword(t Off, q *proto.Request, guess *limits.Guess) (identity, error) {
	id, err := l.byPassword(t, q, guess)
	if err != nil {
		return id, err
	}
	id.at = l.Bus.Now(t)
	id.nth = l.logins.Add(1)
	// Check the token again now that nth is assigned. Anything that revokes the
	// token from here on gets a higher nth, and so ends this login.
	if _, _, id.late = l.Store.TokenDevice(t, tokenHash(id.token)); errors.Is(id.late, model.ErrNotFound) {
		id.late = errOvertaken
	}
	return id, nil
}

func (l *Logins) byPassword(t Off, q *proto.Request, guess *limits.Guess) (id identity, err error) {
	id.device = cmp.Or(q.Device, proto.DefaultDevice)
	if q.Has(proto.FID) {
		id.user, err = l.Store.UserByID(t, q.ID)
	} else {
		id.user, err = l.Store.UserByNameKey(t, proto.NameKey(q.Name))
	}
	if err != nil && !errors.Is(err, model.ErrNotFound) {
		return id, err
	}
	if refusal := guess.Check(accountOf(q, &id.user), l.Reactor.Now()); refusal != nil {
		return id, refusal
	}
	ok, rehashed, err := l.pass.check(t, q.Password, id.user.Hash)
	switch {
	case err != nil:
		return id, err
	case id.user.ID == 0:
		return id, errUnknownUser
	case !ok:
		return id, errWrongPassword
	case id.user.Banned:
		return id, errBanned
	}
	if err := l.Limits.ShutOut(id.user.ID, l.Reactor.Now()); err != nil { // before OpenDevice evicts a device
		return id, err
	}
	if rehashed != "" {
		if err := l.Store.SetHash(t, id.user.ID, id.user.Hash, rehashed); err != nil {
			return id, err
		}
		id.user.Hash = rehashed
	}
	known, err := l.Store.HasDevice(t, id.user.ID, id.device)
	if err != nil {
		return id, err
	}
	id.newDevice = !known
	var hash []byte
	id.token, hash = newToken()
	id.evicted, err = l.Store.OpenDevice(t, id.user, id.device, hash, l.cfg.MaxDevices)
	if errors.Is(err, model.ErrNotFound) { // banned, or the password was changed, since the check
		err = errWrongPassword
	}
	if err == nil {
		id.memberships, err = l.Store.Memberships(t, id.user.ID, id.device)
	}
	return id, err
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
	event := audit.Event{Action: audit.Logout, Addr: ss.Addr, User: ss.User, Name: ss.Name, Device: ss.Device}
	session.RunJob(t, c, reactor.Quick, a, func(t Off) (struct{}, error) {
		err := l.Store.CloseDevice(t, token)
		l.record(event, err)
		return struct{}{}, err
	}, func(t Turn, _ struct{}) {
		l.Delivery.On(t).End(t, ss)
		c.SetLoggedIn(t, false)
		c.Reply(t, &a)
	})
}
