package load

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"chatd/proto"
)

// eventName is the name of all events on the wire.
const eventName = "bench"

// Room is a conversation under load: two users, of whom one speaks, or a
// group, of which some do.
type Room struct {
	l       *Generator
	who     string
	op      proto.Op // of what is said
	stored  bool     // and acknowledged; else it is relayed, and the hearers make room for more
	toID    int64    // as pushes have it
	GroupID int64
	Receipt proto.Request // of which only the seq is missing
	senders []*sender
	members []*member
	Cache   *FrameCache // nil for pairs

	finalCount atomic.Int64 // how much was said, once all voices are done; before, -1
	mu         sync.Mutex
	done       int   // voices that are
	total      int64 // of what they said
}

func NewRoom(g *Generator, who string, op proto.Op, stored bool) *Room {
	r := &Room{l: g, who: who, op: op, stored: stored}
	r.finalCount.Store(-1)
	return r
}

// noun is said here, for complaints.
func (r *Room) noun() string {
	if r.op == proto.EVENT {
		return "events"
	}
	return "pushes"
}

// Join adds a member, who speaks where there is a template for what it says.
func (r *Room) Join(c *Conn, me Account, t *Template, quota int64) {
	m := &member{room: r, l: r.l, c: c, who: r.who}
	if r.GroupID != 0 {
		m.who = fmt.Sprintf("%s, member %d", r.who, len(r.members))
	}
	if t != nil {
		m.sender = newSender(r, m, me, t, quota)
		r.senders = append(r.senders, m.sender)
	}
	r.members = append(r.members, m)
}

// AddRoom takes a room whose members are complete into the load: they are
// measured by acks, where there are any, and pushes.
func (g *Generator) AddRoom(r *Room, acks, pushes *Metric) {
	g.rooms = append(g.rooms, r)
	for i, s := range r.senders {
		s.index, s.slot, s.receivers = i, len(g.senders), int32(len(r.members)-1)
		g.senders = append(g.senders, s)
		if r.stored {
			s.acks = newChatView(s.member.who+", acks", 1, g.Faults)
			s.acks.seqs.gapless = len(r.senders) == 1 // else others have seqs between
			s.recorder = acks.NewRecorder()
		}
	}
	for _, m := range r.members {
		g.conns = append(g.conns, m.c)
		g.workers = append(g.workers, m.read)
		if r.stored {
			m.view = newChatView(m.who+", pushes", len(r.senders), g.Faults)
			m.view.seqs.gapless = m.sender == nil // else its own have seqs between
		} else {
			m.view = newEventView(m.who, len(r.senders), g.Faults)
		}
		if m.sender == nil || len(r.senders) > 1 {
			m.recorder = pushes.NewRecorder()
			m.delivered = make([]int64, len(r.senders))
		}
	}
}

// senderOf is the voice of a user; nil where it is none of the room's.
func (r *Room) senderOf(id int64) *sender {
	for _, s := range r.senders {
		if s.me.ID == id {
			return s
		}
	}
	return nil
}

// senderDone says that a voice is done, having said n. The last one wakes all, who
// may be waiting for something to read.
func (r *Room) senderDone(n int64) {
	r.mu.Lock()
	r.done++
	r.total += n
	last := r.done == len(r.senders)
	r.mu.Unlock()
	if last {
		r.finalCount.Store(r.total)
		for _, m := range r.members {
			r.l.wakeReader(m.c)
		}
	}
}

// checkComplete compares what was said with what each has, once all have ended well.
func (r *Room) checkComplete() {
	if !r.stored {
		return // numbered without a gap: the views have seen it
	}
	final := r.finalCount.Load()
	for _, m := range r.members {
		if n := m.receivedCount(); n != final && m.recorder != nil {
			r.l.Faults.addf("%s: %d messages acknowledged, %d delivered", m.who, final, n)
		}
	}
}

// NewRequest is a message to the room before it is stamped.
func (r *Room) NewRequest(text []byte) *proto.Request {
	if r.op == proto.EVENT {
		return &proto.Request{Op: r.op, ToID: r.toID, GroupID: r.GroupID, Event: []byte(eventName), Data: text}
	}
	req := newChat(r.toID, text)
	req.Op, req.GroupID = r.op, r.GroupID
	return req
}

// newPairRoom makes a room of two new users, the first of whom speaks; beside an
// error there is none.
func newPairRoom(ctx context.Context, g *Generator, accounts *Accounts, i int, op proto.Op, stored bool) (*Room, error) {
	from, me, window, err := accounts.Register(ctx, 2*i, true)
	if err != nil {
		return nil, err
	}
	to, peer, _, err := accounts.Register(ctx, 2*i+1, true)
	if err == nil && stored {
		if err = g.CheckWindow(window); err != nil {
			to.Close()
		}
	}
	if err != nil {
		from.Close()
		return nil, err
	}
	r := NewRoom(g, fmt.Sprintf("pair %d", i), op, stored)
	r.toID, r.Receipt = peer.ID, proto.Request{Op: proto.RECEIPT, Peer: me.ID}
	text := NewText(g.Size)
	r.Join(from, me, accounts.Template(r.NewRequest(text), me, text), g.Quota(i))
	r.Join(to, peer, nil, 0)
	return r, nil
}
