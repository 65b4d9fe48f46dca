package service_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chatd/model"
	"chatd/proto"
	"chatd/service"
	"chatd/service/limits"
	"chatd/service/login"
)

// Wrong passwords from one address lock out this address, not the account's owner,
// who logs in from another one. Guesses by ID and by name count together. Only far
// more wrong passwords, from many addresses, lock the account itself. Tokens work
// all the time.
func TestGuessesDoNotLockOutOwner(t *testing.T) {
	t.Parallel()
	n := serve(t, trustLoopback, func(s *setup) {
		standing(s)
		s.service.Limits = limits.DefaultConfig()
		s.service.Limits.LoginsPerSecPerAddr, s.service.Limits.PasswordsPerSecPerAddr = 0, 0
	})
	anna := n.user("anna")
	byID, byName := obj{"msgid": proto.LOGIN, "id": anna, "password": secret}, obj{"msgid": proto.LOGIN, "name": "Anna", "password": secret}
	wrong := obj{"password": "a wrong one"}
	token := n.behind("192.0.2.200").ok(byID.with(obj{"device": "phone"})).str("token")
	guesser := n.behind("192.0.2.1")
	for range 5 {
		guesser.refused(proto.Refused, byID.with(wrong))
		guesser.refused(proto.Refused, byName.with(wrong))
	}
	guesser.refused(proto.TooFast, byID)
	guesser.refused(proto.TooFast, byName)
	n.behind("192.0.2.2").ok(byName)
	for i := 2; i <= 100; i++ {
		w := n.behind(fmt.Sprint("198.51.100.", i))
		for range 10 {
			w.refused(proto.Refused, byName.with(wrong))
		}
		w.close()
	}
	n.behind("192.0.2.2").refused(proto.TooFast, byID) // 1,000 wrong passwords
	n.behind("192.0.2.2").ok(obj{"msgid": proto.LOGIN, "token": token})
	if a, b := n.limited("failed_account_and_address"), n.limited("failed_account"); a != 2 || b != 1 {
		t.Errorf("the limit of an account and an address was reached %d times, and that of an account %d times; want 2 and 1", a, b)
	}
}

// A wrong password counts on all nodes.
func TestNodesShareWrongPasswords(t *testing.T) {
	t.Parallel()
	one := serve(t, func(s *setup) {
		standing(s)
		s.service.Limits.FailedLoginsPerAccountAddr, s.service.Limits.FailedLoginsTime = 4, time.Minute
	})
	two := one.second()
	anna := one.user("anna")
	wrong := obj{"msgid": proto.LOGIN, "id": anna, "password": "a wrong one"}
	for range 2 {
		one.dial().refused(proto.Refused, wrong)
		two.dial().refused(proto.Refused, wrong)
	}
	// A right password doesn't count, so only the other node's guesses can exceed the limit.
	for _, n := range []*node{one, two} {
		eventually(t, "the other node's guesses to count", func() bool {
			w := n.dial()
			defer w.close()
			return proto.Errno(w.call(wrong.with(obj{"password": secret})).int("errno")) == proto.TooFast
		})
	}
}

// blockedUsers is a store in which the lookup of one name waits until gate is closed.
// It records in which order others are looked up or created.
type blockedUsers struct {
	service.Store
	blocked atomic.Bool
	gate    chan struct{}
	mu      sync.Mutex
	order   []string
}

func (s *blockedUsers) UserByNameKey(ctx context.Context, key string) (model.User, error) {
	if key == "blocker" {
		s.blocked.Store(true)
		<-s.gate
	} else {
		s.mu.Lock()
		s.order = append(s.order, key)
		s.mu.Unlock()
	}
	return s.Store.UserByNameKey(ctx, key)
}

// While six addresses register users as fast as they may, a login by password from
// another address is served next, and addresses take turns.
func TestLoginsBeforeRegistrations(t *testing.T) {
	t.Parallel()
	st := &blockedUsers{gate: make(chan struct{})}
	open := sync.OnceFunc(func() { close(st.gate) })
	defer open()
	n := serve(t, trustLoopback, func(s *setup) {
		s.reactor.SlowLanes = 1
		s.store = func(in service.Store) service.Store { st.Store = in; return st }
	})
	n.user("anna")
	blocker := n.dial()
	rid := blocker.ask(obj{"msgid": proto.REG, "name": "blocker", "password": secret})
	eventually(t, "the only slow worker to be busy", st.blocked.Load)
	var all []*wire
	var rids []int64
	ask := func(addr string, r obj) {
		w := n.behind(addr)
		all, rids = append(all, w), append(rids, w.ask(r))
		w.ok(obj{"msgid": proto.PING}) // the request is in the queue now
	}
	for i := range 6 {
		for k := range 5 {
			ask(fmt.Sprint("192.0.2.", i+1), obj{"msgid": proto.REG, "name": fmt.Sprintf("puppet%d-%d", i, k), "password": secret})
		}
	}
	ask("192.0.2.100", obj{"msgid": proto.REG, "name": "berta", "password": secret})
	ask("192.0.2.101", obj{"msgid": proto.LOGIN, "name": "anna", "password": secret})
	open()
	blocker.answer(rid)
	for i, w := range all {
		if f := w.answer(rids[i]); proto.Errno(f.int("errno")) != proto.Done {
			t.Errorf("request %d got %v, want errno 0", i, f)
		}
	}
	want := []string{"anna"}
	for i := range 6 {
		want = append(want, fmt.Sprintf("puppet%d-0", i))
	}
	if want = append(want, "berta"); fmt.Sprint(st.order[:8]) != fmt.Sprint(want) {
		t.Errorf("the slow worker's first jobs are for %v, want %v", st.order[:8], want)
	}
}

// Passwords on a list of common ones, in any case, are refused at REG and PASSWORD. At
// LOGIN they are just wrong or right.
func TestCommonPasswords(t *testing.T) {
	t.Parallel()
	n := serve(t)
	w := n.dial()
	for _, common := range []string{"123456", "Password", "qwertyuiop"} {
		if f := w.refused(proto.BadRequest, obj{"msgid": proto.REG, "name": "anna", "password": common}); !strings.Contains(f.str("errmsg"), "common") {
			t.Errorf("REG with password %q got %v, want an errmsg that says the password is too common", common, f)
		}
	}
	anna := n.user("anna")
	in := n.login(anna)
	in.refused(proto.BadRequest, obj{"msgid": proto.PASSWORD, "password": secret, "newpassword": "iloveyou"})
	in.ok(obj{"msgid": proto.PASSWORD, "password": secret, "newpassword": "I love yams"})
	n.dial().refused(proto.Refused, obj{"msgid": proto.LOGIN, "id": anna, "password": "iloveyou"})
}

// With registration off, REG gets errno 6, and features in LOGIN_ACK doesn't contain
// "register".
func TestRegistrationOff(t *testing.T) {
	t.Parallel()
	n := serve(t, func(s *setup) { s.service.Login.Registration = "off" })
	n.dial().refused(proto.NotAllowed, obj{"msgid": proto.REG, "name": "anna", "password": secret})
	if w := n.login(n.user("berta")); fmt.Sprint(w.welcome["features"]) != "[]" {
		t.Errorf("LOGIN_ACK is %v, want no features", w.welcome)
	}
}

// With registration by invitation, REG needs a valid code. Concurrent registrations
// can't use a code more often than it allows. A name that is taken uses nothing up,
// and isn't revealed without a code. Wrong codes count as wrong passwords from their
// address.
func TestRegistrationByInvitation(t *testing.T) {
	t.Parallel()
	n := serve(t, func(s *setup) {
		standing(s)
		s.service.Login.Registration = "invite"
		s.service.Limits.FailedLoginsPerAddr, s.service.Limits.FailedLoginsTime = 8, time.Minute
	})
	n.user("anna")
	const code = "THECODETHECODETHECODETHEC1"
	if _, err := n.db.CreateInvite(t.Context(), login.InviteHash(code), 3, time.Hour); err != nil {
		t.Fatal(err)
	}
	reg := func(name, code string) obj {
		r := obj{"msgid": proto.REG, "name": name, "password": secret}
		if code != "" {
			r["code"] = code
		}
		return r
	}
	w := n.dial()
	w.refused(proto.NotFound, reg("anna", ""))
	w.refused(proto.NotFound, reg("anna", "WRONG"))
	w.refused(proto.Refused, reg("anna", code))
	var made atomic.Int32
	var all []func()
	for i := range 6 {
		w, name := n.dial(), fmt.Sprint("user ", i)
		all = append(all, func() {
			switch f := w.call(reg(name, code)); proto.Errno(f.int("errno")) {
			case proto.Done:
				made.Add(1)
			case proto.NotFound:
			default:
				t.Errorf("REG got %v, want errno 0 or 5", f)
			}
		})
	}
	together(all...)
	if made.Load() != 3 {
		t.Errorf("%d users have registered with a code for 3", made.Load())
	}
	for range 4 { // with one before, and three who came too late
		w.refused(proto.NotFound, reg("berta", "WRONG"))
	}
	w.refused(proto.TooFast, reg("berta", "WRONG"))
}
