package delivery

import (
	"cmp"
	"slices"
	"time"

	"chatd/service/session"
)

// delivery is a committed message on its way to the sessions of a loop. Without
// a body it says that a conversation has grown up to seq.
type delivery struct {
	conv, group  int64
	pair         pair
	version, seq int64
	body         []byte
	from         *session.Message // nil: it came from another node, or from repair
}

// deliver brings a message to the cursors that it is next for, and reads the
// log for the others.
func (l *TopicsOnLoop) deliver(t Turn, d *delivery) {
	tp := l.topics[d.conv]
	if tp == nil {
		if d.group != 0 {
			return
		}
		if tp = l.newPair(t, d.conv, d.pair, d.seq); tp == nil {
			return
		}
	}
	if d.body != nil && d.seq > tp.last+1 && l.keepEarly(t, tp, d) {
		return
	}
	if d.from != nil && d.body == nil { // a repeat: its ACK, which comes next, tells the sender that it has the message
		if cu := tp.cursor(t, d.from.Session); cu != nil && cu.sent < d.from.Seq {
			cu.noteAcked(t, d.from.Seq)
		}
	}
	l.push(t, tp, d)
	for len(tp.early) > 0 && tp.early[0].seq <= tp.last+1 {
		l.push(t, tp, tp.takeEarly(t))
	}
}

// keepEarly keeps a message that came before one with a lower seq, and reports
// whether it did. That happens all the time where several nodes store messages
// of one conversation. After earlyWait the log is read instead.
func (l *TopicsOnLoop) keepEarly(t Turn, tp *topicOnLoop, d *delivery) bool {
	if len(tp.early) >= maxEarly {
		return false
	}
	i, found := slices.BinarySearchFunc(tp.early, d.seq, func(e *delivery, seq int64) int { return cmp.Compare(e.seq, seq) })
	if found {
		return true
	}
	tp.early = slices.Insert(tp.early, i, d)
	if d.from != nil { // its ACK doesn't wait, nor does a page of the log that has it
		if cu := tp.cursor(t, d.from.Session); cu != nil {
			cu.noteAcked(t, d.seq)
		}
	}
	if len(tp.early) == 1 {
		tp.earlyRound++
		round, r, index := tp.earlyRound, l.d.r, l.index
		time.AfterFunc(earlyWait, func() {
			_ = r.Post(index, func(t Turn) { // stopped: nobody is left to tell
				if tp.earlyRound == round {
					l.flushEarly(t, tp)
				}
			})
		})
	}
	return true
}

// flushEarly stops waiting for a message that hasn't come.
func (l *TopicsOnLoop) flushEarly(t Turn, tp *topicOnLoop) {
	for len(tp.early) > 0 {
		l.push(t, tp, tp.takeEarly(t))
	}
}

func (tp *topicOnLoop) takeEarly(t Turn) *delivery {
	d := tp.early[0]
	if tp.early = tp.early[1:]; len(tp.early) == 0 {
		tp.early = nil
	}
	return d
}

// push writes a message to the sessions that it is next for. The others get it
// from the log.
func (l *TopicsOnLoop) push(t Turn, tp *topicOnLoop, d *delivery) {
	if tp.dropped {
		return
	}
	if tp.group != 0 && d.version > tp.version {
		l.reload(t, tp, d.version)
	}
	tp.last, tp.used = max(tp.last, d.seq), t.Now()
	backlog := false
	for i := range tp.cursors {
		cu := &tp.cursors[i]
		if cu.sent == unknown && d.seq == 1 && d.body != nil { // the first message ever: nobody has it
			cu.sent = 0
		}
		if cu.sent >= d.seq {
			continue
		}
		// A repeat has no body: its seq is that of the last message, anyone's.
		own := d.from != nil && d.from.Session == cu.session && d.body != nil
		next := cu.sent == d.seq-1 && d.body != nil && !cu.backlog && !tp.reloading && cu.session.Live()
		switch {
		case next && own:
			l.sent(t, tp, cu, d.seq)
		case next:
			cu.session.Conn(t).Write(t, d.body)
			l.d.m.pushes.Inc()
			l.sent(t, tp, cu, d.seq)
		default:
			if own {
				cu.noteAcked(t, d.seq)
			}
			cu.backlog, backlog = true, true
		}
	}
	if backlog {
		l.catchUp(t, tp)
	}
}

// noteAcked notes that the session has seq by its ACK, though it lacks messages
// before it.
func (cu *cursorOnLoop) noteAcked(t Turn, seq int64) {
	if i, found := slices.BinarySearch(cu.acked, seq); !found && len(cu.acked) < maxAcked {
		cu.acked = slices.Insert(cu.acked, i, seq)
	}
}

// takeAcked reports whether the session has seq by its ACK. It forgets all seqs
// up to it.
func (cu *cursorOnLoop) takeAcked(t Turn, seq int64) (acked bool) {
	for len(cu.acked) > 0 && cu.acked[0] <= seq {
		acked = cu.acked[0] == seq
		cu.acked = cu.acked[1:]
	}
	return acked
}
