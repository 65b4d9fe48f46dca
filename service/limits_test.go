package service_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chatd/model"
	"chatd/proto"
	"chatd/service"
)

// standing gives the reactor a clock that stands still until the test moves it.
func standing(s *setup) *atomicTime {
	now := &atomicTime{}
	now.set(time.Now())
	s.reactor.Now = now.get
	return now
}

// tooFast sends a request that must be refused with errno 9 and this
// retry_after.
func (w *wire) tooFast(wait time.Duration, r obj) frame {
	w.tb.Helper()
	f := w.refused(proto.TooFast, r)
	if got := f.int("retry_after_ms"); got != wait.Milliseconds() {
		w.fatalf("%s got %v, want retry_after_ms %d", r.json(), f, wait.Milliseconds())
	}
	return f
}

// limited returns how often a limit was reached.
func (n *node) limited(name string) int {
	n.tb.Helper()
	return int(n.count(`chatd_service_limited_total{limit="` + name + `"}`))
}

// The limit of frames per user applies to all connections of a user together,
// and a reconnect doesn't reset it. Other users aren't affected. Chat messages
// are refused with their ACK, events and receipts with ERROR.
func TestUserFrames(t *testing.T) {
	t.Parallel()
	var now *atomicTime
	n := serve(t, func(s *setup) {
		now = standing(s)
		s.service.Limits.FramesPerSecPerUser, s.service.Limits.Burst = 5, 4*time.Second
	})
	ids := n.users("anna", "berta")
	phone, desk, other := n.login(ids[0], obj{"device": "phone"}), n.login(ids[0], obj{"device": "desk"}), n.login(ids[1])
	for i := range 10 {
		phone.say(with(ids[0]), fmt.Sprint("note ", i))
		desk.barrier()
	}
	chat := with(ids[0]).chat("once more")
	if f := phone.tooFast(time.Second, chat); f.op() != proto.ONE_CHAT_ACK || f.str("cid") != chat["cid"] {
		t.Errorf("a refused message got %v, want ONE_CHAT_ACK with cid %v", f, chat["cid"])
	}
	for _, r := range []obj{with(ids[1]).event("typing"), with(ids[0]).receipt(1)} {
		if f := desk.tooFast(time.Second, r); f.op() != proto.ERROR {
			t.Errorf("%s got %v, want ERROR", r.json(), f)
		}
	}
	other.barrier()
	phone.close()
	desk.close()
	n.settled(1)
	again := n.login(ids[0])
	again.tooFast(time.Second, chat)
	now.add(time.Second)
	if again.ok(chat); again.history(with(ids[0]))[10].str("msg") != "once more" {
		t.Error("the resent message isn't the eleventh in the log, want it to be")
	}
	if c := n.limited("user_frames"); c != 3 { // the reactor has refused the receipt, within desk's retry_after
		t.Errorf("user_frames counted %d times, want 3", c)
	}
}

// The limit of bytes per user applies to all connections of a user together.
func TestUserBytes(t *testing.T) {
	t.Parallel()
	var now *atomicTime
	n := serve(t, func(s *setup) {
		now = standing(s)
		s.service.Limits.BytesPerSecPerUser, s.service.Limits.Burst = 10_000, 2*time.Second
	})
	anna := n.user("anna")
	a, b := n.login(anna, obj{"device": "a"}), n.login(anna, obj{"device": "b"})
	large := strings.Repeat("x", 18_000)
	a.say(with(anna), large)
	f := b.refused(proto.TooFast, with(anna).chat(large))
	if wait := f.int("retry_after_ms"); wait < 1500 || wait > 2000 {
		t.Errorf("got %v, want retry_after_ms from 1500 to 2000", f)
	}
	now.add(2 * time.Second)
	b.say(with(anna), large)
	if c := n.limited("user_bytes"); c != 1 {
		t.Errorf("user_bytes counted %d times, want 1", c)
	}
}

// If a message is refused while those before it are being stored, the answers
// are still sent in order. Refused messages aren't stored; resent after
// retry_after, they are stored in order.
func TestRefusedKeepOrder(t *testing.T) {
	t.Parallel()
	var now *atomicTime
	gate := make(chan struct{})
	open := sync.OnceFunc(func() { close(gate) })
	defer open()
	n := serve(t, func(s *setup) {
		now = standing(s)
		s.service.Limits.FramesPerSecPerUser, s.service.Limits.Burst = 3, time.Second
		s.sunk = func([]byte) { <-gate }
	})
	anna := n.user("anna")
	w := n.login(anna)
	var chats []obj
	var rids []int64
	for i := range 6 {
		chats = append(chats, with(anna).chat(fmt.Sprint("text ", i)))
		rids = append(rids, w.ask(chats[i]))
	}
	w.tooFast(time.Second, obj{"msgid": proto.PING}) // all messages have been handled
	if len(w.stash) > 0 {
		t.Fatalf("got answers %v, want none before the first message is stored", w.stash)
	}
	// The refusals aren't sent yet. Messages sent now must not overtake the
	// refused ones, even though the time in retry_after_ms is over.
	now.add(2 * time.Second)
	for i := 6; i < 8; i++ {
		chats = append(chats, with(anna).chat(fmt.Sprint("text ", i)))
		rids = append(rids, w.ask(chats[i]))
	}
	w.ok(obj{"msgid": proto.PING})
	open()
	for i, rid := range rids {
		f, want := w.next(), proto.Done
		if i >= 3 {
			want = proto.TooFast
		}
		if f.int("rid") != rid || f.str("cid") != chats[i]["cid"] || f.int("toid") != anna || proto.Errno(f.int("errno")) != want {
			t.Fatalf("message %d got %v, want its answer with errno %d", i, f, want)
		}
	}
	// Messages that were on their way when the refusals were sent are refused
	// too.
	chats = append(chats, with(anna).chat("text 8"))
	w.tooFast(time.Second, chats[8])
	now.add(time.Second)
	for _, c := range chats[3:] {
		now.add(time.Second)
		w.ok(c)
	}
	now.add(time.Second)
	for i, m := range w.history(with(anna)) {
		if m.str("msg") != fmt.Sprint("text ", i) {
			t.Errorf("message %d in the log is %v, want text %d", i, m, i)
		}
	}
}

// While a refusal waits for the answers before it, the client doesn't know of
// it. Messages that it sends until then are refused, but don't count as abuse.
// Frames sent after the refusal do.
func TestFramesBeforeRefusalAreNotAbuse(t *testing.T) {
	t.Parallel()
	var now *atomicTime
	gate := make(chan struct{})
	open := sync.OnceFunc(func() { close(gate) })
	defer open()
	n := serve(t, func(s *setup) {
		now = standing(s)
		s.service.Limits.FramesPerSecPerUser, s.service.Limits.Burst = 2, time.Second
		s.reactor.AbuseAfter = 1
		s.sunk = func([]byte) { <-gate }
	})
	anna := n.user("anna")
	w := n.login(anna)
	rids := make([]int64, 6)
	for i := range rids {
		rids[i] = w.ask(with(anna).chat("text"))
		if i > 2 { // an earlier message was refused some time ago
			eventually(t, "the message to be handled", func() bool {
				return n.count(`chatd_reactor_frames_in_total`) >= float64(i+2)
			})
			now.add(600 * time.Millisecond)
		}
	}
	eventually(t, "all messages to be handled", func() bool { return n.count(`chatd_reactor_frames_in_total`) >= 7 })
	open()
	for i, rid := range rids {
		f, want := w.next(), proto.Done
		if i >= 2 {
			want = proto.TooFast
		}
		if f.int("rid") != rid || proto.Errno(f.int("errno")) != want {
			t.Fatalf("message %d got %v, want rid %d and errno %d", i, f, rid, want)
		}
	}
	now.add(400 * time.Millisecond)
	w.tooFast(600*time.Millisecond, obj{"msgid": proto.PING})
	now.add(200 * time.Millisecond)
	w.ask(obj{"msgid": proto.PING})
	if f := w.kicked(); f == nil || f.str("reason") != proto.Abuse {
		t.Errorf("got %v, want KICK with reason %s", f, proto.Abuse)
	}
}

// Refused receipts count as abuse like other frames: only if they are sent
// within retry_after. A client that resends them after that is not
// disconnected, however often they are refused.
func TestRefusedReceipts(t *testing.T) {
	t.Parallel()
	const may, portion, rounds = 20, 100, 60 // more refusals in total than are allowed within one retry_after
	var now *atomicTime
	n := serve(t, func(s *setup) {
		now = standing(s)
		s.reactor.FramesPerSecPerConn, s.reactor.Burst, s.reactor.AbuseAfter = may, time.Second, 1
		s.reactor.IdleTimeout = time.Hour
	})
	ids := n.users("anna", "berta")
	w := n.login(ids[0])
	w.say(with(ids[1]), "one")
	receipts := make([]obj, portion)
	for i := range receipts {
		receipts[i] = with(ids[1]).receipt(1).with(obj{"rid": 1000 + i})
	}
	// exchange sends the receipts and returns how many were refused.
	exchange := func() (refused int) {
		t.Helper()
		w.send(receipts...)
		ping := w.ask(obj{"msgid": proto.PING})
		for {
			f := w.next()
			switch {
			case f.int("rid") == ping:
				return refused
			case f.op() != proto.ERROR || proto.Errno(f.int("errno")) != proto.TooFast || f.int("retry_after_ms") <= 0:
				t.Fatalf("a receipt got %v, want ERROR with errno %d and retry_after_ms", f, proto.TooFast)
			}
			refused++
		}
	}
	total := 0
	for range rounds {
		now.add(time.Second)
		total += exchange()
	}
	if total != rounds*(portion-may) || total < 4500 {
		t.Fatalf("%d receipts were refused, want %d", total, rounds*(portion-may))
	}
	now.add(time.Second)
	w.ok(obj{"msgid": proto.PING})

	for range 50 { // without waiting; more than the 4,096 that are allowed
		w.send(receipts...)
	}
	if f := w.kicked(); f == nil || f.str("reason") != proto.Abuse {
		t.Errorf("got %v, want KICK with reason %s", f, proto.Abuse)
	}
}

// Before login, a client may send only a few frames. One that ignores the
// refusal is disconnected for abuse.
func TestBeforeLogin(t *testing.T) {
	t.Parallel()
	var now *atomicTime
	n := serve(t, func(s *setup) {
		now = standing(s)
		s.reactor.FramesBeforeLogin, s.reactor.AbuseAfter, s.reactor.LoginTimeout = 5, 1, 10*time.Second
	})
	anna := n.user("anna")
	w := n.dial()
	for range 4 {
		w.refused(proto.NotLoggedIn, obj{"msgid": proto.FIND_USER, "userid": anna})
	}
	w.ok(obj{"msgid": proto.PING})
	w.tooFast(2*time.Second, obj{"msgid": proto.LOGIN, "id": anna, "password": secret})
	now.add(1900 * time.Millisecond)
	w.ask(obj{"msgid": proto.LOGIN, "id": anna, "password": secret})
	if f := w.kicked(); f == nil || f.str("reason") != proto.Abuse {
		t.Errorf("got %v, want KICK with reason %s", f, proto.Abuse)
	}
	w = n.login(anna)
	for range 20 {
		w.barrier()
	}
}

// A user who was disconnected for abuse is locked out for a while, longer each
// time, for logins by token and by password, from all addresses and devices.
// The refusal says how long. Other sessions of the user stay open, a wrong
// password gets the usual answer, and other users at the same address can log
// in.
func TestAbuseLockout(t *testing.T) {
	t.Parallel()
	var now *atomicTime
	n := serve(t, func(s *setup) {
		now = standing(s)
		s.reactor.FramesPerSecPerConn, s.reactor.AbuseAfter, s.reactor.Burst = 5, 1, 2*time.Second
		s.service.Limits.AbuseWait = 3 * time.Second
		s.service.Login.MaxDevices = 2
	})
	ids := n.users("anna", "berta")
	desk := n.login(ids[0], obj{"device": "desk"})
	desk.barrier()
	phone := n.login(ids[0], obj{"device": "phone"})
	abuse := func(w *wire) {
		t.Helper()
		for w.call(obj{"msgid": proto.PING}).op() == proto.PONG {
		}
		now.add(700 * time.Millisecond) // the client has got the refusal by now
		w.ask(obj{"msgid": proto.PING})
		if f := w.kicked(); f == nil || f.str("reason") != proto.Abuse {
			t.Fatalf("got %v, want KICK with reason %s", f, proto.Abuse)
		}
	}
	token := obj{"msgid": proto.LOGIN, "token": phone.welcome.str("token")}
	password := obj{"msgid": proto.LOGIN, "name": "anna", "password": secret, "device": "a third"}
	for _, wait := range []time.Duration{3 * time.Second, 6 * time.Second} {
		abuse(phone)
		n.dial().tooFast(wait, token)
		n.dial().tooFast(wait, password)
		n.dial().refused(proto.Refused, password.with(obj{"password": "wrong secret"}))
		n.dial().login(ids[1])
		now.add(wait - 2*time.Second)
		desk.barrier()
		n.dial().tooFast(2*time.Second, token)
		now.add(2 * time.Second)
		phone = n.dial()
		phone.ok(token) // the token is still valid
	}
	if c := n.limited("abuse"); c != 6 {
		t.Errorf("abuse counted %d times, want 6", c)
	}

	// Abuse before login locks nobody out: others may share the address.
	w := n.dial()
	abuse(w)
	n.dial().login(ids[1])
	now.add(time.Hour)
	phone = n.dial()
	phone.ok(token)
	abuse(phone)
	n.dial().tooFast(3*time.Second, token)
}

// behind connects through a trusted proxy, as a client with address addr.
func (n *node) behind(addr string) *wire {
	n.tb.Helper()
	w := n.dial()
	to := "TCP4 " + addr + " 127.0.0.1"
	if strings.Contains(addr, ":") {
		to = "TCP6 " + addr + " ::1"
	}
	w.write([]byte("PROXY " + to + " 4711 6000\r\n"))
	return w
}

func trustLoopback(s *setup) {
	s.reactor.ProxyProtocol = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
}

// Logins per address are counted for the client's address, not the proxy's, and
// include logins by token.
func TestLoginsPerAddr(t *testing.T) {
	t.Parallel()
	var now *atomicTime
	n := serve(t, trustLoopback, func(s *setup) {
		now = standing(s)
		s.service.Limits.LoginsPerSecPerAddr, s.service.Limits.Burst = 2, time.Second
	})
	anna := n.user("anna")
	w := n.behind("192.0.2.1")
	token := obj{"msgid": proto.LOGIN, "token": w.login(anna).str("token")}
	n.behind("192.0.2.1").ok(token)
	w = n.behind("192.0.2.1")
	w.tooFast(time.Second, token)
	n.behind("192.0.2.2").ok(token)
	for range 5 { // the proxy itself has no limit
		n.dial().ok(token)
	}
	now.add(time.Second)
	w.ok(token)
	if c := n.limited("logins"); c != 1 {
		t.Errorf("logins counted %d times, want 1", c)
	}
}

// Logins by password, registrations and password changes share one limit per
// address. Logins by token don't count.
func TestPasswordsPerAddr(t *testing.T) {
	t.Parallel()
	var now *atomicTime
	n := serve(t, func(s *setup) {
		now = standing(s)
		s.service.Limits.PasswordsPerSecPerAddr, s.service.Limits.Burst = 3, time.Second
	})
	w := n.dial()
	anna := w.ok(obj{"msgid": proto.REG, "name": "anna", "password": secret}).int("id")
	w.login(anna)
	w.ok(obj{"msgid": proto.PASSWORD, "password": secret, "newpassword": "another secret"})
	w.tooFast(time.Second, obj{"msgid": proto.PASSWORD, "password": "another secret", "newpassword": secret})
	other := n.dial()
	other.tooFast(time.Second, obj{"msgid": proto.REG, "name": "berta", "password": secret})
	other.tooFast(time.Second, obj{"msgid": proto.LOGIN, "id": anna, "password": "another secret"})
	now.add(time.Second)
	f := other.ok(obj{"msgid": proto.LOGIN, "id": anna, "password": "another secret"})
	now.add(-time.Second)
	for range 5 {
		n.dial().ok(obj{"msgid": proto.LOGIN, "token": f.str("token")})
	}
	if c := n.limited("passwords"); c != 3 {
		t.Errorf("passwords counted %d times, want 3", c)
	}
}

// An address can register so many users per day. Only registrations that succeed count.
// IPv6 addresses of one /64 count together, and a trusted proxy has no limit.
func TestRegistrationsPerAddr(t *testing.T) {
	t.Parallel()
	const perDay = 4
	var now *atomicTime
	n := serve(t, trustLoopback, func(s *setup) {
		now = standing(s)
		s.service.Limits.RegistrationsPerDayPerAddr = perDay
	})
	users := 0
	reg := func() obj {
		users++
		return obj{"msgid": proto.REG, "name": fmt.Sprint("user ", users), "password": secret}
	}
	full := func(w *wire, wait time.Duration) {
		t.Helper()
		f := w.refused(proto.TooFast, reg())
		if f.int("retry_after_ms") != wait.Milliseconds() || !strings.Contains(f.str("errmsg"), "registrations") {
			t.Errorf("got %v, want retry_after_ms %d and a text about registrations", f, wait.Milliseconds())
		}
	}
	w := n.behind("2001:db8::1")
	for i := range perDay {
		for range 2 * perDay { // these fail
			w.refused(proto.BadRequest, reg().with(obj{"password": "short"}))
			if i > 0 {
				w.refused(proto.Refused, reg().with(obj{"name": "taken"}))
			}
		}
		if i == 0 {
			w.ok(reg().with(obj{"name": "taken"}))
			continue
		}
		n.behind(fmt.Sprint("2001:db8::", i+1)).ok(reg())
	}
	full(n.behind("2001:db8::9"), 24*time.Hour/perDay)
	n.behind("2001:db8:1::1").ok(reg())
	for range 2 * perDay { // the proxy itself has no limit
		n.dial().ok(reg())
	}
	now.add(24 * time.Hour / perDay)
	n.behind("2001:db8::1").ok(reg())
	full(n.behind("2001:db8::1"), 24*time.Hour/perDay)
	if c := n.limited("registrations"); c != 2 {
		t.Errorf("registrations counted %d times, want 2", c)
	}
}

// After a few wrong passwords for an account, further ones are refused without
// a check, even the right one. Logins by token still work. A name that doesn't
// exist gets the same answers, so that they don't reveal which accounts exist.
// After retry_after one more password is checked; a right one isn't counted as a
// failure.
func TestFailedLoginsOfAccount(t *testing.T) {
	t.Parallel()
	var now *atomicTime
	n := serve(t, func(s *setup) {
		now = standing(s)
		s.service.Limits.FailedLoginsPerAccount, s.service.Limits.FailedLoginsTime = 3, time.Minute
	})
	ids := n.users("anna", "berta")
	right := obj{"msgid": proto.LOGIN, "name": "Anna", "password": secret}
	for range 5 {
		n.dial().ok(right)
	}
	token := n.login(ids[0], obj{"device": "phone"}).welcome.str("token")
	answers := func(name string) (all []string) {
		w := n.dial()
		for i := range 5 {
			pw := "wrong secret"
			if i == 4 {
				pw = secret
			}
			f := w.call(obj{"msgid": proto.LOGIN, "name": name, "password": pw})
			delete(f, "rid")
			all = append(all, f.String())
		}
		return all
	}
	real, none := answers("anna"), answers("nobody")
	if strings.Join(real, "\n") != strings.Join(none, "\n") {
		t.Errorf("answers for an account that exists:\n%s\nwant the same for one that doesn't:\n%s", strings.Join(real, "\n"), strings.Join(none, "\n"))
	}
	w := n.dial()
	w.tooFast(20*time.Second, right)
	n.dial().tooFast(20*time.Second, right.with(obj{"name": "ANNA"})) // the same name
	n.dial().ok(obj{"msgid": proto.LOGIN, "token": token})
	n.dial().ok(obj{"msgid": proto.LOGIN, "name": "berta", "password": secret})
	w.ok(obj{"msgid": proto.PING}) // other requests on the connection are served
	if c := n.limited("failed_account"); c != 6 {
		t.Errorf("failed_account counted %d times, want 6", c)
	}

	now.add(20 * time.Second)
	n.dial().ok(right)
	n.dial().ok(right)
	n.dial().refused(proto.Refused, right.with(obj{"password": "wrong secret"}))
	n.dial().tooFast(20*time.Second, right)

	// Guessing with PASSWORD in a session is limited as well.
	in := n.login(ids[1])
	change := obj{"msgid": proto.PASSWORD, "password": "wrong secret", "newpassword": "new secret"}
	for range 3 {
		in.refused(proto.Refused, change)
	}
	in.tooFast(20*time.Second, change.with(obj{"password": secret}))
}

// After a few wrong passwords from an address, for any accounts, further ones
// from it are refused without a check. Other addresses aren't affected.
func TestFailedLoginsOfAddress(t *testing.T) {
	t.Parallel()
	var now *atomicTime
	n := serve(t, trustLoopback, func(s *setup) {
		now = standing(s)
		s.service.Limits.FailedLoginsPerAccount, s.service.Limits.FailedLoginsPerAddr, s.service.Limits.FailedLoginsTime = 100, 3, time.Minute
	})
	anna := n.user("anna")
	for i := range 3 {
		n.behind("192.0.2.1").refused(proto.Refused, obj{"msgid": proto.LOGIN, "name": fmt.Sprint("somebody ", i), "password": secret})
	}
	right := obj{"msgid": proto.LOGIN, "id": anna, "password": secret}
	n.behind("192.0.2.1").tooFast(20*time.Second, right)
	token := n.behind("192.0.2.2").ok(right).str("token")
	n.behind("192.0.2.1").ok(obj{"msgid": proto.LOGIN, "token": token})
	now.add(20 * time.Second)
	n.behind("192.0.2.1").ok(right)
	if c := n.limited("failed_address"); c != 1 {
		t.Errorf("failed_address counted %d times, want 1", c)
	}
}

// Concurrent guesses don't get around the limit: each counts as wrong until it
// has been checked.
func TestConcurrentGuesses(t *testing.T) {
	t.Parallel()
	n := serve(t, func(s *setup) {
		standing(s)
		s.service.Limits.FailedLoginsPerAccount, s.service.Limits.FailedLoginsTime = 3, time.Minute
	})
	n.user("anna")
	var refused, tooFast atomic.Int32
	var all []func()
	for range 12 {
		w := n.dial()
		all = append(all, func() {
			switch f := w.call(obj{"msgid": proto.LOGIN, "name": "anna", "password": "wrong secret"}); proto.Errno(f.int("errno")) {
			case proto.Refused:
				refused.Add(1)
			case proto.TooFast:
				tooFast.Add(1)
			default:
				t.Errorf("got %v, want errno %d or %d", f, proto.Refused, proto.TooFast)
			}
		})
	}
	together(all...)
	if refused.Load() != 3 || tooFast.Load() != 9 {
		t.Errorf("%d passwords were checked and %d were not, want 3 and 9", refused.Load(), tooFast.Load())
	}
}

// slowUsers is a store in which looking up users by ID blocks until gate is
// closed.
type slowUsers struct {
	service.Store
	waiting atomic.Int32 // number of lookups started
	gate    chan struct{}
}

func (s *slowUsers) UserByID(ctx context.Context, id int64) (model.User, error) {
	s.waiting.Add(1)
	<-s.gate
	return s.Store.UserByID(ctx, id)
}

// A login that is refused because the slow workers' queues are full doesn't count as a
// wrong password.
func TestBusyIsNotWrongPassword(t *testing.T) {
	t.Parallel()
	st := &slowUsers{gate: make(chan struct{})}
	open := sync.OnceFunc(func() { close(st.gate) })
	defer open()
	n := serve(t, func(s *setup) {
		standing(s)
		s.reactor.SlowLanes, s.reactor.LaneQueue = 1, 1
		s.service.Limits.FailedLoginsPerAccount, s.service.Limits.FailedLoginsTime = 3, time.Minute
		s.store = func(in service.Store) service.Store { st.Store = in; return st }
	})
	ids := n.users("anna", "berta", "carla")
	login := func(id int64) obj { return obj{"msgid": proto.LOGIN, "id": id, "password": secret} }
	first, second, third := n.dial(), n.dial(), n.dial()
	a := first.ask(login(ids[0]))
	eventually(t, "the only slow worker to be busy", func() bool { return st.waiting.Load() == 1 })
	b := second.ask(login(ids[1]))
	second.ok(obj{"msgid": proto.PING}) // its login is in the queue now
	for range 10 {
		third.refused(proto.TooFast, login(ids[2]))
	}
	open()
	first.answer(a)
	second.answer(b)
	third.ok(login(ids[2]))
	if c := n.limited("failed_account"); c != 0 {
		t.Errorf("failed_account counted %d times, want 0", c)
	}
}

// Requests beyond the maximum of friends, groups or members are refused, and a
// new device beyond the maximum replaces another. Each case has its counter.
func TestFullLists(t *testing.T) {
	t.Parallel()
	n := serve(t, func(s *setup) {
		s.service.People.MaxFriends, s.service.Groups.MaxGroups, s.service.Groups.MaxMembers, s.service.Login.MaxDevices = 1, 2, 2, 1
	})
	ids := n.users("anna", "berta", "carla")
	a, b, c := n.login(ids[0]), n.login(ids[1]), n.login(ids[2])
	a.ok(obj{"msgid": proto.ADD_FRIEND, "friendid": ids[1]})
	a.refused(proto.LimitFull, obj{"msgid": proto.ADD_FRIEND, "friendid": ids[2]})
	create := obj{"msgid": proto.CREATE_GROUP, "groupname": "walks", "groupdesc": ""}
	group := a.ok(create).int("groupid")
	a.ok(create)
	a.refused(proto.LimitFull, create)
	a.refused(proto.LimitFull, obj{"msgid": proto.ADD_GROUP, "groupid": c.ok(create).int("groupid")})
	b.ok(obj{"msgid": proto.ADD_GROUP, "groupid": group})
	c.refused(proto.LimitFull, obj{"msgid": proto.ADD_GROUP, "groupid": group})
	n.login(ids[0], obj{"device": "another"})
	for name, want := range map[string]int{"friends": 1, "groups": 2, "members": 1, "devices": 1} {
		if got := n.limited(name); got != want {
			t.Errorf("%s counted %d times, want %d", name, got, want)
		}
	}
}

// A limit below 1 or above the maximum page size is refused.
func TestPageSizes(t *testing.T) {
	t.Parallel()
	n := serve(t)
	anna := n.user("anna")
	w := n.login(anna)
	for limit, errno := range map[int64]proto.Errno{0: proto.BadRequest, 1: proto.Done, proto.MaxSyncMessages: proto.Done, proto.MaxSyncMessages + 1: proto.BadRequest} {
		w.refused(errno, with(anna).sync(obj{"limit": limit}))
	}
	for limit, errno := range map[int64]proto.Errno{0: proto.BadRequest, proto.MaxConversations: proto.Done, proto.MaxConversations + 1: proto.BadRequest} {
		w.refused(errno, obj{"msgid": proto.CONVERSATIONS, "limit": limit})
	}
}

// A user's logins have a limit, over all devices and addresses, because each may cost
// much. Wrong tokens and passwords don't count, nor do other users.
func TestUserLogins(t *testing.T) {
	t.Parallel()
	var now *atomicTime
	n := serve(t, func(s *setup) {
		now = standing(s)
		s.service.Limits.LoginsPerSecPerUser, s.service.Limits.Burst = 1, 3*time.Second
	})
	ids := n.users("anna", "berta")
	token := n.login(ids[0]).welcome.str("token")
	byToken, byPassword := obj{"msgid": proto.LOGIN, "token": token}, obj{"msgid": proto.LOGIN, "id": ids[0], "password": secret, "device": "new"}
	for range 5 {
		n.dial().refused(proto.Refused, byPassword.with(obj{"password": "wrong 1"}))
	}
	n.dial().ok(byToken)
	n.dial().ok(byPassword)
	n.dial().tooFast(time.Second, byToken)
	n.dial().tooFast(time.Second, byPassword)
	n.login(ids[1])
	if c := n.limited("user_logins"); c != 2 {
		t.Errorf("user_logins counted %d times, want 2", c)
	}
	now.add(time.Second)
	n.dial().ok(byToken)
}

// Requests that change friends, blocks and groups are transactions, of which a user
// may make far fewer than other requests.
func TestChangesCost(t *testing.T) {
	t.Parallel()
	var now *atomicTime
	n := serve(t, func(s *setup) {
		now = standing(s)
		s.service.Limits.AnswersPerSecPerUser, s.service.Limits.Burst = 1000, 2*time.Second
	})
	ids := n.users("anna", "berta")
	w := n.login(ids[0])
	change := obj{"msgid": proto.CREATE_GROUP, "groupname": "group", "groupdesc": ""}
	group := w.ok(change).int("groupid")
	for _, r := range []obj{
		{"msgid": proto.ADD_FRIEND, "friendid": ids[1]},
		{"msgid": proto.DEL_FRIEND, "friendid": ids[1]},
		{"msgid": proto.BLOCK, "userid": ids[1], "on": true},
		{"msgid": proto.KICK_MEMBER, "groupid": group, "userid": ids[1]},
		{"msgid": proto.LEAVE_GROUP, "groupid": group},
		{"msgid": proto.ADD_GROUP, "groupid": group},
		{"msgid": proto.DISMISS_GROUP, "groupid": group},
		change,
	} {
		w.refused(proto.TooFast, r) // because of the change before it
		now.add(70 * time.Second)   // 64 KiB take 66 s; after 90 s, the connection would be idle
		w.call(r)                   // some are refused, but cost a transaction
	}
	w.refused(proto.TooFast, change)
}
