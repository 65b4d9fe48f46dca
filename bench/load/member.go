package load

import (
	"errors"
	"fmt"

	"chatd/proto"
)

// receiptEvery is how many messages one RECEIPT covers. Clients may send it
// rarely, but without it the server would deliver everything again at the next
// login.
const receiptEvery = 256

// member is one connection in a room. It receives messages and may send some.
// Unless said otherwise, only its reading goroutine uses it.
type member struct {
	room      *Room
	generator *Generator
	c         *Conn
	who       string
	sender    *sender // nil: it only receives

	view      *view
	recorder  *Recorder // of what it receives; nil: nothing
	delivered []int64   // for each sender, how many of its messages were passed on to sender.delivered
	latencies struct{ acks, pushes []int64 }
	ackCount  int64 // ACKs that have arrived

	receipted int64 // last seq covered by a RECEIPT
	lastSent  int64 // time of its last RECEIPT or PING
	pings     int   // PINGs without an answer
	finishing bool
}

// receivedCount returns how many of the room's messages the member has, its own
// included. It is exact once finalCount is known.
func (m *member) receivedCount() int64 {
	n := m.view.received()
	if m.sender != nil {
		n += m.sender.total // final before the room's finalCount is
	}
	return n
}

// read reads until the member has all messages of the room and a PONG shows
// that nothing follows.
func (m *member) read() error {
	if s := m.sender; s != nil {
		defer s.abandon()
		if err := s.send(); err != nil {
			return m.wrapError("send", err)
		}
	}
	for {
		woken, err := m.generator.read(m.c)
		if err != nil {
			return m.wrapError("read", err)
		}
		if woken && m.sender != nil {
			err = m.sender.resumeIfDue()
		}
		now := m.generator.Clock.Now()
		ended := false
		for err == nil && !ended {
			var body []byte
			if body, err = m.c.frame(); body == nil {
				break
			}
			ended, err = m.handleFrame(body, now)
		}
		m.flushLatencies()
		if err == nil {
			err = m.afterRead(now, ended)
		}
		if err != nil {
			return m.wrapError("read", err)
		}
		if ended {
			return nil
		}
	}
}

// handleFrame handles a frame. It returns true for the last one, the final
// PONG.
func (m *member) handleFrame(body []byte, now int64) (ended bool, err error) {
	if f := m.room.Cache.lookup(m.view.nextPosition(), body); f != nil {
		m.recordPush(f, now)
		return false, nil
	}
	a, err := m.c.decode(body)
	if err != nil {
		return false, err
	}
	switch {
	case a.Op == m.room.op && m.recorder != nil:
		m.checkPush(a, body, now)
	case m.sender != nil && m.room.stored && a.Op == m.room.op.Ack():
		m.ackCount++
		sent, ok, err := m.sender.handleAck(a)
		if ok {
			m.latencies.acks = append(m.latencies.acks, now-sent)
		}
		return false, err
	case a.Op == proto.PONG:
		m.pings--
		return m.finishing && m.pings == 0, nil
	case (a.Op == proto.ADD_FRIEND || a.Op == proto.PRESENCE) && m.room.GroupID == 0 && m.generator.Server.HasLimits(): // see Befriend
	case a.Op == proto.ADD_GROUP && m.room.GroupID != 0: // sent to members when the last one joins
	default:
		return false, unexpectedFrame(a)
	}
	return false, nil
}

func (m *member) checkPush(a *proto.Response, body []byte, now int64) {
	text, name := a.Msg, ""
	if a.Op == proto.EVENT {
		text, name = a.Data, eventName
	}
	s := m.room.senderOf(a.ID)
	var f cachedFrame
	ok := s != nil && s != m.sender && a.ToID == m.room.toID && a.GroupID == m.room.GroupID && string(a.Event) == name
	if ok {
		f.seq, f.sender = a.Seq, s.index
		f.number, f.sent, ok = s.template.read(text)
	}
	if !ok {
		m.view.count++
		m.view.faults.addf("%s: seq %d has an altered text, or was sent to the wrong user", m.view.who, a.Seq)
		return
	}
	position := f.seq
	if !m.room.stored {
		position = m.view.nextPosition()
	}
	m.room.Cache.store(position, body, f)
	m.recordPush(&f, now)
}

// recordPush records a pushed message that arrived unchanged.
func (m *member) recordPush(f *cachedFrame, now int64) {
	if m.room.stored {
		m.view.addMessage(f.seq, f.sender, f.number)
	} else {
		m.view.addEvent(f.sender, f.number)
	}
	m.latencies.pushes = append(m.latencies.pushes, now-f.sent)
}

// flushLatencies passes the latencies of one read to the recorders.
func (m *member) flushLatencies() {
	if len(m.latencies.acks) > 0 {
		m.sender.recorder.Add(m.latencies.acks)
		m.latencies.acks = m.latencies.acks[:0]
	}
	if len(m.latencies.pushes) > 0 {
		m.recorder.Add(m.latencies.pushes)
		m.latencies.pushes = m.latencies.pushes[:0]
	}
}

// afterRead sends what a client sends after a read: RECEIPT, PING, and new
// messages if the window has room again.
func (m *member) afterRead(now int64, ended bool) error {
	if m.sender != nil && m.room.stored {
		if err := m.sender.releaseAcked(m.ackCount); err != nil {
			return err
		}
	}
	if !m.room.stored {
		for i, had := range m.delivered {
			if last := m.view.senders[i].last; last != had {
				m.delivered[i] = last
				if err := m.room.senders[i].delivered(had, last); err != nil {
					return err
				}
			}
		}
	}
	late := now-m.lastSent > int64(keepAliveInterval)
	if due := m.view.seqs.last - m.receipted; m.room.stored && m.sender == nil && (due >= receiptEvery || due > 0 && (late || ended)) {
		m.receipted, m.lastSent, late = m.view.seqs.last, now, false
		req := m.room.Receipt
		req.Seq = m.receipted
		if err := m.c.send(&req); err != nil {
			return err
		}
	}
	final := m.room.finalCount.Load()
	if complete := final >= 0 && m.receivedCount() >= final; complete && !m.finishing || late && !ended {
		m.finishing, m.lastSent = complete, now
		m.pings++
		return m.c.ping()
	}
	return nil
}

// wrapError adds the member's name to err. If the generator gave up waiting, it
// says what is missing.
func (m *member) wrapError(what string, err error) error {
	who := m.view.who
	if s := m.sender; s != nil && m.room.stored {
		who = s.acks.who
		if missing := s.inFlight(); missing > 0 && m.generator.abandoned.Load() && isTimeout(err) {
			return errors.New(who + ": " + m.generator.missingText(missing, "answers"))
		}
	}
	if !m.generator.abandoned.Load() || !isTimeout(err) {
		return fmt.Errorf("%s: %s: %w", who, what, err)
	}
	final := m.room.finalCount.Load()
	if final < 0 {
		return nil // another member reports what is missing
	}
	return errors.New(who + ": " + m.generator.missingText(final-m.receivedCount(), m.room.noun()))
}
