package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"chatd/proto"
)

// room is a conversation under load: two users, of whom one speaks, or a
// group, of which some do.
type room struct {
	l       *load
	who     string
	op      proto.Op // of what is said
	stored  bool     // and acknowledged; else it is relayed, and the hearers make room for more
	toID    int64    // as pushes have it
	groupID int64
	receipt proto.Request // of which only the seq is missing
	voices  []*voice
	members []*member
	known   *known // nil for pairs

	final atomic.Int64 // how much was said, once all voices are done; before, -1
	mu    sync.Mutex
	done  int   // voices that are
	total int64 // of what they said
}

func newRoom(l *load, who string, op proto.Op, stored bool) *room {
	r := &room{l: l, who: who, op: op, stored: stored}
	r.final.Store(-1)
	return r
}

// what is said here, for complaints.
func (r *room) what() string {
	if r.op == proto.EVENT {
		return "events"
	}
	return "pushes"
}

// join adds a member, who speaks where there is a template for what it says.
func (r *room) join(c *conn, me account, t *template, quota int64) {
	m := &member{room: r, l: r.l, c: c, who: r.who}
	if r.groupID != 0 {
		m.who = fmt.Sprintf("%s, member %d", r.who, len(r.members))
	}
	if t != nil {
		m.voice = newVoice(r, m, me, t, quota)
		r.voices = append(r.voices, m.voice)
	}
	r.members = append(r.members, m)
}

// open takes a room whose members are complete into the load: they are
// measured by acks, where there are any, and pushes.
func (l *load) open(r *room, acks, pushes *gauge) {
	l.rooms = append(l.rooms, r)
	for i, v := range r.voices {
		v.index, v.slot, v.hearers = i, len(l.voices), int32(len(r.members)-1)
		l.voices = append(l.voices, v)
		if r.stored {
			v.acks = newChatView(v.member.who+", acks", 1, l.faults)
			v.acks.seqs.exact = len(r.voices) == 1 // else others have seqs between
			v.meter = acks.meter()
		}
	}
	for _, m := range r.members {
		l.conns = append(l.conns, m.c)
		l.workers = append(l.workers, m.read)
		if r.stored {
			m.got = newChatView(m.who+", pushes", len(r.voices), l.faults)
			m.got.seqs.exact = m.voice == nil // else its own have seqs between
		} else {
			m.got = newEventView(m.who, len(r.voices), l.faults)
		}
		if m.voice == nil || len(r.voices) > 1 {
			m.meter = pushes.meter()
			m.heard = make([]int64, len(r.voices))
		}
	}
}

// voiceOf is the voice of a user; nil where it is none of the room's.
func (r *room) voiceOf(id int64) *voice {
	for _, v := range r.voices {
		if v.me.id == id {
			return v
		}
	}
	return nil
}

// over says that a voice is done, having said n. The last one wakes all, who
// may be waiting for something to read.
func (r *room) over(n int64) {
	r.mu.Lock()
	r.done++
	r.total += n
	last := r.done == len(r.voices)
	r.mu.Unlock()
	if last {
		r.final.Store(r.total)
		for _, m := range r.members {
			r.l.nudge(m.c)
		}
	}
}

// check compares what was said with what each has, once all have ended well.
func (r *room) check() {
	if !r.stored {
		return // numbered without a gap: the views have seen it
	}
	final := r.final.Load()
	for _, m := range r.members {
		if n := m.has(); n != final && m.meter != nil {
			r.l.faults.addf("%s: %d messages acknowledged, %d delivered", m.who, final, n)
		}
	}
}

// say is a message to the room before it is stamped.
func (r *room) say(text []byte) *proto.Request {
	if r.op == proto.EVENT {
		return &proto.Request{Op: r.op, ToID: r.toID, GroupID: r.groupID, Event: []byte(eventName), Data: text}
	}
	req := newChat(r.toID, text)
	req.Op, req.GroupID = r.op, r.groupID
	return req
}

// newPair makes a room of two new users, the first of whom speaks; beside an
// error there is none.
func newPair(ctx context.Context, l *load, rs *recruits, i int, op proto.Op, stored bool) (*room, error) {
	from, me, window, err := rs.enter(ctx, 2*i, true)
	if err != nil {
		return nil, err
	}
	to, peer, _, err := rs.enter(ctx, 2*i+1, true)
	if err == nil && stored {
		if err = l.checkWindow(window); err != nil {
			to.close()
		}
	}
	if err != nil {
		from.close()
		return nil, err
	}
	r := newRoom(l, fmt.Sprintf("pair %d", i), op, stored)
	r.toID, r.receipt = peer.id, proto.Request{Op: proto.RECEIPT, Peer: me.id}
	text := textOf(l.size)
	r.join(from, me, rs.template(r.say(text), me, text), l.quota(i))
	r.join(to, peer, nil, 0)
	return r, nil
}
