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

// failing is a store that fails to store the first messages with the text
// "fail". It records the run of each text.
type failing struct {
	service.Store
	svc *service.Service

	mu   sync.Mutex
	left int                   // how many more messages fail
	runs map[string]*model.Run // by text
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

// run returns the run of the last message with this text.
func (f *failing) run(text string) *model.Run {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.runs[text]
}

// serveFailing starts a node whose store fails this many times. It also returns
// the node's clock.
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

// If a message can't be stored, later ones of the same connection in the same
// conversation aren't stored before it is resent, however often it fails. The
// connection's other conversations, and other senders, aren't affected.
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
		a.refused(proto.Unavailable, to.chat("with another cid"))
		a.say(with(ids[2]), "in another conversation")
		a2.say(to, "from another device")
		b.say(with(ids[0]), "from the other user")
	}
	again := fail.with(obj{"retry": true})
	first := a.ok(again).int("seq")
	second := a.ok(behind).int("seq")
	if first != 7 || second != 8 {
		t.Errorf("the resent messages have seqs %d and %d, want 7 and 8", first, second)
	}
	if run := f.run("fail"); run != f.run("behind") || run.Failed() {
		t.Error("the resent messages are in different runs or in a failed one, want one run that hasn't failed")
	}
	if c := n.count("chatd_service_behind_failed_total"); c != 6 {
		t.Errorf("chatd_service_behind_failed_total is %v, want 6", c)
	}
}

// The first message that failed may have been stored through another
// connection, so that the client doesn't resend it. Then the next refused
// message, when resent, opens the conversation again.
func TestFailedMessageStoredElsewhere(t *testing.T) {
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
		t.Errorf("the second message has seq %d, want 2", seq)
	}
	if seq := a.ok(third.with(obj{"retry": true})).int("seq"); seq != 3 {
		t.Errorf("the third message has seq %d, want 3", seq)
	}
}

// If the client doesn't resend a refused message, the conversation opens again
// after 15 s. A new session on the connection starts with open conversations.
func TestStoppedConversationOpensAgain(t *testing.T) {
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
		t.Error("the conversation has the failed run after it opened again, want a new one")
	}
	a.refused(proto.Unavailable, to.chat("fail"))
	a.ok(obj{"msgid": proto.LOGOUT})
	a.login(ids[0])
	a.say(to, "in another session")
}

// A connection with too many stopped conversations is closed, to bound memory.
// The user can log in again and send.
func TestTooManyStoppedConversations(t *testing.T) {
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
		t.Errorf("got %v, want KICK with reason %s", f, proto.Slow)
	}
	n.login(ids[0]).say(with(ids[1]), "hello")
}
