package login

import (
	"errors"

	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service/bus"
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
	var at int64
	var th []byte
	session.TryJob(t, c, reactor.Slow, func(t Off) (string, error) {
		u, err := l.Store.UserByID(t, ss.User)
		if err != nil {
			return "", err
		}
		ok, _, err := l.pass.check(t, old, u.Hash)
		if err != nil {
			return "", err
		}
		if !ok {
			return "", errRefused
		}
		hash, err := HashPassword(l.cfg.Argon2.Params, password)
		if err != nil {
			return "", err
		}
		var token string
		token, th = newToken()
		_, err = l.Store.ChangePassword(t, ss.User, hash, ss.Device, th)
		at = l.Bus.Now(t) // logins after this time have used the new password
		return token, err
	}, func(t Turn, token string, err error) {
		if guess.Done(errors.Is(err, errRefused)); err != nil {
			c.Refuse(t, a, err)
			return
		}
		l.Sessions.EndDevices(&bus.Login{User: ss.User, Device: ss.Device, All: true, Reason: proto.LoggedOut, At: at})
		ss.SetTokenHash(t, th)
		a.Token = token
		c.Reply(t, &a)
	})
}
