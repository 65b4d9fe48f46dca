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

// Room is a conversation under load: a sender and a receiver, or a group
// in which some members send.
type Room struct {
	generator *Generator
	who       string
	op        proto.Op // of the messages
	stored    bool     // the server acknowledges messages; otherwise receivers release the senders' windows
	toID      int64    // as in pushed messages
	GroupID   int64
	Receipt   proto.Request // lacks only the seq
	senders   []*sender
	members   []*member
	Cache     *FrameCache // nil for pairs

	finalCount atomic.Int64 // messages sent, once all senders are done; -1 before
	mu         sync.Mutex
	done       int   // senders that are done
	total      int64 // messages they have sent
}

func NewRoom(g *Generator, who string, op proto.Op, stored bool) *Room {
	r := &Room{generator: g, who: who, op: op, stored: stored}
	r.finalCount.Store(-1)
	return r
}

// noun returns what messages are called in faults.
func (r *Room) noun() string {
	if r.op == proto.EVENT {
		return "events"
	}
	return "pushes"
}

// Join adds a member. It sends messages if t isn't nil, quota of them, or
// without end if quota is negative.
func (r *Room) Join(c *Conn, me Account, t *Template, quota int64) {
	m := &member{room: r, generator: r.generator, c: c, who: r.who}
	if r.GroupID != 0 {
		m.who = fmt.Sprintf("%s, member %d", r.who, len(r.members))
	}
	if t != nil {
		m.sender = newSender(r, m, me, t, quota)
		r.senders = append(r.senders, m.sender)
	}
	r.members = append(r.members, m)
}

// AddRoom adds a room with all its members. Acks is nil unless messages are
// stored.
func (g *Generator) AddRoom(r *Room, acks, pushes *Metric) {
	g.rooms = append(g.rooms, r)
	for i, s := range r.senders {
		s.index, s.slot, s.receivers = i, len(g.senders), int32(len(r.members)-1)
		g.senders = append(g.senders, s)
		if r.stored {
			s.acks = newChatView(s.member.who+", acks", 1, g.Faults)
			s.acks.seqs.gapless = len(r.senders) == 1 // else the seqs between belong to others
			s.recorder = acks.NewRecorder()
		}
	}
	for _, m := range r.members {
		g.conns = append(g.conns, m.c)
		g.workers = append(g.workers, m.read)
		if r.stored {
			m.view = newChatView(m.who+", pushes", len(r.senders), g.Faults)
			m.view.seqs.gapless = m.sender == nil // else the seqs between are its own
		} else {
			m.view = newEventView(m.who, len(r.senders), g.Faults)
		}
		if m.sender == nil || len(r.senders) > 1 {
			m.recorder = pushes.NewRecorder()
			m.delivered = make([]int64, len(r.senders))
		}
	}
}

// senderOf returns the sender with a user id, or nil.
func (r *Room) senderOf(id int64) *sender {
	for _, s := range r.senders {
		if s.me.ID == id {
			return s
		}
	}
	return nil
}

// senderDone records that a sender has sent its n messages. The last one wakes
// all readers, which may be waiting for nothing.
func (r *Room) senderDone(n int64) {
	r.mu.Lock()
	r.done++
	r.total += n
	last := r.done == len(r.senders)
	r.mu.Unlock()
	if last {
		r.finalCount.Store(r.total)
		for _, m := range r.members {
			r.generator.wakeReader(m.c)
		}
	}
}

// checkComplete checks that every member has all messages.
func (r *Room) checkComplete() {
	if !r.stored {
		return // events have no gaps, which the views have checked
	}
	final := r.finalCount.Load()
	for _, m := range r.members {
		if n := m.receivedCount(); n != final && m.recorder != nil {
			r.generator.Faults.addf("%s: %d messages acknowledged, %d delivered", m.who, final, n)
		}
	}
}

// NewRequest returns a message to the room, with placeholders for number and
// time.
func (r *Room) NewRequest(text []byte) *proto.Request {
	if r.op == proto.EVENT {
		return &proto.Request{Op: r.op, ToID: r.toID, GroupID: r.GroupID, Event: []byte(eventName), Data: text}
	}
	req := newChat(r.toID, text)
	req.Op, req.GroupID = r.op, r.GroupID
	return req
}

// newPairRoom returns a room of two new users. The first one sends.
func newPairRoom(ctx context.Context, g *Generator, accounts *Accounts, i int, op proto.Op, stored bool) (*Room, error) {
	from, me, window, err := accounts.Register(ctx, 2*i, true)
	if err != nil {
		return nil, err
	}
	to, peer, _, err := accounts.Register(ctx, 2*i+1, true)
	if err == nil {
		if stored {
			err = g.CheckWindow(window)
		}
		if err == nil && stored && accounts.server.HasLimits() {
			err = Befriend(ctx, to, me)
		}
		if err != nil {
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

// Befriend makes the user of a connection a friend of another user: strangers may
// send only a few messages.
func Befriend(ctx context.Context, c *Conn, with Account) error {
	_, err := c.Call(ctx, &proto.Request{Op: proto.ADD_FRIEND, FriendID: with.ID})
	return err
}
