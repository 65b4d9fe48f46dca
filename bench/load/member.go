package load

import (
	"errors"
	"fmt"

	"chatd/proto"
)

// receiptEvery is how many messages one RECEIPT of a receiver covers. Clients
// say what has arrived as seldom as they like; one that never does would get
// everything again at its next login.
const receiptEvery = 256

// member is one connection in a room. It hears what others say there, and may
// have a voice itself. What has no word about it is for the goroutine that
// reads alone.
type member struct {
	room   *Room
	l      *Generator
	c      *Conn
	who    string
	sender *sender // nil: it only hears

	view      *view
	recorder  *Recorder // of what it hears; nil: nothing
	delivered []int64   // of each voice, what has been passed on to it
	latencies struct{ acks, pushes []int64 }
	ackCount  int64 // that have come

	receipted int64 // the last seq receipted
	lastSent  int64 // when it last said that it is there
	pings     int   // on the way
	finishing bool
}

// receivedCount is how many of the room's messages have arrived, its own among them,
// once that can be told.
func (m *member) receivedCount() int64 {
	n := m.view.received()
	if m.sender != nil {
		n += m.sender.total // settled before the room's final was
	}
	return n
}

// read reads until everything that was said in the room is there and, by a
// PONG, nothing comes after it.
func (m *member) read() error {
	if s := m.sender; s != nil {
		defer s.abandon()
		if err := s.send(); err != nil {
			return m.wrapError("send", err)
		}
	}
	for {
		woken, err := m.l.read(m.c)
		if err != nil {
			return m.wrapError("read", err)
		}
		if woken && m.sender != nil {
			err = m.sender.resumeIfDue()
		}
		now := m.l.Clock.Now()
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

// handleFrame takes a frame. It has ended once that is the last.
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
	case a.Op == proto.ADD_GROUP && m.room.GroupID != 0: // the last to join
	default:
		return false, unexpectedFrame(a)
	}
	return false, nil
}

// checkPush takes a message that was delivered.
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
		m.view.faults.addf("%s: seq %d arrived altered, or is for somebody else", m.view.who, a.Seq)
		return
	}
	place := f.seq
	if !m.room.stored {
		place = m.view.nextPosition()
	}
	m.room.Cache.store(place, body, f)
	m.recordPush(&f, now)
}

// recordPush takes a message that is unaltered.
func (m *member) recordPush(f *cachedFrame, now int64) {
	if m.room.stored {
		m.view.addMessage(f.seq, f.sender, f.number)
	} else {
		m.view.addEvent(f.sender, f.number)
	}
	m.latencies.pushes = append(m.latencies.pushes, now-f.sent)
}

// flushLatencies counts what one read has brought.
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

// afterRead says what a client says after each read, and what that read has made
// room for.
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

// wrapError is err in words; where the load has given up waiting, that is what
// it means.
func (m *member) wrapError(what string, err error) error {
	who := m.view.who
	if s := m.sender; s != nil && m.room.stored {
		who = s.acks.who
		if missing := s.inFlight(); missing > 0 && m.l.abandoned.Load() && isTimeout(err) {
			return errors.New(who + ": " + m.l.missingText(missing, "answers"))
		}
	}
	if !m.l.abandoned.Load() || !isTimeout(err) {
		return fmt.Errorf("%s: %s: %w", who, what, err)
	}
	final := m.room.finalCount.Load()
	if final < 0 {
		return nil // what is missing is another's to tell
	}
	return errors.New(who + ": " + m.l.missingText(final-m.receivedCount(), m.room.noun()))
}
