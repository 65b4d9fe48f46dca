package service_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service"
)

// A login ends an earlier session of the same device with KICK. Other devices
// stay connected.
func TestReplaced(t *testing.T) {
	t.Parallel()
	n := serve(t)
	anna := n.user("anna")
	other := n.login(anna, obj{"device": "other"})
	first := n.login(anna)
	for range 5 {
		second := n.login(anna)
		if f := first.kicked(); f == nil || f.str("reason") != proto.Replaced {
			t.Fatalf("the replaced session got %v, want KICK with reason %s", f, proto.Replaced)
		}
		first = second
	}
	other.barrier()
	first.barrier()
	other.nothing(proto.KICK)
	n.settled(2)
}

// A user may have eight devices. A ninth one logs out the least recently used
// one.
func TestNinthDevice(t *testing.T) {
	t.Parallel()
	var now atomicTime
	now.set(time.Now())
	n := serve(t, func(s *setup) { s.model.Now = now.get })
	anna := n.user("anna")
	ws := make([]*wire, 8)
	for i := range ws {
		ws[i] = n.login(anna, obj{"device": fmt.Sprint(i)})
		now.add(time.Second)
	}
	ninth := n.login(anna, obj{"device": "ninth"})
	if f := ws[0].kicked(); f == nil || f.str("reason") != proto.LoggedOut {
		t.Errorf("the first device got %v, want KICK with reason %s", f, proto.LoggedOut)
	}
	n.dial().refused(proto.Refused, obj{"msgid": proto.LOGIN, "token": ws[0].welcome.str("token")})
	for _, w := range append(ws[1:], ninth) {
		w.barrier()
		w.nothing(proto.KICK)
	}
	n.dial().ok(obj{"msgid": proto.LOGIN, "token": ws[1].welcome.str("token")})
}

// LOGOUT ends the session and revokes its token. The connection stays open.
// Another user may log in on it, and gets nothing that is for the first one.
func TestLogout(t *testing.T) {
	t.Parallel()
	n := serve(t)
	ids := n.users("anna", "berta", "carla")
	w, c := n.login(ids[0]), n.login(ids[2])
	c.say(with(ids[0]), "for anna")
	w.has(with(ids[2]), 1, 1)
	token := w.welcome.str("token")
	w.ok(obj{"msgid": proto.LOGOUT})
	w.refused(proto.NotLoggedIn, with(ids[1]).chat("x"))
	w.refused(proto.NotLoggedIn, obj{"msgid": proto.LOGOUT})
	w.refused(proto.Refused, obj{"msgid": proto.LOGIN, "token": token})
	c.say(with(ids[0]), "for anna")
	w.login(ids[1])
	c.say(with(ids[1]), "for berta")
	w.has(with(ids[2]), 1, 1)
	if len(w.pushed) != 1 {
		t.Errorf("berta was pushed %v, want only messages for her", w.pushed)
	}
	w.ok(obj{"msgid": proto.LOGOUT})
	w.login(ids[0])
	w.has(with(ids[2]), 2, 2)
}

// A token stays valid after logins by token. It is revoked by a login of its
// device by password, by LOGOUT and by PASSWORD, and expires if it isn't used.
func TestTokens(t *testing.T) {
	t.Parallel()
	var now atomicTime
	now.set(time.Now())
	n := serve(t, func(s *setup) { s.model.Now = now.get })
	anna := n.user("anna")
	byToken := func(token string) obj { return obj{"msgid": proto.LOGIN, "token": token, "device": "ignored"} }
	one, two := n.login(anna, obj{"device": "one"}), n.login(anna, obj{"device": "two"})
	t1, t2 := one.welcome.str("token"), two.welcome.str("token")
	one.close()
	for range 3 {
		w := n.dial()
		f := w.ok(byToken(t1))
		if f.str("token") != t1 || f.str("device") != "one" || f.int("id") != anna {
			t.Fatalf("login by token got %v, want the same token, device one and id %d", f, anna)
		}
		w.close()
	}
	one = n.login(anna, obj{"device": "one"})
	n.dial().refused(proto.Refused, byToken(t1)) // revoked by the login by password
	n.dial().ok(byToken(t2))
	if f := two.kicked(); f == nil || f.str("reason") != proto.Replaced {
		t.Errorf("the replaced session got %v, want KICK with reason %s", f, proto.Replaced)
	}

	two = n.dial()
	two.ok(byToken(t2))
	f := one.ok(obj{"msgid": proto.PASSWORD, "password": secret, "newpassword": "a new secret"})
	if k := two.kicked(); k == nil || k.str("reason") != proto.LoggedOut {
		t.Errorf("after PASSWORD the other device got %v, want KICK with reason %s", k, proto.LoggedOut)
	}
	one.barrier() // the session that has changed the password stays
	for _, dead := range []string{t1, t2, one.welcome.str("token")} {
		n.dial().refused(proto.Refused, byToken(dead))
	}
	n.dial().refused(proto.Refused, obj{"msgid": proto.LOGIN, "id": anna, "password": secret})
	n.dial().ok(obj{"msgid": proto.LOGIN, "id": anna, "password": "a new secret", "device": "three"})
	n.dial().ok(byToken(f.str("token")))

	now.add(31 * 24 * time.Hour)
	n.dial().refused(proto.Refused, byToken(f.str("token")))
}

// If an operator bans a user in another process, the user's sessions end and the
// tokens are invalid.
func TestBanned(t *testing.T) {
	t.Parallel()
	n := serve(t)
	ids := n.users("anna", "berta")
	a, b := n.login(ids[0]), n.login(ids[1])
	if err := n.db.Ban(t.Context(), ids[0], true); err != nil {
		t.Fatal(err)
	}
	if f := a.kicked(); f == nil || f.str("reason") != proto.LoggedOut {
		t.Errorf("the banned user got %v, want KICK with reason %s", f, proto.LoggedOut)
	}
	n.dial().refused(proto.Refused, obj{"msgid": proto.LOGIN, "token": a.welcome.str("token")})
	b.barrier()
	b.nothing(proto.KICK)
}

// A second LOGIN on a connection is refused, and the session stays.
func TestLoginTwice(t *testing.T) {
	t.Parallel()
	n := serve(t)
	ids := n.users("anna", "berta")
	w := n.login(ids[0])
	w.refused(proto.LoggedIn, obj{"msgid": proto.LOGIN, "id": ids[1], "password": secret})
	if f := w.ok(with(ids[1]).chat("x")); f.int("toid") != ids[1] {
		t.Errorf("a message after the second LOGIN got %v, want toid %d", f, ids[1])
	}
	n.settled(1)
}

// A client that doesn't log in within LoginTimeout, or sends nothing for
// IdleTimeout, gets KICK and is disconnected. PING keeps a session alive, but
// not a connection without login.
func TestTimeouts(t *testing.T) {
	t.Parallel()
	var now *atomicTime
	var cfg reactor.Config
	n := serve(t, func(s *setup) {
		now, cfg = standing(s), s.reactor
	})
	anna := n.user("anna")
	silent, idle, out, lively := n.dial(), n.login(anna), n.login(anna, obj{"device": "out"}), n.login(anna, obj{"device": "lively"})
	idles := func(w *wire) {
		t.Helper()
		if f := w.kicked(); f == nil || f.str("reason") != proto.Idle {
			t.Errorf("got %v, want KICK with reason %s", f, proto.Idle)
		}
	}
	ping := func(w *wire) { w.answer(w.ask(obj{"msgid": proto.PING})) }
	ping(silent)
	out.ok(obj{"msgid": proto.LOGOUT})
	now.add(cfg.LoginTimeout + time.Second)
	idles(silent)
	idles(out)
	ping(lively)
	n.settled(2)
	now.add(cfg.IdleTimeout - time.Second)
	idles(idle)
	ping(lively)
	now.add(cfg.IdleTimeout - time.Second)
	ping(lively)
	n.settled(1)
}

// If logins of one device replace each other while they are in progress, one
// session is left in the end, and it gets its messages.
func TestLoginStorm(t *testing.T) {
	t.Parallel()
	n := serve(t)
	ids := n.users("anna", "berta")
	g := n.group(ids...)
	b := n.login(ids[1])
	token := n.login(ids[0], obj{"ack": true}).welcome.str("token")
	storm := func() {
		for range 15 {
			w := n.dial()
			w.send(obj{"msgid": proto.LOGIN, "token": token, "ack": true})
			w.next() // LOGIN_ACK or KICK
			if f := w.stash; len(f) > 0 {
				t.Errorf("got %v, want nothing before LOGIN_ACK or KICK", f)
			}
		}
	}
	together(storm, storm, storm, func() { b.pump(in(g), "b", 200, 8) })
	w := n.dial()
	w.ok(obj{"msgid": proto.LOGIN, "token": token, "ack": true})
	n.settled(2)
	b.say(in(g), "last")
	w.has(in(g), 1, 201)
}

// lateStore is a store that changes the password of a user just before
// OpenDevice for the device "thief".
type lateStore struct {
	service.Store
	changed int // number of changes
}

func (s *lateStore) OpenDevice(ctx context.Context, u model.User, device string, token []byte, max int) ([]string, error) {
	if device == "thief" {
		s.changed++
		if _, err := s.ChangePassword(ctx, u.ID, "another hash", proto.DefaultDevice, []byte("another token")); err != nil {
			return nil, err
		}
	}
	return s.Store.OpenDevice(ctx, u, device, token, max)
}

// If the password is changed during a login, after the old password was
// checked, the login is refused.
func TestLoginDuringPasswordChange(t *testing.T) {
	t.Parallel()
	st := &lateStore{}
	n := serve(t, func(s *setup) {
		s.store = func(in service.Store) service.Store { st.Store = in; return st }
	})
	id := n.user("anna")
	n.login(id)
	n.dial().refused(proto.Refused, obj{"msgid": proto.LOGIN, "id": id, "password": secret, "device": "thief"})
	if st.changed != 1 {
		t.Errorf("the password was changed %d times, want once", st.changed)
	}
}
