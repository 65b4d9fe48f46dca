package main

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
	room  *room
	l     *load
	c     *conn
	who   string
	voice *voice // nil: it only hears

	got       *view
	meter     *meter  // of what it hears; nil: nothing
	heard     []int64 // of each voice, what has been passed on to it
	latencies struct{ acks, pushes []int64 }
	answers   int64 // that have come

	receipts int64 // the last seq receipted
	spoke    int64 // when it last said that it is there
	pings    int   // on the way
	ending   bool
}

// has is how many of the room's messages have arrived, its own among them,
// once that can be told.
func (m *member) has() int64 {
	n := m.got.progress()
	if m.voice != nil {
		n += m.voice.total // settled before the room's final was
	}
	return n
}

// read reads until everything that was said in the room is there and, by a
// PONG, nothing comes after it.
func (m *member) read() error {
	if v := m.voice; v != nil {
		defer v.abandon()
		if err := v.send(); err != nil {
			return m.broken("send", err)
		}
	}
	for {
		woken, err := m.l.fill(m.c)
		if err != nil {
			return m.broken("read", err)
		}
		if woken && m.voice != nil {
			err = m.voice.resume()
		}
		now := m.l.clock.now()
		ended := false
		for err == nil && !ended {
			var body []byte
			if body, err = m.c.frame(); body == nil {
				break
			}
			ended, err = m.take(body, now)
		}
		m.count()
		if err == nil {
			err = m.turn(now, ended)
		}
		if err != nil {
			return m.broken("read", err)
		}
		if ended {
			return nil
		}
	}
}

// take takes a frame. It has ended once that is the last.
func (m *member) take(body []byte, now int64) (ended bool, err error) {
	if f := m.room.known.find(m.got.next(), body); f != nil {
		m.hear(f, now)
		return false, nil
	}
	a, err := m.c.decode(body)
	if err != nil {
		return false, err
	}
	switch {
	case a.Op == m.room.op && m.meter != nil:
		m.check(a, body, now)
	case m.voice != nil && m.room.stored && a.Op == m.room.op.Ack():
		m.answers++
		sent, ok, err := m.voice.answer(a)
		if ok {
			m.latencies.acks = append(m.latencies.acks, now-sent)
		}
		return false, err
	case a.Op == proto.PONG:
		m.pings--
		return m.ending && m.pings == 0, nil
	case a.Op == proto.ADD_GROUP && m.room.groupID != 0: // the last to join
	default:
		return false, unexpected(a)
	}
	return false, nil
}

// check takes a message that was delivered.
func (m *member) check(a *proto.Response, body []byte, now int64) {
	text, name := a.Msg, ""
	if a.Op == proto.EVENT {
		text, name = a.Data, eventName
	}
	v := m.room.voiceOf(a.ID)
	var f knownFrame
	ok := v != nil && v != m.voice && a.ToID == m.room.toID && a.GroupID == m.room.groupID && string(a.Event) == name
	if ok {
		f.seq, f.voice = a.Seq, v.index
		f.number, f.sent, ok = v.template.read(text)
	}
	if !ok {
		m.got.count++
		m.got.faults.addf("%s: seq %d arrived altered, or is for somebody else", m.got.who, a.Seq)
		return
	}
	place := f.seq
	if !m.room.stored {
		place = m.got.next()
	}
	m.room.known.keep(place, body, f)
	m.hear(&f, now)
}

// hear takes a message that is unaltered.
func (m *member) hear(f *knownFrame, now int64) {
	if m.room.stored {
		m.got.chat(f.seq, f.voice, f.number)
	} else {
		m.got.event(f.voice, f.number)
	}
	m.latencies.pushes = append(m.latencies.pushes, now-f.sent)
}

// count counts what one read has brought.
func (m *member) count() {
	if len(m.latencies.acks) > 0 {
		m.voice.meter.add(m.latencies.acks)
		m.latencies.acks = m.latencies.acks[:0]
	}
	if len(m.latencies.pushes) > 0 {
		m.meter.add(m.latencies.pushes)
		m.latencies.pushes = m.latencies.pushes[:0]
	}
}

// turn says what a client says after each read, and what that read has made
// room for.
func (m *member) turn(now int64, ended bool) error {
	if m.voice != nil && m.room.stored {
		if err := m.voice.answered(m.answers); err != nil {
			return err
		}
	}
	if !m.room.stored {
		for i, had := range m.heard {
			if last := m.got.voices[i].last; last != had {
				m.heard[i] = last
				if err := m.room.voices[i].heard(had, last); err != nil {
					return err
				}
			}
		}
	}
	late := now-m.spoke > int64(keepAlive)
	if due := m.got.seqs.last - m.receipts; m.room.stored && m.voice == nil && (due >= receiptEvery || due > 0 && (late || ended)) {
		m.receipts, m.spoke, late = m.got.seqs.last, now, false
		req := m.room.receipt
		req.Seq = m.receipts
		if err := m.c.tell(&req); err != nil {
			return err
		}
	}
	final := m.room.final.Load()
	if complete := final >= 0 && m.has() >= final; complete && !m.ending || late && !ended {
		m.ending, m.spoke = complete, now
		m.pings++
		return m.c.ping()
	}
	return nil
}

// broken is err in words; where the load has given up waiting, that is what
// it means.
func (m *member) broken(what string, err error) error {
	who := m.got.who
	if v := m.voice; v != nil && m.room.stored {
		who = v.acks.who
		if missing := v.unanswered(); missing > 0 && m.l.cut.Load() && gaveUp(err) {
			return errors.New(who + ": " + m.l.overdue(missing, "answers"))
		}
	}
	if !m.l.cut.Load() || !gaveUp(err) {
		return fmt.Errorf("%s: %s: %w", who, what, err)
	}
	final := m.room.final.Load()
	if final < 0 {
		return nil // what is missing is another's to tell
	}
	return errors.New(who + ": " + m.l.overdue(final-m.has(), m.room.what()))
}
