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

// Find finds a message in the store. If the message isn't there, the result
// says so; that isn't an error. Find returns a *proto.Error with BadRequest if
// the query is invalid, or with NotFound if a user or group doesn't exist.
// Other errors are the store's. It blocks.
func Find(ctx context.Context, store Store, q Query) (*Result, error) {
	f := finder{store: store, q: q, now: time.Now()}
	t, err := f.find(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range t.Members {
		for _, d := range m.Devices {
			f.setStateFromStore(t, m, d)
		}
	}
	t.Notes = append(t.Notes, "the database doesn't contain who is connected; ask a node with --admin",
		"delivered cursors are stored up to 10 s late: a device may have more than shown")
	return t, nil
}

// finder answers one Query.
type finder struct {
	store  Store
	q      Query
	now    time.Time
	sender int64 // if the query has a CID
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
	t.Published = "not recorded: a node publishes a message after the commit and before the ACK; if that fails, other nodes find it in the log within 10 s"
	return t, f.members(ctx, t, conv, &m)
}

// user finds a user by name or ID. A deleted user can only be found by ID.
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

// missing sets t.Missing for a message that isn't stored.
func (f *finder) missing(ctx context.Context, t *Result, c model.TracedConversation) error {
	say := func(format string, args ...any) { t.Missing = append(t.Missing, fmt.Sprintf(format, args...)) }
	if c.Last == 0 {
		say("this conversation has no messages")
	}
	if f.q.Seq != 0 {
		switch {
		case f.q.Seq > c.Last:
			say("seq %d doesn't exist yet: the last one is %d", f.q.Seq, c.Last)
		default:
			say("seq %d is missing although the last one is %d: the log has a hole, which must never happen; check the disk, and whether anyone has changed the tables", f.q.Seq, c.Last)
		}
		return nil
	}
	say("no message from this sender with this cid is stored, so none was acknowledged (unless the database was restored from a backup since)")
	say("it may not have reached a node, may be waiting in one (ask the sender's node with --admin), or was refused, which isn't recorded; the client may resend it with the same cid")
	m, err := f.store.TraceUser(ctx, c.ID, f.sender)
	if err != nil {
		return err
	}
	other := c.Lo + c.Hi - f.sender
	switch {
	case m.Deleted:
		say("the sender was deleted")
	case m.Banned:
		say("the sender is banned: can't log in")
	case c.Gone:
		say("the group was dismissed: messages to it are refused with errno 5")
	case c.Group() && !m.Member:
		say("the sender isn't a member: their messages to this group are refused with errno 6")
	case !c.Group() && f.sender != c.Lo && f.sender != c.Hi:
		say("the sender isn't one of the two users of this conversation")
	case !c.Group() && c.Closed():
		say("one of the two users was deleted: messages in this conversation are refused with errno 5")
	case !c.Group() && c.Blocked(other):
		say("user %d has blocked the sender: their messages to this user are refused with errno 6", other)
	}
	return nil
}
