package client

import (
	"context"
	"errors"
	"iter"
	"strconv"
	"time"

	"chatd/proto"
)

// The package documentation lists the errors that all requests have in common.
// The methods document only refusals by the server.

// AddFriend adds a user as a friend, on both sides, and returns the friend. Errno 4:
// user is the client's own user; 5: no such user; 6: the user has blocked the client's
// user; 7: already friends; 13: one of the two friend lists is full.
func (c *Client) AddFriend(ctx context.Context, user int64) (proto.Friend, error) {
	r, err := c.call(ctx, &proto.Request{Op: proto.ADD_FRIEND, FriendID: user})
	if err != nil {
		return proto.Friend{}, err
	}
	return proto.Friend{ID: user, Name: r.Name, State: r.State}, nil
}

// DelFriend ends the friendship for both. Errno 5: no such user; 7: not friends.
func (c *Client) DelFriend(ctx context.Context, user int64) error {
	return c.do(ctx, &proto.Request{Op: proto.DEL_FRIEND, FriendID: user})
}

// CreateGroup creates a group and returns its ID. The user becomes its creator.
// The name has 1 to 50 characters, the description up to 200. Errno 4: invalid
// name or description; 13: the user is in too many groups.
func (c *Client) CreateGroup(ctx context.Context, name, description string) (int64, error) {
	r, err := c.call(ctx, &proto.Request{Op: proto.CREATE_GROUP, GroupName: name, GroupDesc: description})
	if err != nil {
		return 0, err
	}
	return r.GroupID, nil
}

// JoinGroup joins a group and returns it. From then on the client receives its
// messages. Errno 5: no such group; 7: already a member; 13: the group is full, or
// the user is in too many groups.
func (c *Client) JoinGroup(ctx context.Context, group int64) (proto.Group, error) {
	r, err := c.call(ctx, &proto.Request{Op: proto.ADD_GROUP, GroupID: group})
	if err != nil {
		return proto.Group{}, err
	}
	return proto.Group{ID: group, GroupName: r.GroupName, GroupDesc: r.GroupDesc, Seq: r.Seq,
		Users: r.Users, Count: r.Count}, nil
}

// LeaveGroup leaves a group. Errno 5: no such group; 6: not a member, or the
// creator, who can only delete it.
func (c *Client) LeaveGroup(ctx context.Context, group int64) error {
	return c.do(ctx, &proto.Request{Op: proto.LEAVE_GROUP, GroupID: group})
}

// KickMember removes a member from a group that the user created. Errno 5: no
// such group; 6: not its creator, or the member is the creator or not a member.
func (c *Client) KickMember(ctx context.Context, group, user int64) error {
	return c.do(ctx, &proto.Request{Op: proto.KICK_MEMBER, GroupID: group, UserID: user})
}

// DismissGroup deletes a group that the user created, for all members. Errno 5:
// no such group; 6: not its creator.
func (c *Client) DismissGroup(ctx context.Context, group int64) error {
	return c.do(ctx, &proto.Request{Op: proto.DISMISS_GROUP, GroupID: group})
}

// Block blocks a user, or unblocks them if on is false. Messages, events and
// friend requests of a blocked user are refused or dropped, and that user
// doesn't see the client's user online. Blocking twice is no error. Errno 4: user is the client's
// own user; 5: no such user.
func (c *Client) Block(ctx context.Context, user int64, on bool) error {
	return c.do(ctx, &proto.Request{Op: proto.BLOCK, UserID: user, On: on})
}

// FindUser finds a user by name or ID (digits only). Names are case-insensitive.
// State is set only for friends. Errno 5: no such user.
func (c *Client) FindUser(ctx context.Context, nameOrID string) (proto.Friend, error) {
	q := &proto.Request{Op: proto.FIND_USER, Name: nameOrID}
	if id, err := strconv.ParseInt(nameOrID, 10, 64); err == nil {
		q.Name, q.UserID = "", id
		q.Fields = 1 << proto.FUserID
	}
	r, err := c.call(ctx, q)
	if err != nil {
		return proto.Friend{}, err
	}
	return proto.Friend{ID: r.ID, Name: r.Name, State: r.State}, nil
}

// GroupUsers iterates over all members of a group, sorted by ID. It requests one
// page at a time, which blocks, and stops after an error. Errno 5: no such
// group; 6: not a member.
func (c *Client) GroupUsers(ctx context.Context, group int64) iter.Seq2[proto.Member, error] {
	return func(yield func(proto.Member, error) bool) {
		for after, more := int64(0), true; more; {
			r, err := c.call(ctx, &proto.Request{Op: proto.GROUP_USERS, GroupID: group, After: after})
			if err != nil {
				yield(proto.Member{}, err)
				return
			}
			for _, m := range r.Users {
				if !yield(m, nil) {
					return
				}
				after = max(after, m.ID)
			}
			more = r.More && len(r.Users) > 0
		}
	}
}

// Conversations returns about limit (1 to 100) conversations, latest first, with a
// Time below before (in Unix milliseconds; 0 means now). If more is true there are
// older ones: pass the Time of the last one as before. A page has more than limit
// conversations if several have the same Time. Errno 4: limit is out of range.
func (c *Client) Conversations(ctx context.Context, before int64, limit int) (list []proto.Conversation, more bool, err error) {
	r, err := c.call(ctx, &proto.Request{Op: proto.CONVERSATIONS, Before: before, Limit: int64(limit)})
	if err != nil {
		return nil, false, err
	}
	return r.Conversations, r.More, nil
}

// Page is a part of a conversation, sorted by Seq.
type Page struct {
	Messages []Message // Backlog isn't set
	First    int64     // the lowest seq that the user may read
	Last     int64     // the conversation's last seq; 0 if it is empty
	More     bool      // there are messages before this page
}

// History returns up to limit (1 to 200) messages below the seq before, or the last
// ones if before is 0. It doesn't affect what is received or marked as read. Errno
// 4: conv or limit is invalid; 5: no such user or group; 6: not a member.
func (c *Client) History(ctx context.Context, conv Conv, before int64, limit int) (Page, error) {
	if err := conv.check(); err != nil {
		return Page{}, err
	}
	r, err := c.call(ctx, &proto.Request{Op: proto.SYNC, Peer: conv.Peer, GroupID: conv.Group,
		Before: before, Limit: int64(limit)})
	if err != nil {
		return Page{}, err
	}
	p := Page{First: r.First, Last: r.Last, More: r.More, Messages: make([]Message, len(r.Messages))}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range r.Messages {
		p.Messages[i] = c.messageOfChat(&r.Messages[i])
		c.historyEnd[conv] = max(c.historyEnd[conv], p.Messages[i].Seq)
	}
	return p, nil
}

// Tell sends an ephemeral event to a conversation. Only devices that are online
// get it. kind has 1 to 32 characters, data up to 1 KiB. Tell doesn't block. The
// errors are ErrNotLoggedIn, ErrBusy (it can't be sent now) and a *proto.Error
// about the arguments. A refusal by the server is only logged.
func (c *Client) Tell(conv Conv, kind, data string) error {
	if err := conv.check(); err != nil {
		return err
	}
	if kind == "" || len(data) > proto.MaxData {
		return proto.Errorf(proto.BadRequest, "an event must have a kind, and at most %d bytes of data, got %q and %d", proto.MaxData, kind, len(data))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.session
	if s == nil || !s.loggedIn {
		return ErrNotLoggedIn
	}
	if len(s.outBuf) > maxKeptBuffer || !c.throttledUntil.IsZero() {
		return eventError{} // don't queue it: an event that can't be sent now is worth nothing later
	}
	s.request(&proto.Request{Op: proto.EVENT, ToID: conv.Peer, GroupID: conv.Group, Event: []byte(kind), Data: []byte(data)})
	return nil
}

// Typing sends the event "typing" to a conversation.
func (c *Client) Typing(conv Conv) error { return c.Tell(conv, "typing", "") }

// do sends a request whose answer has no data.
func (c *Client) do(ctx context.Context, q *proto.Request) error {
	_, err := c.call(ctx, q)
	return err
}

// call sends a request that needs a login and waits for the answer. It retries
// while the server throttles.
func (c *Client) call(ctx context.Context, q *proto.Request) (*proto.Response, error) {
	for {
		s, err := c.awaitReady(ctx)
		if err != nil {
			return nil, err
		}
		r, err := c.callOn(ctx, s, q)
		var e *proto.Error
		if errors.As(err, &e) && e.Errno == proto.TooFast && retriesWhenThrottled(q) {
			continue // the server did nothing; awaitReady waits as long as it asked
		}
		return r, err
	}
}

// awaitReady returns the session of the logged-in user. It waits while the
// server throttles.
func (c *Client) awaitReady(ctx context.Context) (*session, error) {
	for {
		c.mu.Lock()
		s, keep, wait := c.session, c.stayLoggedIn, time.Duration(0)
		in := s != nil && s.loggedIn
		if !c.throttledUntil.IsZero() {
			wait = time.Until(c.throttledUntil)
		}
		c.mu.Unlock()
		switch {
		case !in && keep:
			return nil, ErrNotConnected
		case !in:
			return nil, ErrNotLoggedIn
		case wait <= 0:
			return s, nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-s.ended:
		case <-ctx.Done():
		case <-c.ctx.Done():
		}
		timer.Stop()
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if c.stopping.Load() {
			return nil, ErrClosed
		}
	}
}

// callOn sends a request on s and waits for the answer.
func (c *Client) callOn(ctx context.Context, s *session, q *proto.Request) (*proto.Response, error) {
	cl := &call{req: q, ch: make(chan callResult, 1)}
	c.mu.Lock()
	switch {
	case c.stopping.Load():
		c.mu.Unlock()
		return nil, ErrClosed
	case s.calls == nil:
		err := s.err
		c.mu.Unlock()
		return nil, err
	case len(s.calls) >= maxCalls:
		c.mu.Unlock()
		return nil, ErrBusy
	}
	c.rid++
	rid := c.rid
	q.RID = rid
	s.calls[rid] = cl
	s.request(q)
	c.mu.Unlock()
	select {
	case a := <-cl.ch:
		return a.r, a.err
	case <-ctx.Done():
		c.mu.Lock()
		_, waits := s.calls[rid]
		delete(s.calls, rid)
		c.mu.Unlock()
		if waits {
			return nil, ctx.Err()
		}
		a := <-cl.ch // the reader has already applied the answer: return it
		return a.r, a.err
	}
}
