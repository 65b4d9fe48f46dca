package trace

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"chatd/model"
	"chatd/proto"
)

// Find tells where a message is, as far as the store knows. It blocks on
// the store. That the message isn't there is no error. Errors: a *proto.Error
// of BadRequest or NotFound about the question; any other is the store's.
func Find(ctx context.Context, store Store, q Query) (*Result, error) {
	f := finder{store: store, q: q, now: time.Now()}
	t, err := f.find(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range t.Members {
		for _, d := range m.Devices {
			f.storeSays(t, m, d)
		}
	}
	t.Notes = append(t.Notes, "who is connected isn't in the store: a node's --admin address knows",
		"how far a device is gets written behind, by up to 10 s: it may have more than stands here")
	return t, nil
}

// finder is one question on its way.
type finder struct {
	store  Store
	q      Query
	now    time.Time
	sender int64 // where the message is named by its cid
}

func (f *finder) find(ctx context.Context) (*Result, error) {
	if err := f.q.Validate(); err != nil {
		return nil, proto.Errorf(proto.BadRequest, "%s", err)
	}
	t := &Result{Asked: f.now.UTC()}
	conv, err := f.conversation(ctx, t)
	if err != nil {
		return nil, err
	}
	m, err := f.message(ctx, conv)
	switch {
	case errors.Is(err, model.ErrNotFound):
		if err := f.missing(ctx, t, conv); err != nil {
			return nil, err
		}
		return t, nil
	case err != nil:
		return nil, err
	}
	t.Stored = true
	t.Message = &Message{Seq: m.Seq, Sender: User{m.Sender, m.Name}, CID: string(m.CID), Time: time.UnixMilli(m.Time).UTC(), Size: m.Size}
	t.Published = "that isn't recorded: a node publishes after the commit and before the ACK, and where it couldn't, the others find the message in the log within 10 s"
	return t, f.members(ctx, t, conv, &m)
}

// user finds who is meant. An id is good for a user who was deleted, too.
func (f *finder) user(ctx context.Context, who string) (User, error) {
	var u User
	id, err := strconv.ParseUint(who, 10, 63)
	if err == nil {
		var m model.TracedMember
		m, err = f.store.TraceUser(ctx, 0, int64(id))
		u = User{m.User, m.Name}
	} else {
		var m model.User
		m, err = f.store.UserByNameKey(ctx, proto.NameKey(who))
		u = User{m.ID, m.Name}
	}
	if errors.Is(err, model.ErrNotFound) {
		return u, proto.Errorf(proto.NotFound, "no such user: %q", who)
	}
	return u, err
}

func (f *finder) conversation(ctx context.Context, t *Result) (c model.TracedConversation, err error) {
	if f.q.Group != 0 {
		if c, err = f.store.TraceGroup(ctx, f.q.Group); errors.Is(err, model.ErrNotFound) {
			return c, proto.Errorf(proto.NotFound, "no such group: %d", f.q.Group)
		}
		t.Conversation = Conversation{ID: c.ID, Group: true, Name: c.Name, Last: c.Last, Members: c.Size, Gone: c.Gone}
		return c, err
	}
	for _, who := range f.q.Pair {
		u, err := f.user(ctx, who)
		if err != nil {
			return c, err
		}
		t.Conversation.Pair = append(t.Conversation.Pair, u)
	}
	a, b := t.Conversation.Pair[0].ID, t.Conversation.Pair[1].ID
	c, err = f.store.TracePair(ctx, a, b)
	if errors.Is(err, model.ErrNotFound) {
		c, err = model.TracedConversation{Lo: min(a, b), Hi: max(a, b)}, nil
	}
	t.Conversation.ID, t.Conversation.Last = c.ID, c.Last
	return c, err
}

func (f *finder) message(ctx context.Context, c model.TracedConversation) (m model.TracedMessage, err error) {
	if f.q.Seq != 0 {
		if c.ID == 0 {
			return m, model.ErrNotFound
		}
		return f.store.TraceSeq(ctx, c.ID, f.q.Seq)
	}
	u, err := f.user(ctx, f.q.Sender)
	if err != nil {
		return m, err
	}
	f.sender = u.ID
	if c.ID == 0 {
		return m, model.ErrNotFound
	}
	return f.store.TraceCID(ctx, c.ID, u.ID, []byte(f.q.CID))
}

// missing says what is known of a message that isn't stored.
func (f *finder) missing(ctx context.Context, t *Result, c model.TracedConversation) error {
	say := func(format string, args ...any) { t.Missing = append(t.Missing, fmt.Sprintf(format, args...)) }
	if c.Last == 0 {
		say("nothing was ever said in this conversation")
	}
	if f.q.Seq != 0 {
		switch {
		case f.q.Seq > c.Last:
			say("seq %d isn't given out yet: the last is %d", f.q.Seq, c.Last)
		default:
			say("the last is %d, and yet there is no %d: the log has a hole, which must never be. Look at the disk and at what was done to the tables", c.Last, f.q.Seq)
		}
		return nil
	}
	say("no message of this sender with this cid is stored here, so none was acknowledged, unless the store was restored from a backup since")
	say("it may never have reached a node, wait in one (ask the sender's node), or have been refused with an errno, which isn't recorded; the sender may send it again with the same cid")
	m, err := f.store.TraceUser(ctx, c.ID, f.sender)
	if err != nil {
		return err
	}
	other := c.Lo + c.Hi - f.sender
	switch {
	case m.Deleted:
		say("its sender is deleted")
	case m.Banned:
		say("its sender is banned, and can't log in")
	case c.Gone:
		say("the group is dismissed: what is said there is refused with errno 5")
	case c.Group() && !m.Member:
		say("the sender is not a member: their messages there are refused with errno 6")
	case !c.Group() && f.sender != c.Lo && f.sender != c.Hi:
		say("its sender is none of the two")
	case !c.Group() && c.Closed():
		say("one of the two is deleted: what is said there is refused with errno 5")
	case !c.Group() && c.Blocked(other):
		say("user %d has blocked the sender: what they say there is refused with errno 6", other)
	}
	return nil
}
