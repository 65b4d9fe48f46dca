package session

import (
	"testing"

	"chatd/model"
)

// A connection that alternates between conversations doesn't allocate memory,
// and keeps only the last conversation.
func TestIdleConversationIsReused(t *testing.T) {
	var o orderOnLoop
	var turn Turn // the zero value will do: its time isn't used
	say := func(k target) {
		cv := o.use(turn, k)
		cv.inFlight++
		cv.inFlight--
		o.forget(turn, cv)
	}
	say(target{peer: 1})
	if n := testing.AllocsPerRun(100, func() { say(target{peer: 2}); say(target{group: 3}) }); n != 0 {
		t.Errorf("%v allocations for two messages, want 0", n)
	}
	if o.last.target != (target{group: 3}) || len(o.convs) != 0 {
		t.Errorf("kept %+v and %d others, want only group 3", o.last, len(o.convs))
	}
}

// A conversation with messages in flight is kept, with its run, while others are
// used. It is forgotten once it is idle, unless it is stopped.
func TestConversationsInFlight(t *testing.T) {
	var o orderOnLoop
	var turn Turn
	a := o.use(turn, target{peer: 1})
	a.inFlight++
	b := o.use(turn, target{peer: 2})
	b.inFlight++
	c := o.use(turn, target{peer: 3})
	if a == b || b == c || a == c || o.find(turn, target{peer: 1}) != a || o.find(turn, target{peer: 2}) != b {
		t.Fatalf("conversations %p, %p and %p, found %p and %p; want three different ones, and the first two found", a, b, c,
			o.find(turn, target{peer: 1}), o.find(turn, target{peer: 2}))
	}
	if run := a.run; o.use(turn, target{peer: 1}) != a || a.run != run {
		t.Errorf("using peer 1 again: conversation %+v, want the same one with the same run", o.last)
	}
	o.use(turn, target{peer: 3})
	a.inFlight--
	o.forget(turn, a)
	if o.find(turn, target{peer: 1}) != nil || o.find(turn, target{peer: 2}) != b {
		t.Errorf("peer 1, idle, is %+v and peer 2, in flight, is %+v; want nil and %+v", o.find(turn, target{peer: 1}), o.find(turn, target{peer: 2}), b)
	}
	b.inFlight--
	b.state, o.stopped = stopped, 1
	b.run.Fail()
	o.forget(turn, b)
	o.use(turn, target{peer: 4})
	if o.find(turn, target{peer: 2}) != b {
		t.Errorf("the stopped conversation is %+v, want %+v", o.find(turn, target{peer: 2}), b)
	}
	failed := b.run
	if o.use(turn, target{peer: 2}) != b || b.state != open || b.run == failed || b.run.Failed() || o.stopped != 0 {
		t.Errorf("using the stopped conversation: %+v, %d stopped; want it open with a new run, and none stopped", b, o.stopped)
	}
	// A message of an earlier session has no effect.
	o.reset(turn)
	b.inFlight++
	b.inFlight--
	o.forget(turn, b)
	if o.find(turn, target{peer: 2}) != nil || o.last != nil || o.failed(turn, &Message{Append: model.Append{Peer: 2}}) {
		t.Errorf("after a reset: peer 2 is %+v, the last one %+v; want nil for both, and no failed conversation", o.find(turn, target{peer: 2}), o.last)
	}
}
