package delivery

import (
	"errors"
	"math/bits"

	"chatd/reactor"
	"chatd/service/limits"
	"chatd/service/session"
)

// groupEvent is an event for the members of a group.
type groupEvent struct {
	group int64
	body  []byte
	rate  *limits.UserRate // of the sender, who is charged for each receiver; nil: from another node
}

// GroupEvent writes an event to the group's sessions on this loop, except the
// sender's, and collects it for the other loops of this node until HandOver. It
// does nothing and returns false if the loop doesn't know that the sender is a
// member. That may also happen just after the sender has joined.
func (l *TopicsOnLoop) GroupEvent(t Turn, from *session.Session, group int64, body []byte) bool {
	tp := l.topics[group]
	if tp == nil || tp.group == 0 || !l.users[from.User].in(t, tp) {
		return false
	}
	e := groupEvent{group, body, from.Rate}
	l.writeEvent(t, tp, &e, from)
	for loops := l.d.sessions.Watchers(group) &^ (1 << l.index); loops != 0; loops &= loops - 1 {
		i := bits.TrailingZeros64(loops)
		l.events[i] = append(l.events[i], e)
	}
	return true
}

// HandOver ends a turn. It starts the reads of the log that became necessary, and
// posts the events that were collected to the other loops. If the mailbox of a loop
// is too full, its events are dropped and counted.
func (l *TopicsOnLoop) HandOver(t Turn) {
	l.startReads(t)
	for i, es := range l.events {
		if len(es) > 0 {
			l.events[i] = nil
			n := 0
			for j := range es {
				n += len(es[j].body)
			}
			if err := t.PostDroppable(i, n, func(t Turn) { l.d.topics[i].relay(t, es) }); err != nil {
				l.d.m.eventsDropped.Add(len(es))
			}
		}
	}
}

// writeEvent writes an event to the sessions in a topic, and charges the sender for
// each. A session gets no events while its connection has much unsent output.
func (l *TopicsOnLoop) writeEvent(t Turn, tp *topicOnLoop, e *groupEvent, from *session.Session) {
	written := 0
	for i := range tp.cursors {
		if ss := tp.cursors[i].session; ss != from && tp.ready(t, ss) && ss.Conn(t).WriteDroppable(t, e.body) {
			written++
		}
	}
	if e.rate != nil {
		l.d.limits.Pushed(e.rate, t.Now(), written, len(e.body))
	}
}

// relay writes events from another loop or node to the sessions on this loop.
func (l *TopicsOnLoop) relay(t Turn, es []groupEvent) {
	for i := range es {
		if tp := l.topics[es[i].group]; tp != nil && tp.group != 0 {
			l.writeEvent(t, tp, &es[i], nil)
		}
	}
}

// GroupEventElsewhere posts an event from another node to the loops with members
// of the group. If the mailbox of a loop is too full, the event is dropped there
// and counted.
func (d *Delivery) GroupEventElsewhere(group int64, body []byte) {
	es := []groupEvent{{group: group, body: body}}
	for loops := d.sessions.Watchers(group); loops != 0; loops &= loops - 1 {
		i := bits.TrailingZeros64(loops)
		if err := d.r.PostDroppable(i, len(body), func(t Turn) { d.topics[i].relay(t, es) }); errors.Is(err, reactor.ErrBusy) {
			d.m.eventsDropped.Inc()
		} // any other error means that the reactor has stopped
	}
}
