// Package login serves registering, logging in and out, and changing the
// password, and tells a new session what its user has missed.
//
// A login takes four steps, so that nothing falls between them:
//
//  1. off the loop: who is it?
//  2. on the loop: the session goes into the lists; what is new for its user is
//     noted for it from here on
//  3. off the loop: the token is looked at once more, since whatever ended it
//     before step 2 couldn't find the session; then what the device lacks is read
//  4. on the loop: LOGIN_ACK, what was noted, and from then on live
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

// Turn is the right to touch the state of one event loop; Off is the right to
// block.
type (
	Turn = reactor.Turn
	Off  = reactor.Off
	conn = session.Conn
)

// Store is what logins ask of the data. Everything may block.
type Store interface {
	CreateUser(ctx context.Context, name, nameKey, hash string) (int64, error)
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

// Deps is what logins work with.
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
	Node     string // name of this node, as LOGIN_ACK has it
	Epoch    int64  // of the store
}

// Logins are the handlers of one node.
type Logins struct {
	Deps
	cfg    *Config
	pass   *passwords
	logins atomic.Int64 // logins so far: orders the sessions of this node
}

// New makes the handlers. It hashes one password, which takes its time.
func New(cfg *Config, on Deps) *Logins {
	return &Logins{Deps: on, cfg: cfg, pass: newPasswords(cfg.Argon2.Params)}
}

// errRefused is the one answer to every login that fails for what it says.
var errRefused = proto.Errorf(proto.Refused, "wrong ID, name, password or token")

// errOvertaken is the answer to a login whose password was right but whose
// token was ended before its session began: by another login of the device,
// say, whose client may be long gone.
var errOvertaken = &proto.Error{Errno: proto.TooFast, Message: "another login with the same device name ended this one; try again", RetryAfter: session.RetryAfter}

// identity is who a login has proven to be.
type identity struct {
	user        model.User
	device      string
	token       string
	at          int64              // time by the nodes' shared clock, Unix microseconds
	nth         int64              // order among this node's logins, taken before the token was seen to be good
	evicted     []string           // devices that had to make room
	memberships []model.Membership // conversations, before the session began
	late        error              // why there is no session after all, though devices had to make room
}

// Login proves who it is, puts the session into the lists, and then reads what
// it has missed.
func (l *Logins) Login(t Turn, c *conn, r *proto.Request) {
	a, q := session.Answer(r), *r // q's strings are its own; LOGIN has no bytes
	addr, now, lane := c.Source(t), t.Now(), reactor.Quick
	refusal := l.Limits.Login(addr, now)
	var guess *limits.Guess // nil: by token
	if refusal == nil && !q.Has(proto.FToken) {
		lane = reactor.Slow
		guess, refusal = l.Limits.Guess(accountOf(&q), addr, now)
	}
	if refusal != nil {
		c.Refuse(t, a, refusal)
		return
	}
	session.TryJob(t, c, lane, func(t Off) (identity, error) {
		if q.Has(proto.FToken) {
			return l.proveByToken(t, q.Token)
		}
		return l.proveByPassword(t, &q)
	}, func(t Turn, id identity, err error) {
		if guess != nil {
			guess.Done(errors.Is(err, errRefused))
		}
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
	})
}

// accountOf is the account whose password a login brings.
func accountOf(q *proto.Request) limits.Account {
	if q.Has(proto.FID) {
		return limits.Account{ID: q.ID}
	}
	return limits.Account{Name: proto.NameKey(q.Name)}
}

// proveByToken takes the time before it looks at the token: whatever ends the
// token afterwards is later, and isn't displaced by this login.
func (l *Logins) proveByToken(t Off, token string) (id identity, err error) {
	at, nth := l.Bus.Now(t), l.logins.Add(1)
	id.token = token
	// Whose cursors may be pending isn't known yet: only the groups matter.
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

// proveByPassword takes the time after the token is stored: whatever ended other
// tokens of the device is earlier.
func (l *Logins) proveByPassword(t Off, q *proto.Request) (identity, error) {
	id, err := l.byPassword(t, q)
	if err != nil {
		return id, err
	}
	id.at = l.Bus.Now(t)
	id.nth = l.logins.Add(1)
	// It must be good after that: whatever ends it is later on this node, too.
	if _, _, id.late = l.Store.TokenDevice(t, tokenHash(id.token)); errors.Is(id.late, model.ErrNotFound) {
		id.late = errOvertaken
	}
	return id, nil
}

func (l *Logins) byPassword(t Off, q *proto.Request) (id identity, err error) {
	if q.Has(proto.FID) {
		id.user, err = l.Store.UserByID(t, q.ID)
	} else {
		id.user, err = l.Store.UserByNameKey(t, proto.NameKey(q.Name))
	}
	if err != nil && !errors.Is(err, model.ErrNotFound) {
		return id, err
	}
	ok, rehashed, err := l.pass.check(t, q.Password, id.user.Hash)
	if err != nil {
		return id, err
	}
	if !ok || id.user.Banned {
		return id, errRefused
	}
	if err := l.Limits.ShutOut(id.user.ID, l.Reactor.Now()); err != nil { // before one of their devices is evicted
		return id, err
	}
	if rehashed != "" {
		if err := l.Store.SetHash(t, id.user.ID, id.user.Hash, rehashed); err != nil {
			return id, err
		}
		id.user.Hash = rehashed
	}
	id.device = q.Device
	if id.device == "" {
		id.device = proto.DefaultDevice
	}
	var hash []byte
	id.token, hash = newToken()
	id.evicted, err = l.Store.OpenDevice(t, id.user, id.device, hash, l.cfg.MaxDevices)
	if errors.Is(err, model.ErrNotFound) { // banned, or the password was changed, since it was checked
		err = errRefused
	}
	if err == nil {
		id.memberships, err = l.Store.Memberships(t, id.user.ID, id.device)
	}
	return id, err
}

// enter begins the session and reads all that it has to be told.
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
	default: // as on any other node
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
		case ss.Ended(t): // closed or kicked meanwhile
		case err != nil:
			topics.End(t, ss)
			c.SetLoggedIn(t, false)
			c.Refuse(t, a, err)
		default:
			l.arrive(t, ss, &w, a)
		}
	})
}

// Logout ends the session and its token; the connection stays.
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
