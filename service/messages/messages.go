// Package messages has the handlers for chat messages, events, receipts, and
// reading conversations.
package messages

import (
	"context"
	"log/slog"

	"github.com/VictoriaMetrics/metrics"

	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service/bus"
	"chatd/service/delivery"
	"chatd/service/session"
)

// Turn and Off are short names for the types of package reactor.
type (
	Turn = reactor.Turn
	Off  = reactor.Off
	conn = session.Conn
)

// Store holds the methods of the store that messages need. Append, SetDelivered
// and SetRead don't block; the others may.
type Store interface {
	Append(batch ...*model.Append) error
	Page(ctx context.Context, conv, after int64, limit, maxBytes int) ([]model.Message, error)
	Pages(ctx context.Context, parts []model.PageRequest, maxBytes int) ([]model.Message, error)
	PageBefore(ctx context.Context, conv, before, floor int64, limit, maxBytes int) ([]model.Message, error)
	VisibleRange(ctx context.Context, user, group, peer int64) (model.VisibleRange, error)
	Conversations(ctx context.Context, user, before int64, limit int) ([]model.Conversation, bool, error)
	CountConversations(ctx context.Context, user int64) (int, error)
	SetDelivered(user int64, device string, conv, seq int64)
	ReadUpTo(ctx context.Context, user, conv int64) (int64, error)
	SetRead(user, conv, seq int64)
}

// Messages has the handlers of one node.
type Messages struct {
	log      *slog.Logger
	store    Store
	courier  *bus.Courier
	sessions *session.Sessions
	delivery *delivery.Delivery
	events   *metrics.Counter
	loops    []*sendsOnLoop // pointers, so that loops don't share cache lines
}

// sendsOnLoop collects the chat messages of a turn, and has what a loop needs for
// events.
type sendsOnLoop struct {
	messages []*session.Message
	events   int    // sent in this turn and not counted yet
	buf      []byte // for encoding an event
	blocks   int    // TopicsOnLoop.BlocksVersion of targets
	targets  [targetsLen]target
}

// New returns the handlers. loops is the number of event loops.
func New(log *slog.Logger, store Store, c *bus.Courier, s *session.Sessions, d *delivery.Delivery, loops int, events *metrics.Counter) *Messages {
	m := &Messages{log: log, store: store, courier: c, sessions: s, delivery: d, events: events}
	for range loops {
		m.loops = append(m.loops, new(sendsOnLoop))
	}
	return m
}

// OneChat handles a message to a user, who may be the sender.
func (m *Messages) OneChat(t Turn, c *conn, r *proto.Request) {
	m.send(t, c, r, model.Append{Peer: r.ToID})
}

// GroupChat handles a message to a group.
func (m *Messages) GroupChat(t Turn, c *conn, r *proto.Request) {
	m.send(t, c, r, model.Append{Group: r.GroupID})
}

// send collects a message for the log. The log checks in its transaction whether
// the receiver exists and the sender may write to it. A check before that could
// be outdated.
func (m *Messages) send(t Turn, c *conn, r *proto.Request, a model.Append) {
	if r.Has(proto.FID) && r.ID != c.Session(t).User {
		c.RefuseInOrder(t, r, proto.Errorf(proto.NotAllowed, "id must be your own user ID or be left out, got %d", r.ID))
		return
	}
	if msg := c.Send(t, r, a); msg != nil {
		if a.Group != 0 {
			// Now, not when it is pushed: one read may bring hundreds of messages.
			c.ChargePushes(t, m.delivery.On(t).Receivers(t, c.Session(t).User, a.Group), len(r.Msg))
		}
		l := m.loops[t.Loop()]
		l.messages = append(l.messages, msg)
	}
}

// HandOver hands a turn's messages to the append queue. If the queue is full, they
// are refused. It also counts the turn's events.
func (m *Messages) HandOver(t Turn) {
	l := m.loops[t.Loop()]
	if l.events > 0 {
		m.events.Add(l.events)
		l.events = 0
	}
	if len(l.messages) == 0 {
		return
	}
	messages := l.messages
	l.messages = nil
	batch := make([]*model.Append, len(messages))
	for i, msg := range messages {
		batch[i] = &msg.Append
	}
	if err := m.store.Append(batch...); err != nil {
		for _, msg := range messages {
			msg.MarkRefused(t, err)
		}
		for _, msg := range messages {
			msg.Conn.AnswerRefused(t)
		}
	}
}
