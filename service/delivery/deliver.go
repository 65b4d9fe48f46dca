package delivery

import (
	"cmp"
	"slices"
	"time"

	"chatd/service/session"
)

// update is the outcome of a message on its way to a loop: a stored message for
// the sessions in its conversation. Without a body it only says that the
// conversation has grown up to seq: from repair, from another node, or because a
// message was a repeat (then from is set, and seq is that of the last message).
// Of a message that could not be stored only from is set.
type update struct {
	conv, group  int64
	pair         pair
	version, seq int64
	body         []byte
	from         *session.Message // nil: it came from another node, or from repair
}

// deliver brings a message to the cursors that it is next for, and reads the
// log for the others.
func (l *TopicsOnLoop) deliver(t Turn, up *update) {
	tp := l.topics[up.conv]
	if tp == nil {
		if up.group != 0 {
			return
		}
		if tp = l.newPair(t, up.conv, up.pair, up.seq); tp == nil {
			return
		}
	}
	if up.body != nil && up.seq > tp.last+1 && l.keepEarly(t, tp, up) {
		return
	}
	if up.from != nil && up.body == nil { // a repeat: its ACK, which comes next, tells the sender that it has the message
		if cu := tp.cursor(t, up.from.Session); cu != nil && cu.sent < up.from.Seq {
			cu.noteAcked(t, up.from.Seq)
		}
	}
	l.push(t, tp, up)
	for len(tp.early) > 0 && tp.early[0].seq <= tp.last+1 {
		l.push(t, tp, tp.takeEarly(t))
	}
}

// keepEarly keeps a message that came before one with a lower seq, and reports
// whether it did. That happens all the time where several nodes store messages
// of one conversation. After earlyWait the log is read instead.
func (l *TopicsOnLoop) keepEarly(t Turn, tp *topicOnLoop, up *update) bool {
	if len(tp.early) >= maxEarly {
		return false
	}
	i, found := slices.BinarySearchFunc(tp.early, up.seq, func(e *update, seq int64) int { return cmp.Compare(e.seq, seq) })
	if found {
		return true
	}
	tp.early = slices.Insert(tp.early, i, up)
	if up.from != nil { // its ACK doesn't wait, nor does a page of the log that has it
		if cu := tp.cursor(t, up.from.Session); cu != nil {
			cu.noteAcked(t, up.seq)
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

func (tp *topicOnLoop) takeEarly(t Turn) *update {
	up := tp.early[0]
	if tp.early = tp.early[1:]; len(tp.early) == 0 {
		tp.early = nil
	}
	return up
}

// push writes a message to the sessions that it is next for. The others get it
// from the log.
func (l *TopicsOnLoop) push(t Turn, tp *topicOnLoop, up *update) {
	if tp.dropped {
		return
	}
	if tp.group != 0 && up.version > tp.version {
		l.reload(t, tp, up.version)
	}
	tp.last, tp.used = max(tp.last, up.seq), t.Now()
	backlog := false
	for i := range tp.cursors {
		cu := &tp.cursors[i]
		if cu.sent == unknown && up.seq == 1 && up.body != nil { // the first message ever: nobody has it
			cu.sent = 0
		}
		if cu.sent >= up.seq {
			continue
		}
		// Of a repeat seq is the last message's, which may be anyone's: no body, not own.
		own := up.from != nil && up.from.Session == cu.session && up.body != nil
		next := cu.sent == up.seq-1 && up.body != nil && !cu.backlog && !tp.reloading && cu.session.Live()
		switch {
		case next && own:
			l.advance(t, tp, cu, up.seq)
		case next:
			cu.session.Conn(t).Write(t, up.body)
			l.d.m.pushes.Inc()
			l.advance(t, tp, cu, up.seq)
		default:
			if own {
				cu.noteAcked(t, up.seq)
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
