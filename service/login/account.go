package login

import (
	"errors"

	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service/limits"
	"chatd/service/session"
)

// Reg registers a user.
func (l *Logins) Reg(t Turn, c *conn, r *proto.Request) {
	a := session.Answer(r)
	err := proto.CheckName(r.Name)
	if err == nil {
		err = proto.CheckPassword(r.Password)
	}
	if err != nil {
		c.Refuse(t, a, err)
		return
	}
	if e := l.Limits.Password(c.Source(t), t.Now()); e != nil {
		c.Refuse(t, a, e)
		return
	}
	name, password := r.Name, r.Password
	session.RunJob(t, c, reactor.Slow, a, func(t Off) (int64, error) {
		if l.reserved.Find(name) != "" {
			return 0, model.ErrTaken
		}
		key := proto.NameKey(name)
		if _, err := l.Store.UserByNameKey(t, key); err == nil { // saves hashing; CreateUser checks this again
			return 0, model.ErrTaken
		}
		hash, err := HashPassword(l.cfg.Argon2.Params, password)
		if err != nil {
			return 0, err
		}
		return l.Store.CreateUser(t, name, key, hash)
	}, func(t Turn, id int64) {
		a.ID = id
		c.Reply(t, &a)
	})
}

// Password changes the user's password and logs out all other devices.
func (l *Logins) Password(t Turn, c *conn, r *proto.Request) {
	a, ss, old, password := session.Answer(r), c.Session(t), r.Password, r.NewPassword
	if err := proto.CheckPassword(password); err != nil {
		c.Refuse(t, a, err)
		return
	}
	// The negative ID keeps this apart from logins: otherwise anyone who knows
	// the user's ID could block password changes with wrong logins.
	guess, refusal := l.Limits.Guess(limits.Account{ID: -ss.User}, c.Source(t), t.Now())
	if refusal != nil {
		c.Refuse(t, a, refusal)
		return
	}
	var th []byte
	token := ss.TokenHash()
	session.TryJob(t, c, reactor.Slow, func(t Off) (string, error) {
		var fresh string
		fresh, th = newToken()
		err := l.changePassword(t, ss, old, password, token, th)
		return fresh, err
	}, func(t Turn, fresh string, err error) {
		if guess.Done(errors.Is(err, errRefused)); err != nil {
			c.Refuse(t, a, err)
			return
		}
		ss.SetTokenHash(t, th)
		a.Token = fresh
		c.Reply(t, &a)
	})
}

// changePassword checks the old password, sets the new one, and ends the sessions of
// the user's other devices. The transaction checks that the hash is still the one
// that was checked. If it isn't, because a login has replaced it with one of another
// cost, changePassword checks the old password again. Errors: errRefused if it is
// wrong, or the session has ended.
func (l *Logins) changePassword(t Off, ss *session.Session, old, password string, oldToken, newToken []byte) error {
	hash, checked := "", ""
	for range 2 {
		u, err := l.Store.UserByID(t, ss.User)
		if err != nil {
			return err
		}
		if u.Hash == checked { // the session has ended
			return errRefused
		}
		checked = u.Hash
		ok, _, err := l.pass.check(t, old, u.Hash)
		if err != nil {
			return err
		}
		if !ok {
			return errRefused
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
	return errRefused
}
