package client

import (
	"cmp"
	"slices"
	"time"

	"chatd/proto"
)

// applyLogin applies a LOGIN_ACK. The caller holds Client.mu.
func (c *Client) applyLogin(s *session, fx *effects, r *proto.Response) {
	if c.userID != r.ID || c.device != r.Device {
		// Another user or device: nothing we know belongs to it.
		for _, m := range c.outbox.takeAll() {
			fx.acks = append(fx.acks, ackResult{m: m, err: ErrLoggedOut})
		}
		c.lists = newLists()
		c.forgetConversations()
	}
	if c.epoch != r.Epoch {
		c.forgetConversations()
	}
	c.userID, c.name, c.device, c.token, c.epoch = r.ID, r.Name, r.Device, r.Token, r.Epoch
	c.features = slices.Clone(r.Features)
	c.stayLoggedIn, c.unsaved = true, true
	s.loggedIn = true
	if r.Window > 0 {
		c.outbox.window = int(min(int64(c.outbox.configuredWindow), r.Window))
	}
	fx.items = append(fx.items, queueItem{what: StateChange{State: LoggedIn, Addr: s.addr}})
	if !c.cfg.Brief {
		c.lists.replace(r.Friends, r.Groups)
		for conv := range c.conversations {
			if _, ok := c.lists.groups[conv.Group]; conv.Group != 0 && !ok {
				c.forgetConversation(conv) // left, removed or dismissed while offline
			}
		}
	}
	for i := range r.Offline {
		m := c.messageOfChat(&r.Offline[i])
		m.Backlog = true
		c.conversation(m.Conv).pushed(m.Seq)
		c.receiveMessage(fx, &m, true)
	}
	c.settleAt = time.Time{}
	if r.More {
		c.settleAt = time.Now().Add(unknownStartDelay)
		c.wakeAt(c.settleAt)
	} else {
		// The server takes all messages that aren't in offlinemsg as received.
		for _, g := range r.Groups {
			if t := c.conversation(Group(g.ID)); !t.started {
				c.queueMessages(fx, t, t.startAssumed(g.Seq, fx.scratch[:0]))
				t.receiptSent = t.handled
			}
		}
	}
	for _, t := range c.conversations { // receipts that were lost with the last connection, or waited for its missed messages
		c.queueReceipt(t)
	}
	for t := range c.gaps {
		c.scheduleSync(t, gapDelay)
	}
	c.sendWaiting(s.startedAt) // retry times were cleared when the last connection ended
}

// forgetConversations drops the state of all conversations.
func (c *Client) forgetConversations() {
	clear(c.conversations)
	clear(c.historyEnd)
	clear(c.gaps)
	c.receiptsDue, c.receiptsDueMessages = nil, 0
}

// applyAnswer updates lists and conversations after a successful request q with
// the answer r. The caller holds Client.mu.
func (c *Client) applyAnswer(fx *effects, q *proto.Request, r *proto.Response) {
	l := &c.lists
	switch r.Op {
	case proto.ADD_FRIEND_ACK:
		l.addFriend(proto.Friend{ID: q.FriendID, Name: r.Name, State: r.State})
	case proto.DEL_FRIEND_ACK:
		delete(l.friends, q.FriendID)
	case proto.CREATE_GROUP_ACK:
		l.groups[r.GroupID] = proto.Group{ID: r.GroupID, GroupName: q.GroupName, GroupDesc: q.GroupDesc,
			Users: []proto.Member{{ID: c.userID, Name: c.name, State: proto.Online, Role: proto.Creator}}}
		c.startGroup(fx, r.GroupID, 0)
	case proto.ADD_GROUP_ACK:
		l.groups[q.GroupID] = proto.Group{ID: q.GroupID, GroupName: r.GroupName, GroupDesc: r.GroupDesc,
			Seq: r.Seq, Users: slices.Clone(r.Users), Count: r.Count}
		c.startGroup(fx, q.GroupID, r.Seq)
	case proto.LEAVE_GROUP_ACK, proto.DISMISS_GROUP_ACK:
		delete(l.groups, q.GroupID)
		c.forgetConversation(Group(q.GroupID))
	case proto.KICK_MEMBER_ACK:
		l.removeMember(q.GroupID, q.UserID)
	case proto.PASSWORD_ACK:
		c.token, c.unsaved = r.Token, true
	}
}

// startGroup starts the conversation of a joined group: this device gets the
// messages after seq.
func (c *Client) startGroup(fx *effects, group, seq int64) {
	t := c.conversation(Group(group))
	c.queueMessages(fx, t, t.startAt(seq, fx.scratch[:0]))
	t.receiptSent = max(t.receiptSent, seq)
	c.queueReceipt(t)
	c.updateGap(t, true)
}

// applyPush applies a push that isn't a chat message. It returns the value to
// pass to a handler, nil for none. The caller holds Client.mu.
func (c *Client) applyPush(r *proto.Response) any {
	l := &c.lists
	switch r.Op {
	case proto.ADD_FRIEND:
		l.addFriend(proto.Friend{ID: r.ID, Name: r.Name})
		return Change{Kind: FriendAdded, User: r.ID, Name: r.Name}
	case proto.DEL_FRIEND:
		delete(l.friends, r.ID)
		return Change{Kind: FriendRemoved, User: r.ID}
	case proto.ADD_GROUP:
		l.addMember(r.GroupID, proto.Member{ID: r.ID, Name: r.Name, State: proto.Online, Role: proto.Normal})
		return Change{Kind: MemberJoined, Group: r.GroupID, User: r.ID, Name: r.Name}
	case proto.LEAVE_GROUP:
		l.removeMember(r.GroupID, r.ID)
		if r.ID == c.userID {
			delete(l.groups, r.GroupID)
			c.forgetConversation(Group(r.GroupID))
		}
		return Change{Kind: MemberLeft, Group: r.GroupID, User: r.ID, Name: r.Name}
	case proto.DISMISS_GROUP:
		delete(l.groups, r.GroupID)
		c.forgetConversation(Group(r.GroupID))
		return Change{Kind: GroupDismissed, Group: r.GroupID}
	case proto.BLOCK:
		kind := UserUnblocked
		if r.On {
			kind = UserBlocked
		}
		return Change{Kind: kind, User: r.UserID}
	case proto.PRESENCE:
		l.setPresence(r.ID, r.State)
		return Presence{User: r.ID, Online: r.State == proto.Online}
	case proto.EVENT:
		return Event{Conv: c.convOf(r.ID, r.ToID, r.GroupID), From: r.ID, Name: r.Name,
			Kind: string(r.Event), Data: string(r.Data)}
	case proto.RECEIPT:
		if r.Read {
			return Read{Conv: Conv{Peer: r.Peer, Group: r.GroupID}, User: r.ID, Seq: r.Seq}
		}
	case proto.ERROR:
		c.cfg.Logger.Warn("server refused a request", "errno", r.Errno, "message", cmp.Or(r.ErrMsg, "no message"))
	}
	return nil
}
