package session

import (
	"testing"

	"chatd/model"
)

// A connection that says one thing here and one thing there costs nothing for
// each change of the conversation, and keeps only the last one.
func TestIdleConversationIsReused(t *testing.T) {
	var o orderOnLoop
	var turn Turn // none of this asks for the time
	say := func(k target) {
		cv := o.use(turn, k)
		cv.inFlight++
		cv.inFlight--
		o.forget(turn, cv)
	}
	say(target{peer: 1})
	if n := testing.AllocsPerRun(100, func() { say(target{peer: 2}); say(target{group: 3}) }); n != 0 {
		t.Errorf("%v allocations for two messages, want none", n)
	}
	if o.last.target != (target{group: 3}) || len(o.convs) != 0 {
		t.Errorf("kept %+v and %d others, want the last conversation alone", o.last, len(o.convs))
	}
}

// A conversation with messages in flight keeps its run while others are used, and
// is forgotten once it is idle. A stopped one stays.
func TestConversationsInFlight(t *testing.T) {
	var o orderOnLoop
	var turn Turn
	a := o.use(turn, target{peer: 1})
	a.inFlight++
	b := o.use(turn, target{peer: 2})
	b.inFlight++
	c := o.use(turn, target{peer: 3})
	if a == b || b == c || a == c || o.find(turn, target{peer: 1}) != a || o.find(turn, target{peer: 2}) != b {
		t.Fatal("want three conversations, of which the two in flight are kept")
	}
	if run := a.run; o.use(turn, target{peer: 1}) != a || a.run != run {
		t.Error("want the same conversation with the same run again")
	}
	o.use(turn, target{peer: 3})
	a.inFlight--
	o.forget(turn, a)
	if o.find(turn, target{peer: 1}) != nil || o.find(turn, target{peer: 2}) != b {
		t.Error("want the idle conversation forgotten, and the one in flight kept")
	}
	b.inFlight--
	b.state, o.stopped = stopped, 1
	b.run.Fail()
	o.forget(turn, b)
	o.use(turn, target{peer: 4})
	if o.find(turn, target{peer: 2}) != b {
		t.Error("want the stopped conversation kept")
	}
	failed := b.run
	if o.use(turn, target{peer: 2}) != b || b.state != open || b.run == failed || b.run.Failed() || o.stopped != 0 {
		t.Errorf("want it open with a new run, got %+v", b)
	}
	// The outcome of a message of an earlier session changes nothing.
	o.reset(turn)
	b.inFlight++
	b.inFlight--
	o.forget(turn, b)
	if o.find(turn, target{peer: 2}) != nil || o.last != nil || o.failed(turn, &Message{Append: model.Append{Peer: 2}}) {
		t.Error("want nothing left of an earlier session")
	}
}
