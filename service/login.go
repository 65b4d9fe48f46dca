package service

import (
	"errors"
	"net/netip"
	"time"

	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service/bus"
)

// errRefused is the one answer to every login that fails for what it says.
var errRefused = proto.Errorf(proto.Refused, "wrong id, name, password or token")

// errOvertaken is the answer to a login whose password was right and whose
// token was ended before its session began: by another login of the device,
// say, whose client may be long gone.
var errOvertaken = &proto.Error{Errno: proto.TooFast, Message: "another login of this device came between; try again", RetryAfter: retryAfter}

// reg makes a user.
func (s *Service) reg(t Turn, x *client, r *proto.Request) {
	a := answer(r)
	err := proto.CheckName(r.Name)
	if err == nil {
		err = proto.CheckPassword(r.Password)
	}
	if err != nil {
		s.refuse(t, x, a, err)
		return
	}
	if e := s.limits.password(x.conn.Source(t), t.Now()); e != nil {
		s.refuse(t, x, a, e)
		return
	}
	name, password := r.Name, r.Password
	offLoop(s, t, x, reactor.Slow, a, func(t Off) (int64, error) {
		key := proto.NameKey(name)
		if _, err := s.store.UserByNameKey(t, key); err == nil { // spares the hash; the index decides
			return 0, model.ErrTaken
		}
		hash, err := HashPassword(s.cfg.Argon2.Params, password)
		if err != nil {
			return 0, err
		}
		return s.store.CreateUser(t, name, key, hash)
	}, func(t Turn, id int64) {
		a.ID = id
		x.reply(t, &a)
	})
}

// identity is who a login has proven to be.
type identity struct {
	user    model.User
	device  string
	token   string
	at      int64         // by the clock of all nodes, Unix microseconds
	nth     int64         // of this node's, counted before the token was seen to be good
	evicted []string      // devices that had to make room
	places  []model.Place // conversations, before the session began
	late    error         // why there is no session after all, though devices had to make room
}

// login proves who it is, puts the session into the lists, and then reads
// what it has missed: in this order, so that nothing falls between.
func (s *Service) login(t Turn, x *client, r *proto.Request) {
	a, q := answer(r), *r // q's strings are its own; of its bytes LOGIN has none
	addr, now, lane := x.conn.Source(t), t.Now(), reactor.Quick
	refusal := s.limits.login(addr, now)
	var try *guess // nil: it is by token
	if refusal == nil && !q.Has(proto.FToken) {
		lane = reactor.Slow
		try, refusal = s.try(accountOf(&q), addr, now)
	}
	if refusal != nil {
		s.refuse(t, x, a, refusal)
		return
	}
	attempt(s, t, x, lane, func(t Off) (id identity, err error) {
		if q.Has(proto.FToken) {
			// Before it is looked at: whatever ends the token afterwards is later,
			// and isn't displaced by this login.
			at, nth := s.bus.Now(t), s.proven.Add(1)
			id, err = s.byToken(t, q.Token)
			id.at, id.nth = at, nth
		} else if id, err = s.byPassword(t, &q); err == nil {
			id.at = s.bus.Now(t) // after: what ended other devices' tokens is earlier
			id.nth = s.proven.Add(1)
			// Good after that: whatever ends the new token is later here too.
			if _, _, id.late = s.store.TokenDevice(t, tokenHash(id.token)); errors.Is(id.late, model.ErrNotFound) {
				id.late = errOvertaken
			}
		}
		return id, err
	}, func(t Turn, id identity, err error) {
		if try != nil {
			try.settle(errors.Is(err, errRefused))
		}
		if err != nil {
			s.refuse(t, x, a, err)
			return
		}
		s.m.limited[fullDevices].Add(len(id.evicted))
		for _, device := range id.evicted {
			s.endDevices(&bus.Login{User: id.user.ID, Device: device, Reason: proto.LoggedOut, At: id.at})
		}
		if !x.conn.Open(t) {
			return
		}
		if id.late != nil {
			s.refuse(t, x, a, id.late)
			return
		}
		a.ID, a.Name, a.Device, a.Token = id.user.ID, id.user.Name, id.device, id.token
		s.enter(t, x, a, id, &q)
	})
}

// accountOf is whose password a login brings.
func accountOf(q *proto.Request) account {
	if q.Has(proto.FID) {
		return account{id: q.ID}
	}
	return account{name: proto.NameKey(q.Name)}
}

// try is the right to look at a password, or why there is none for now.
func (s *Service) try(who account, addr netip.Addr, now time.Time) (*guess, *proto.Error) {
	if e := s.limits.password(addr, now); e != nil {
		return nil, e
	}
	return s.limits.guess(who, addr, now)
}

func (s *Service) byToken(t Off, token string) (id identity, err error) {
	id.token = token
	// Whose cursors may be waiting isn't known yet: only which groups there are matters.
	id.user, id.device, id.places, err = s.store.TokenPlaces(t, tokenHash(token), 0)
	switch {
	case errors.Is(err, model.ErrNotFound):
		err = errRefused
	case err == nil:
		err = s.limits.abuse(id.user.ID, s.r.Now())
	}
	return id, err
}

func (s *Service) byPassword(t Off, q *proto.Request) (id identity, err error) {
	if q.Has(proto.FID) {
		id.user, err = s.store.UserByID(t, q.ID)
	} else {
		id.user, err = s.store.UserByNameKey(t, proto.NameKey(q.Name))
	}
	if err != nil && !errors.Is(err, model.ErrNotFound) {
		return id, err
	}
	ok, again, err := s.pass.check(t, q.Password, id.user.Hash)
	if err != nil {
		return id, err
	}
	if !ok || id.user.Banned {
		return id, errRefused
	}
	if err := s.limits.abuse(id.user.ID, s.r.Now()); err != nil { // before a device of theirs makes room
		return id, err
	}
	if again != "" {
		if err := s.store.SetHash(t, id.user.ID, id.user.Hash, again); err != nil {
			return id, err
		}
		id.user.Hash = again
	}
	id.device = q.Device
	if id.device == "" {
		id.device = proto.DefaultDevice
	}
	var hash []byte
	id.token, hash = newToken()
	id.evicted, err = s.store.OpenDevice(t, id.user, id.device, hash, s.cfg.MaxDevices)
	if errors.Is(err, model.ErrNotFound) { // banned, or the password was changed, since it was checked
		err = errRefused
	}
	if err == nil {
		id.places, err = s.store.Places(t, id.user.ID, id.device)
	}
	return id, err
}

// enter begins the session and asks the store for all that it has to be told.
func (s *Service) enter(t Turn, x *client, a proto.Response, id identity, q *proto.Request) {
	brief, byPassword := q.Brief, !q.Has(proto.FToken)
	l := s.loops[t.Loop()]
	ss := &Session{user: id.user.ID, name: id.user.Name, device: id.device, ack: q.Ack, loop: l.index,
		peer: x.conn.Peer(), at: id.at, nth: id.nth, client: x, rate: new(userRate)}
	th := tokenHash(id.token)
	ss.token.Store(&th)
	older, first, ok := s.registry.add(ss)
	switch {
	case ok:
	case byPassword:
		s.refuse(t, x, a, errOvertaken)
		return
	default: // as on any other node
		x.conn.Finish(t, kickBody(proto.Replaced, kickText(proto.Replaced)))
		return
	}
	l.begin(t, ss, id.places)
	if first {
		s.limits.came(ss.user, ss.rate)
		s.presence.up(ss.user)
	}
	if older != nil {
		s.kick(older, proto.Replaced, kickText(proto.Replaced))
	}
	x.busy = true
	err := reactor.Go(t, x.conn, reactor.Quick, func(t Off) (welcome, error) {
		return s.welcome(t, ss, brief)
	}, func(t Turn, w welcome, err error) {
		if errors.Is(err, errRefused) && byPassword {
			err = errOvertaken
		}
		x.busy = false
		switch {
		case ss.ended: // closed or kicked meanwhile
		case err != nil:
			l.end(t, ss)
			x.conn.LoggedIn(t, false)
			s.refuse(t, x, a, err)
		default:
			s.m.logins.Inc()
			l.arrive(t, ss, &w, a)
		}
		x.conn.Resume(t)
	})
	if err != nil {
		x.busy = false
		l.end(t, ss)
		x.conn.LoggedIn(t, false)
		s.refuse(t, x, a, err)
	}
}

// endDevices ends sessions of a user on all nodes.
func (s *Service) endDevices(d *bus.Login) {
	s.displace(d)
	s.publish(bus.User(d.User), bus.Payload{Login: d})
}

// logout ends the session and its token; the connection stays.
func (s *Service) logout(t Turn, x *client, r *proto.Request) {
	a, ss, token := answer(r), x.session, *x.session.token.Load()
	offLoop(s, t, x, reactor.Quick, a, func(t Off) (struct{}, error) {
		return struct{}{}, s.store.CloseDevice(t, token)
	}, func(t Turn, _ struct{}) {
		s.loops[t.Loop()].end(t, ss)
		x.conn.LoggedIn(t, false)
		x.reply(t, &a)
	})
}

// password changes it, and logs every other device out.
func (s *Service) password(t Turn, x *client, r *proto.Request) {
	a, ss, old, password := answer(r), x.session, r.Password, r.NewPassword
	if err := proto.CheckPassword(password); err != nil {
		s.refuse(t, x, a, err)
		return
	}
	// Apart from logins, or whoever knows the id could keep the user from it.
	try, refusal := s.try(account{id: -ss.user}, x.conn.Source(t), t.Now())
	if refusal != nil {
		s.refuse(t, x, a, refusal)
		return
	}
	var at int64
	var th []byte
	attempt(s, t, x, reactor.Slow, func(t Off) (string, error) {
		u, err := s.store.UserByID(t, ss.user)
		if err != nil {
			return "", err
		}
		ok, _, err := s.pass.check(t, old, u.Hash)
		if err != nil {
			return "", err
		}
		if !ok {
			return "", errRefused
		}
		hash, err := HashPassword(s.cfg.Argon2.Params, password)
		if err != nil {
			return "", err
		}
		var token string
		token, th = newToken()
		_, err = s.store.ChangePassword(t, ss.user, hash, ss.device, th)
		at = s.bus.Now(t) // later logins have proven the new password
		return token, err
	}, func(t Turn, token string, err error) {
		if try.settle(errors.Is(err, errRefused)); err != nil {
			s.refuse(t, x, a, err)
			return
		}
		s.endDevices(&bus.Login{User: ss.user, Device: ss.device, All: true, Reason: proto.LoggedOut, At: at})
		ss.token.Store(&th)
		a.Token = token
		x.reply(t, &a)
	})
}
