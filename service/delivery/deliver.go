package delivery

import (
	"cmp"
	"slices"
	"time"

	"chatd/reactor"
	"chatd/service/bus"
	"chatd/service/session"
)

// update tells a loop about a conversation. There are five kinds:
//
//   - A stored message: body and seq are set; from too if it was sent on a
//     connection of this node.
//   - Neither body nor from is set: the log has messages up to seq. It comes from
//     repair or another node.
//   - A retried message that was stored before: from is set, but no body. seq is
//     that of the last message in the conversation.
//   - A message that couldn't be stored: only from is set.
//   - A change of a group's members: only members is set, and except if a session
//     made the change.
type update struct {
	conv, group  int64
	pair         pair
	version, seq int64
	body         []byte
	frames       *frames          // has body, as a frame
	start, end   int              // of the frame
	from         *session.Message // nil: from another node or from repair
	members      *bus.Members
	except       *session.Session // gets no notice of the change
}

// deliver pushes a run of messages to the sessions for which they are next. For the
// other sessions in the conversation it reads the log.
func (l *TopicsOnLoop) deliver(t Turn, run []*update) {
	up := run[0]
	tp := l.topics[up.conv]
	if tp == nil {
		if up.group != 0 {
			return
		}
		if tp = l.newPair(t, up.conv, up.pair, up.seq); tp == nil {
			return
		}
	}
	if up.body != nil && up.seq > tp.last+1 {
		for i := range run {
			if !l.keepEarly(t, tp, run[i]) {
				l.push(t, tp, run[i:])
				l.pushEarly(t, tp)
				break
			}
		}
		return
	}
	if up.from != nil && up.body == nil { // a retried message; its ACK follows, so it must not be pushed to the sender
		if cu := tp.cursor(t, up.from.Session); cu != nil && cu.sent < up.from.Seq {
			cu.noteAcked(t, up.from.Seq)
		}
	}
	l.push(t, tp, run)
	l.pushEarly(t, tp)
}

// pushEarly pushes the messages that keepEarly holds back and that are next.
func (l *TopicsOnLoop) pushEarly(t Turn, tp *topicOnLoop) {
	for len(tp.early) > 0 && tp.early[0].seq <= tp.last+1 {
		l.push(t, tp, []*update{tp.takeEarly(t)})
	}
}

// keepEarly holds a message back because messages with lower seqs haven't
// arrived yet. That is common if several nodes store messages in one
// conversation. After earlyWait the missing messages are read from the log. It
// returns false if too many messages are held already.
func (l *TopicsOnLoop) keepEarly(t Turn, tp *topicOnLoop, up *update) bool {
	if len(tp.early) >= maxEarly {
		return false
	}
	i, found := slices.BinarySearchFunc(tp.early, up.seq, func(e *update, seq int64) int { return cmp.Compare(e.seq, seq) })
	if found {
		return true
	}
	tp.early = slices.Insert(tp.early, i, up)
	if up.from != nil { // its ACK isn't held back, and a page of the log may have the message before it is pushed
		if cu := tp.cursor(t, up.from.Session); cu != nil {
			cu.noteAcked(t, up.seq)
		}
	}
	if len(tp.early) == 1 {
		tp.earlyRound++
		round, r, index := tp.earlyRound, l.d.r, l.index
		time.AfterFunc(earlyWait, func() {
			_ = r.Post(index, func(t Turn) { // an error means that the reactor has stopped
				if tp.earlyRound == round {
					l.flushEarly(t, tp)
				}
			})
		})
	}
	return true
}

// flushEarly pushes all messages that keepEarly holds back.
func (l *TopicsOnLoop) flushEarly(t Turn, tp *topicOnLoop) {
	for len(tp.early) > 0 {
		l.push(t, tp, []*update{tp.takeEarly(t)})
	}
}

func (tp *topicOnLoop) takeEarly(t Turn) *update {
	up := tp.early[0]
	if tp.early = tp.early[1:]; len(tp.early) == 0 {
		tp.early = nil
	}
	return up
}

// push writes a run of messages to the sessions for which they are next. It marks
// the others as having a backlog, and starts reading the log for them.
func (l *TopicsOnLoop) push(t Turn, tp *topicOnLoop, run []*update) {
	if tp.dropped {
		return
	}
	up, last := run[0], run[len(run)-1].seq
	if tp.group != 0 && up.version > tp.version {
		l.reload(t, tp, up.version)
	}
	tp.last, tp.used = max(tp.last, last), t.Now()
	var frames *reactor.Frames
	backlog, pushes := false, 0
	for i := range tp.cursors {
		cu := &tp.cursors[i]
		if cu.sent == unknown && up.seq == 1 && up.body != nil { // the first message of the conversation: nobody has it
			cu.sent = 0
		}
		if cu.sent >= last {
			continue
		}
		// A retried message has no body, and seq may be that of anyone's
		// message.
		own := up.from != nil && up.from.Session == cu.session && up.body != nil
		next := cu.sent >= up.seq-1 && up.body != nil && !cu.backlog && !tp.reloading && tp.ready(t, cu.session)
		switch {
		case next && own:
			l.advance(t, tp, cu, last)
		case next && cu.sent >= up.seq: // the session has the first messages of the run
			for _, rest := range run[cu.sent-up.seq+1:] {
				cu.session.Conn(t).Write(t, rest.body)
				pushes++
			}
			l.advance(t, tp, cu, last)
		case next:
			if frames == nil {
				frames = framesOf(run)
			}
			cu.session.Conn(t).WriteFrames(t, frames)
			pushes += len(run)
			l.advance(t, tp, cu, last)
		default:
			for _, m := range run {
				if own && m.seq > cu.sent {
					cu.noteAcked(t, m.seq)
				}
			}
			cu.backlog, backlog = true, true
		}
	}
	l.d.m.pushes.Add(pushes)
	if backlog {
		l.catchUp(t, tp)
	}
}

// noteAcked records that the session's client has the message with this seq
// because it got the ACK, although it lacks earlier messages.
func (cu *cursorOnLoop) noteAcked(t Turn, seq int64) {
	if i, found := slices.BinarySearch(cu.acked, seq); !found && len(cu.acked) < maxAcked {
		cu.acked = slices.Insert(cu.acked, i, seq)
	}
}

// takeAcked reports whether noteAcked has recorded seq. It removes all records
// up to seq.
func (cu *cursorOnLoop) takeAcked(t Turn, seq int64) (acked bool) {
	for len(cu.acked) > 0 && cu.acked[0] <= seq {
		acked = cu.acked[0] == seq
		cu.acked = cu.acked[1:]
	}
	return acked
}
