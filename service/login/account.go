package login

import (
	"crypto/sha256"
	"errors"

	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service/audit"
	"chatd/service/limits"
	"chatd/service/session"
)

var (
	errRegistrationOff = proto.Errorf(proto.NotAllowed, "registration is off on this server; ask its operator for an account")
	errNeedsCode       = proto.Errorf(proto.NotFound, "registration needs an invitation code")
	errWrongCode       = proto.Errorf(proto.NotFound, "the invitation code is wrong, used up or expired")
)

// Reg registers a user.
func (l *Logins) Reg(t Turn, c *conn, r *proto.Request) {
	a, event := session.Answer(r), audit.Event{Action: audit.Register, Addr: c.Addr(t), Name: r.Name}
	guess, err := l.checkReg(t, c, r)
	if err != nil {
		l.record(event, err)
		c.Refuse(t, a, err)
		return
	}
	name, password, code, addr := r.Name, r.Password, r.Code, c.Source(t)
	session.TryJob(t, c, reactor.SlowLast, func(t Off) (int64, error) {
		return l.register(t, name, password, code)
	}, func(t Turn, id int64, err error) {
		event.User = id
		l.record(event, err)
		if guess != nil {
			l.guessed(guess, errors.Is(err, errWrongCode), event, t.Now())
		}
		if err != nil {
			l.Limits.Unregistered(addr)
			c.Refuse(t, a, err)
			return
		}
		a.ID = id
		c.Reply(t, &a)
	})
}

// checkReg checks what needs no database, and charges the registration to the
// client's address, which Unregistered takes back if it fails. If it needs a code, it is
// a guess: a wrong code counts as a wrong password from that address. Otherwise guess is
// nil.
func (l *Logins) checkReg(t Turn, c *conn, r *proto.Request) (guess *limits.Guess, err error) {
	switch {
	case l.cfg.Registration == RegistrationOff:
		return nil, errRegistrationOff
	case l.cfg.Registration == RegistrationInvite && r.Code == "":
		return nil, errNeedsCode
	}
	if err := proto.CheckUserName(r.Name); err != nil {
		return nil, err
	}
	if err := CheckPassword(r.Password); err != nil {
		return nil, err
	}
	addr := c.Source(t)
	if refusal := l.Limits.Registration(addr, t.Now()); refusal != nil {
		return nil, refusal
	}
	var refusal *limits.Refusal
	if l.cfg.Registration == RegistrationInvite {
		guess, refusal = l.Limits.Guess(addr, t.Now())
	} else {
		refusal = l.Limits.Password(addr, t.Now())
	}
	if refusal != nil {
		l.Limits.Unregistered(addr)
		return nil, refusal
	}
	return guess, nil
}

// register creates a user and returns its ID. If registration is by invitation,
// the same transaction uses the code up.
func (l *Logins) register(t Off, name, password, code string) (id int64, err error) {
	defer func() {
		if errors.Is(err, model.ErrNoInvite) {
			err = errWrongCode
		}
	}()
	key := proto.NameKey(name)
	invited, codeHash := l.cfg.Registration == RegistrationInvite, InviteHash(code)
	// The code comes first: without one, nobody learns which names are taken. The
	// checks of the code and of the name's owner save hashing: the transaction
	// repeats them.
	if invited {
		if err := l.Store.CheckInvite(t, codeHash); err != nil {
			return 0, err
		}
	}
	if l.reserved.Find(name) != "" {
		return 0, model.ErrTaken
	}
	if _, err := l.Store.UserByNameKey(t, key); err == nil {
		return 0, model.ErrTaken
	}
	hash, err := HashPassword(l.cfg.Argon2.Params, password)
	if err != nil {
		return 0, err
	}
	if invited {
		return l.Store.CreateInvitedUser(t, name, key, hash, codeHash)
	}
	return l.Store.CreateUser(t, name, key, hash)
}

// InviteHash returns the hash of an invitation code, which the store has instead of
// the code. A fast hash is safe, because a code has 128 random bits.
func InviteHash(code string) []byte {
	h := sha256.Sum256([]byte(code))
	return h[:]
}

// Password changes the user's password and logs out all other devices.
func (l *Logins) Password(t Turn, c *conn, r *proto.Request) {
	a, ss, old, password := session.Answer(r), c.Session(t), r.Password, r.NewPassword
	event := audit.Event{Action: audit.Password, Addr: ss.Addr, User: ss.User, Name: ss.Name, Device: ss.Device}
	refuse := func(t Turn, err error) {
		l.record(event, err)
		c.Refuse(t, a, err)
	}
	if err := CheckPassword(password); err != nil {
		refuse(t, err)
		return
	}
	guess, refusal := l.Limits.Guess(c.Source(t), t.Now())
	if refusal != nil {
		refuse(t, refusal)
		return
	}
	var th []byte
	token := ss.TokenHash()
	session.TryJob(t, c, reactor.Slow, func(t Off) (string, error) {
		// The negative ID keeps this apart from logins: otherwise anyone who knows
		// the user's ID could block password changes with wrong logins.
		if refusal := guess.Check(limits.Account{ID: -ss.User}, l.Reactor.Now()); refusal != nil {
			return "", refusal
		}
		var fresh string
		fresh, th = newToken()
		err := l.changePassword(t, ss, old, password, token, th)
		return fresh, err
	}, func(t Turn, fresh string, err error) {
		l.guessed(guess, errors.Is(err, errWrongPassword), event, t.Now())
		if err != nil {
			refuse(t, err)
			return
		}
		l.record(event, nil)
		ss.SetTokenHash(t, th)
		a.Token = fresh
		c.Reply(t, &a)
	})
}

// changePassword checks the old password, sets the new one, and ends the sessions of
// the user's other devices. The transaction checks that the hash is still the one
// that was checked. If it isn't, because a login has replaced it with one of another
// cost, changePassword checks the old password again. Errors: errWrongPassword;
// errSessionEnded.
func (l *Logins) changePassword(t Off, ss *session.Session, old, password string, oldToken, newToken []byte) error {
	hash, checked := "", ""
	for range 2 {
		u, err := l.Store.UserByID(t, ss.User)
		if err != nil {
			return err
		}
		if u.Hash == checked {
			return errSessionEnded
		}
		checked = u.Hash
		ok, _, err := l.pass.check(t, old, u.Hash)
		if err != nil {
			return err
		}
		if !ok {
			return errWrongPassword
		}
		if hash == "" {
			if hash, err = HashPassword(l.cfg.Argon2.Params, password); err != nil {
				return err
			}
		}
		ended, err := l.Store.ChangePassword(t, u, hash, ss.Device, ss.Number, oldToken, newToken)
		if err == nil {
			l.Sessions.End(ended)
		}
		if !errors.Is(err, model.ErrNotFound) {
			return err
		}
	}
	return errSessionEnded
}
