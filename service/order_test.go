package service_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"chatd/model"
	"chatd/proto"
	"chatd/service"
)

// failing is a store that can't store what says "fail" so many times, and
// keeps the run of each text that it is given.
type failing struct {
	service.Store
	svc *service.Service

	mu   sync.Mutex
	left int
	runs map[string]*model.Run
}

func (f *failing) Append(batch ...*model.Append) error {
	var good, bad []*model.Append
	f.mu.Lock()
	for _, a := range batch {
		f.runs[string(a.Body)] = a.Run
		if f.left > 0 && string(a.Body) == "fail" {
			f.left--
			a.Err = errors.New("away")
			bad = append(bad, a)
		} else {
			good = append(good, a)
		}
	}
	f.mu.Unlock()
	if len(bad) > 0 {
		go f.svc.Committed(context.Background(), bad)
	}
	if len(good) > 0 {
		return f.Store.Append(good...)
	}
	return nil
}

// run is that of the last message with this text.
func (f *failing) run(text string) *model.Run {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.runs[text]
}

// serveFailing runs a node on whose store times messages fail, by a clock.
func serveFailing(t *testing.T, times int) (*node, *failing, *atomicTime) {
	now := new(atomicTime)
	now.set(time.Now())
	f := &failing{left: times, runs: make(map[string]*model.Run)}
	n := serve(t, func(s *setup) {
		s.faults = true
		s.reactor.Now = now.get
		s.store = func(st service.Store) service.Store { f.Store = st; return f }
	})
	f.svc = n.svc
	return n, f, now
}

// Where a message could not be stored, nothing that its sender had on the way
// to the same conversation is stored before it comes again, however often it
// fails; other conversations, and others in this one, go on.
func TestFailedKeepsOrder(t *testing.T) {
	t.Parallel()
	n, f, _ := serveFailing(t, 3)
	ids := n.users("anna", "berta", "carla")
	a, a2, b := n.login(ids[0]), n.login(ids[0], obj{"device": "two"}), n.login(ids[1])
	to := with(ids[1])
	fail, behind := to.chat("fail"), to.chat("behind")
	for range 3 {
		a.refused(proto.Unavailable, fail)
		a.refused(proto.Unavailable, behind)
		a.refused(proto.Unavailable, to.chat("of another cid"))
		a.say(with(ids[2]), "elsewhere")
		a2.say(to, "from another device")
		b.say(with(ids[0]), "from the other side")
	}
	again := fail.with(obj{"retry": true})
	first := a.ok(again).int("seq")
	second := a.ok(behind).int("seq")
	if first != 7 || second != 8 {
		t.Errorf("want the two stored as 7 and 8, got %d and %d", first, second)
	}
	if run := f.run("fail"); run != f.run("behind") || run.Failed() {
		t.Error("want both messages in one run that hasn't failed")
	}
	if c := n.count("chatd_service_behind_failed_total"); c != 6 {
		t.Errorf("messages refused in a stopped conversation: want 6, got %v", c)
	}
}

// The first that failed may be stored after all, by way of an earlier
// connection, and then it doesn't come again. The next one does, and all goes on.
func TestFailedAndStored(t *testing.T) {
	t.Parallel()
	n, _, _ := serveFailing(t, 1)
	ids := n.users("anna", "berta")
	a, to := n.login(ids[0]), with(ids[1])
	fail := to.chat("fail")
	second, third := to.chat("second"), to.chat("third")
	a.refused(proto.Unavailable, fail)
	a.refused(proto.Unavailable, second)
	a.refused(proto.Unavailable, third)
	n.login(ids[0], obj{"device": "two"}).ok(fail)
	a.upTo(to, 1)
	a.refused(proto.Unavailable, to.chat("new"))
	if seq := a.ok(second.with(obj{"retry": true})).int("seq"); seq != 2 {
		t.Errorf("the second is stored as %d", seq)
	}
	if seq := a.ok(third.with(obj{"retry": true})).int("seq"); seq != 3 {
		t.Errorf("the third is stored as %d", seq)
	}
}

// One who doesn't try again isn't held up for good, and neither is the next
// session on the connection.
func TestFailedGivenUp(t *testing.T) {
	t.Parallel()
	n, f, now := serveFailing(t, 2)
	ids := n.users("anna", "berta")
	a, to := n.login(ids[0]), with(ids[1])
	a.refused(proto.Unavailable, to.chat("fail"))
	a.refused(proto.Unavailable, to.chat("at once"))
	now.add(14 * time.Second)
	a.refused(proto.Unavailable, to.chat("a little later"))
	now.add(time.Second)
	a.say(to, "much later")
	if f.run("fail") == f.run("much later") || !f.run("fail").Failed() || f.run("much later").Failed() {
		t.Error("want a new run after the failed one")
	}
	a.refused(proto.Unavailable, to.chat("fail"))
	a.ok(obj{"msgid": proto.LOGOUT})
	a.login(ids[0])
	a.say(to, "in another session")
}

// Memory stays bounded while nothing can be stored: who goes on in ever more
// conversations is sent away, and is taken again with a clean slate.
func TestFailedInTooMany(t *testing.T) {
	t.Parallel()
	const most = 1024
	n, _, _ := serveFailing(t, most+1)
	ids := n.users("anna", "berta")
	a := n.login(ids[0])
	for i := range int64(most) {
		a.refused(proto.Unavailable, with(1_000_000+i).chat("fail"))
	}
	a.send(with(2_000_000).chat("fail"))
	if f := a.kicked(); f == nil || f.str("reason") != proto.Slow {
		t.Errorf("%v", f)
	}
	n.login(ids[0]).say(with(ids[1]), "hello")
}
