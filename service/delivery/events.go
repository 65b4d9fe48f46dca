package delivery

import (
	"errors"
	"math/bits"

	"chatd/reactor"
	"chatd/service/session"
)

// groupEvent is an event for the members of a group on another loop.
type groupEvent struct {
	group int64
	body  []byte
}

// GroupEvent writes an event to the sessions of a group here but its sender's,
// and gathers it for the other loops of this node until HandOver. It reports
// false, and does nothing, if the sender's user takes no part in the group here:
// a user who has just joined may not yet.
func (l *TopicsOnLoop) GroupEvent(t Turn, from *session.Session, group int64, body []byte) bool {
	tp := l.topics[group]
	if tp == nil || tp.group == 0 || !l.users[from.User].in(t, tp) {
		return false
	}
	l.writeEvent(t, tp, body, from)
	for loops := l.d.sessions.Watchers(group) &^ (1 << l.index); loops != 0; loops &= loops - 1 {
		i := bits.TrailingZeros64(loops)
		l.events[i] = append(l.events[i], groupEvent{group, body})
	}
	return true
}

// HandOver posts the events that this turn gathered to the other loops. A loop
// with too much on its way to it misses them, and they are counted.
func (l *TopicsOnLoop) HandOver(t Turn) {
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

func (l *TopicsOnLoop) writeEvent(t Turn, tp *topicOnLoop, body []byte, from *session.Session) {
	for i := range tp.cursors {
		if ss := tp.cursors[i].session; ss != from && ss.Live() {
			ss.Conn(t).Write(t, body)
		}
	}
}

// relay writes the events of another loop or node to the sessions here.
func (l *TopicsOnLoop) relay(t Turn, es []groupEvent) {
	for i := range es {
		if tp := l.topics[es[i].group]; tp != nil && tp.group != 0 {
			l.writeEvent(t, tp, es[i].body, nil)
		}
	}
}

// GroupEventElsewhere brings an event of another node to the members here.
func (d *Delivery) GroupEventElsewhere(group int64, body []byte) {
	es := []groupEvent{{group, body}}
	for loops := d.sessions.Watchers(group); loops != 0; loops &= loops - 1 {
		i := bits.TrailingZeros64(loops)
		if err := d.r.PostDroppable(i, len(body), func(t Turn) { d.topics[i].relay(t, es) }); errors.Is(err, reactor.ErrBusy) {
			d.m.eventsDropped.Inc()
		} // stopped: nobody to tell
	}
}
