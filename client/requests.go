package client

import (
	"context"
	"errors"
	"iter"
	"strconv"
	"time"

	"chatd/proto"
)

// The errors that all requests have in common are in the package's own
// documentation; what stands at each are refusals of the server.

// AddFriend makes the user a friend, and oneself theirs, and returns the friend.
// Errno 4: it is oneself; 5: there is no such user; 6: the user has blocked one;
// 7: they are friends already; 13: one of the two lists is full.
func (c *Client) AddFriend(ctx context.Context, user int64) (proto.Friend, error) {
	r, err := c.call(ctx, &proto.Request{Op: proto.ADD_FRIEND, FriendID: user})
	if err != nil {
		return proto.Friend{}, err
	}
	return proto.Friend{ID: user, Name: r.Name, State: r.State}, nil
}

// DelFriend ends the friendship on both sides. Errno 5: there is no such user;
// 7: they are no friends.
func (c *Client) DelFriend(ctx context.Context, user int64) error {
	return c.do(ctx, &proto.Request{Op: proto.DEL_FRIEND, FriendID: user})
}

// CreateGroup makes a group with oneself as its creator and returns its id. The
// name has 1 to 50 characters, the description up to 200. Errno 4: the name or the
// description isn't one; 13: one is in too many groups.
func (c *Client) CreateGroup(ctx context.Context, name, description string) (int64, error) {
	r, err := c.call(ctx, &proto.Request{Op: proto.CREATE_GROUP, GroupName: name, GroupDesc: description})
	if err != nil {
		return 0, err
	}
	return r.GroupID, nil
}

// JoinGroup joins a group and returns it. What is said from now on is received.
// Errno 5: there is no such group; 7: one is a member already; 13: the group is
// full, or one is in too many.
func (c *Client) JoinGroup(ctx context.Context, group int64) (proto.Group, error) {
	r, err := c.call(ctx, &proto.Request{Op: proto.ADD_GROUP, GroupID: group})
	if err != nil {
		return proto.Group{}, err
	}
	return proto.Group{ID: group, GroupName: r.GroupName, GroupDesc: r.GroupDesc, Seq: r.Seq,
		Users: r.Users, Count: r.Count}, nil
}

// LeaveGroup leaves a group. Errno 5: there is no such group; 6: one is no
// member, or its creator, who can only dismiss it.
func (c *Client) LeaveGroup(ctx context.Context, group int64) error {
	return c.do(ctx, &proto.Request{Op: proto.LEAVE_GROUP, GroupID: group})
}

// KickMember removes a member from a group of one's own. Errno 5: there is no such
// group; 6: one isn't its creator, or the user is, or is no member.
func (c *Client) KickMember(ctx context.Context, group, user int64) error {
	return c.do(ctx, &proto.Request{Op: proto.KICK_MEMBER, GroupID: group, UserID: user})
}

// DismissGroup ends a group of one's own, for all its members. Errno 5: there is
// no such group; 6: one isn't its creator.
func (c *Client) DismissGroup(ctx context.Context, group int64) error {
	return c.do(ctx, &proto.Request{Op: proto.DISMISS_GROUP, GroupID: group})
}

// Block keeps a user's messages and requests for friendship away, hides one's
// presence from them and drops their events, or with on false no longer does. To
// block twice is no error. Errno 4: it is oneself; 5: there is no such user.
func (c *Client) Block(ctx context.Context, user int64, on bool) error {
	return c.do(ctx, &proto.Request{Op: proto.BLOCK, UserID: user, On: on})
}

// FindUser finds a user by name or id (digits alone). A name is found without
// regard to case. State is set for friends only. Errno 5: there is none.
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

// GroupUsers goes through all members of a group, by rising id, asking for
// a page at a time, each of which may block. It ends after an error. Errno 5:
// there is no such group; 6: one is no member.
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

// Conversations lists up to limit (1 to 100) conversations, the latest
// first, from the one before the time (Unix milliseconds; 0: now) on. More
// tells that there are others: pass the last one's Time. Errno 4: limit is out
// of its range.
func (c *Client) Conversations(ctx context.Context, before int64, limit int) (list []proto.Conversation, more bool, err error) {
	r, err := c.call(ctx, &proto.Request{Op: proto.CONVERSATIONS, Before: before, Limit: int64(limit)})
	if err != nil {
		return nil, false, err
	}
	return r.Conversations, r.More, nil
}

// Page is a piece of a conversation, by rising Seq.
type Page struct {
	Messages []Message // Backlog isn't set
	First    int64     // the lowest seq one may see
	Last     int64     // the conversation's last; 0: nobody ever spoke
	More     bool      // there is more before it
}

// History reads up to limit (1 to 200) messages before a seq; before 0: the
// last ones. It changes nothing about what is received or was read. Errno 4:
// conv or limit is none; 5: there is no such user or group; 6: one is no member.
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

// Tell sends an event to a conversation: whoever is online there sees it
// now, and nobody later. It does not wait. kind has 1 to 32 characters, data up
// to 1 KiB. The errors are ErrNotLoggedIn, ErrBusy (it can't be sent now) and a
// *proto.Error about the arguments; what the server refuses is only logged.
func (c *Client) Tell(conv Conv, kind, data string) error {
	if err := conv.check(); err != nil {
		return err
	}
	if kind == "" || len(data) > proto.MaxData {
		return proto.Errorf(proto.BadRequest, "an event has a kind, and at most %d bytes of data", proto.MaxData)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.session
	if s == nil || !s.loggedIn {
		return ErrNotLoggedIn
	}
	if len(s.outBuf) > maxKeptBuffer || !c.throttledUntil.IsZero() {
		return ErrBusy // an event that can't be sent now is worth nothing later
	}
	s.request(&proto.Request{Op: proto.EVENT, ToID: conv.Peer, GroupID: conv.Group, Event: []byte(kind), Data: []byte(data)})
	return nil
}

// Typing tells a conversation that one is typing: Tell of the kind "typing".
func (c *Client) Typing(conv Conv) error { return c.Tell(conv, "typing", "") }

func (c *Client) do(ctx context.Context, q *proto.Request) error {
	_, err := c.call(ctx, q)
	return err
}

// call sends a request of a user who is logged in and waits for the answer.
func (c *Client) call(ctx context.Context, q *proto.Request) (*proto.Response, error) {
	for {
		s, err := c.awaitReady(ctx)
		if err != nil {
			return nil, err
		}
		r, err := c.callOn(ctx, s, q)
		var e *proto.Error
		if errors.As(err, &e) && e.Errno == proto.TooFast && retriesWhenThrottled(q) {
			continue // it has nothing done, and said when to come again
		}
		return r, err
	}
}

// ready is the session of a user who is logged in, once something may be sent
// there.
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

// callOn sends a request on a session and waits for the answer.
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
		a := <-cl.ch // it was taken in, and what it says has been done
		return a.r, a.err
	}
}
