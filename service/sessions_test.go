package service_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"chatd/model"
	"chatd/model/feed"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service"
	"chatd/service/bus"
	"chatd/service/login"
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
		s.reactor.LoginTimeout, s.reactor.IdleTimeout = 10*time.Second, 90*time.Second
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
	*model.DB
	hash    string // the new one
	changed int    // number of changes
}

func (s *lateStore) OpenDevice(ctx context.Context, u model.User, device string, token []byte, max int, gone func() bool) (int64, bool, []feed.Ended, error) {
	if device == "thief" {
		s.changed++
		if err := s.OperatorPassword(ctx, u.ID, s.hash); err != nil {
			return 0, false, nil, err
		}
	}
	return s.DB.OpenDevice(ctx, u, device, token, max, gone)
}

// If the password is changed during a login, after the old password was
// checked, the login is refused.
func TestLoginDuringPasswordChange(t *testing.T) {
	t.Parallel()
	hash, err := login.HashPassword(cheap, "another secret")
	if err != nil {
		t.Fatal(err)
	}
	st := &lateStore{hash: hash}
	n := serve(t, func(s *setup) {
		s.store = func(in service.Store) service.Store { st.DB = in.(*model.DB); return st }
	})
	id := n.user("anna")
	n.login(id)
	n.dial().refused(proto.Refused, obj{"msgid": proto.LOGIN, "id": id, "password": secret, "device": "thief"})
	if st.changed != 1 {
		t.Errorf("the password was changed %d times, want once", st.changed)
	}
}

// rendezvous is a store in which ChangePassword, or OpenDevice of devices named
// "together…", waits until a number of calls have come.
type rendezvous struct {
	*model.DB
	left atomic.Int64
	all  chan struct{}
}

func newRendezvous(n int64) *rendezvous {
	r := &rendezvous{all: make(chan struct{})}
	r.left.Store(n)
	return r
}

func (s *rendezvous) meet() {
	if s.left.Add(-1) == 0 {
		close(s.all)
	}
	<-s.all
}

func (s *rendezvous) ChangePassword(ctx context.Context, u model.User, hash, device string, session int64, oldToken, newToken []byte) ([]feed.Ended, error) {
	s.meet()
	return s.DB.ChangePassword(ctx, u, hash, device, session, oldToken, newToken)
}

func (s *rendezvous) OpenDevice(ctx context.Context, u model.User, device string, token []byte, max int, gone func() bool) (int64, bool, []feed.Ended, error) {
	if strings.HasPrefix(device, "together") {
		s.meet()
	}
	return s.DB.OpenDevice(ctx, u, device, token, max, gone)
}

// If two devices change the password at the same time, one of them succeeds, and its
// new password logs in. The other gets errno 1, or is logged out before it gets an
// answer.
func TestPasswordChangedTwice(t *testing.T) {
	t.Parallel()
	meeting := newRendezvous(2)
	n := serve(t, func(s *setup) {
		s.reactor.SlowLanes = 16 // both wait at the same time
		s.store = func(in service.Store) service.Store { meeting.DB = in.(*model.DB); return meeting }
	})
	anna := n.user("anna")
	var ws [2]*wire
	var rids [2]int64
	for i := range ws {
		ws[i] = n.login(anna, obj{"device": fmt.Sprint(i)})
	}
	for i, w := range ws {
		rids[i] = w.ask(obj{"msgid": proto.PASSWORD, "password": secret, "newpassword": fmt.Sprint("new secret ", i)})
	}
	won := -1
	for i, w := range ws {
		f := w.await("the answer to PASSWORD, or KICK", func(f frame) bool { return f.int("rid") == rids[i] || f.op() == proto.KICK })
		switch {
		case f.op() == proto.KICK && f.str("reason") == proto.LoggedOut:
		case f.op() == proto.PASSWORD_ACK && f.int("errno") == int64(proto.Refused):
		case f.op() == proto.PASSWORD_ACK && f.int("errno") == 0 && won < 0:
			won = i
		default:
			t.Errorf("device %d got %v, want errno 0 for one of the two, and errno 1 or KICK for the other", i, f)
		}
	}
	if won < 0 {
		t.Fatal("neither device has changed the password")
	}
	n.dial().ok(obj{"msgid": proto.LOGIN, "id": anna, "password": fmt.Sprint("new secret ", won), "device": "third"})
	ws[won].barrier() // still logged in
}

// If the cost of hashing has changed and two devices log in at the same time, both
// succeed, although each has replaced the hash.
func TestRehashedTwice(t *testing.T) {
	t.Parallel()
	meeting := newRendezvous(2)
	n := serve(t, func(s *setup) {
		s.reactor.SlowLanes = 16
		s.service.Login.Argon2.Iterations = 2 // users are created with 1
		s.store = func(in service.Store) service.Store { meeting.DB = in.(*model.DB); return meeting }
	})
	anna := n.user("anna")
	together := []*wire{n.dial(), n.dial()}
	var rids [2]int64
	for i, w := range together {
		rids[i] = w.ask(obj{"msgid": proto.LOGIN, "id": anna, "password": secret, "device": fmt.Sprint("together", i)})
	}
	for i, w := range together {
		if f := w.await("LOGIN_ACK", func(f frame) bool { return f.int("rid") == rids[i] }); f.int("errno") != 0 {
			t.Errorf("login %d got %v, want errno 0", i, f)
		}
	}
}

// Whatever ends sessions on another node ends them here within seconds, although all
// hints are lost and nobody notices that.
func TestEndedWithoutHints(t *testing.T) {
	t.Parallel()
	one, two, lost := pairOfNodes(t, func(s *setup) { s.service.Login.MaxDevices = 2 })
	lost.Store(true)
	stays := two.login(two.user("stays"))
	for _, c := range []struct {
		what   string
		do     func(id int64, here, there *wire)
		reason string
	}{
		{"PASSWORD", func(id int64, here, there *wire) {
			here.ok(obj{"msgid": proto.PASSWORD, "password": secret, "newpassword": "secret 2"})
		}, proto.LoggedOut},
		{"LOGOUT of an earlier session of the device", func(id int64, here, there *wire) {
			w := one.dial()
			w.ok(obj{"msgid": proto.LOGIN, "token": there.welcome.str("token")})
			w.ok(obj{"msgid": proto.LOGOUT})
			w.refused(proto.NotLoggedIn, obj{"msgid": proto.LOGOUT}) // the connection stays open
		}, ""}, // replaced or logged out
		{"login of the device by password", func(id int64, here, there *wire) { one.login(id, obj{"device": "there"}) }, proto.Replaced},
		{"login of the device by token", func(id int64, here, there *wire) {
			one.dial().ok(obj{"msgid": proto.LOGIN, "token": there.welcome.str("token")})
		}, proto.Replaced},
		{"a third device", func(id int64, here, there *wire) { one.login(id, obj{"device": "third"}) }, proto.LoggedOut},
		{"ban", func(id int64, here, there *wire) { check(t, one.db.Ban(t.Context(), id, true)) }, proto.LoggedOut},
		{"password set by an operator", func(id int64, here, there *wire) { check(t, one.db.OperatorPassword(t.Context(), id, "x")) }, proto.LoggedOut},
		{"delete", func(id int64, here, there *wire) { check(t, one.db.DeleteUser(t.Context(), id)) }, proto.LoggedOut},
	} {
		id := one.user(c.what)
		there := two.login(id, obj{"device": "there"})
		here := one.login(id, obj{"device": "here"}) // used later, so the other one is evicted
		c.do(id, here, there)
		if f := there.kicked(); f == nil || c.reason != "" && f.str("reason") != c.reason {
			t.Errorf("%s: the session on the other node got %v, want KICK with reason %s", c.what, f, c.reason)
		}
		if c.what == "PASSWORD" || strings.HasPrefix(c.what, "login") {
			here.barrier()
			here.nothing(proto.KICK)
		}
	}
	stays.barrier()
	stays.nothing(proto.KICK)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The order of a user's sessions doesn't depend on any clock. After all clocks have
// stepped back, a login replaces the device's session on the other node, and PASSWORD
// ends all earlier sessions and no later one.
func TestClockStepsBack(t *testing.T) {
	t.Parallel()
	var now atomicTime
	now.set(time.Now())
	one, two, _ := pairOfNodes(t, func(s *setup) { s.model.Now, s.reactor.Now = now.get, now.get })
	anna := one.user("anna")
	w := one.login(anna)
	token := w.welcome.str("token")
	for i := range 4 {
		now.add(-time.Hour)
		next := []*node{two, one}[i%2].dial()
		next.ok(obj{"msgid": proto.LOGIN, "token": token})
		if f := w.kicked(); f == nil || f.str("reason") != proto.Replaced {
			t.Fatalf("the earlier session got %v, want KICK with reason %s", f, proto.Replaced)
		}
		next.barrier()
		next.nothing(proto.KICK)
		w = next
	}
	others := []*wire{one.login(anna, obj{"device": "here"}), two.login(anna, obj{"device": "there"})}
	now.add(-time.Hour)
	w.ok(obj{"msgid": proto.PASSWORD, "password": secret, "newpassword": "secret 2"})
	for _, o := range others {
		if f := o.kicked(); f == nil || f.str("reason") != proto.LoggedOut {
			t.Errorf("the other device got %v, want KICK with reason %s", f, proto.LoggedOut)
		}
	}
	now.add(-time.Hour)
	later := two.login(anna, obj{"device": "there", "password": "secret 2"})
	two.svc.Receive([]bus.Message{{Channel: bus.User(anna), Payload: bus.Payload{Ended: &bus.Ended{User: anna, Before: 8, Keep: 5, Reason: proto.LoggedOut}}}}) // PASSWORD's hint comes late
	later.barrier()
	later.nothing(proto.KICK)
	w.barrier()
	w.nothing(proto.KICK)
}

// The device that is connected all the time isn't the one that a ninth device logs
// out, and its token doesn't expire.
func TestConnectedDeviceIsUsed(t *testing.T) {
	t.Parallel()
	var now atomicTime
	now.set(time.Now())
	n := serve(t, func(s *setup) {
		s.model.Now = now.get
		s.service.Login.MaxDevices = 2
	})
	anna := n.user("anna")
	connected := n.login(anna, obj{"device": "connected"})
	now.add(20 * 24 * time.Hour)
	other := n.login(anna, obj{"device": "other"})
	other.close()
	n.settled(1)
	now.add(20 * 24 * time.Hour)
	third := n.login(anna, obj{"device": "third"})
	third.barrier()
	connected.barrier()
	connected.nothing(proto.KICK)
	n.dial().refused(proto.Refused, obj{"msgid": proto.LOGIN, "token": other.welcome.str("token")})
	now.add(20 * 24 * time.Hour)
	n.dial().ok(obj{"msgid": proto.LOGIN, "token": connected.welcome.str("token")})
}
