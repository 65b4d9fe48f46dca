package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"chatd/client"
	"chatd/client/chat/text"
	"chatd/proto"
)

const (
	defaultHistory = 20
	maxWait        = 24 * 3600 // seconds
)

// withTimeout returns a context for one request.
func withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, requestTimeout)
}

func (a *app) help(context.Context, []string) error {
	for i := range a.table {
		a.con.print("%-34s %s", a.table[i].usage(), a.table[i].help)
	}
	a.con.print("")
	a.con.print(`"user" and "group" are a name or an ID. "who" is a user, a group name, or a group ID after a g, such as g5.`)
	return nil
}

func (a *app) chat(ctx context.Context, args []string) error {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	u, err := a.findUser(ctx, args[0])
	if err != nil {
		return err
	}
	return a.send(ctx, client.User(u.ID), u.Name, args[1])
}

func (a *app) groupChat(ctx context.Context, args []string) error {
	g, err := a.findGroup(args[0])
	if err != nil {
		return err
	}
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	return a.send(ctx, client.Group(g.ID), g.GroupName, args[1])
}

// send opens a conversation and sends a message to it. With piped input it blocks until the message is stored,
// so that the lines of a script take effect in order. On a terminal it returns
// at once, and the outcome is printed later.
func (a *app) send(ctx context.Context, conv client.Conv, name, text string) error {
	a.open.Store(&conv)
	if !a.con.terminal {
		r, err := a.c.Send(ctx, conv, text)
		if err == nil {
			a.con.print("sent: %s #%d", name, r.Seq)
		}
		return err
	}
	if a.c.State() != client.LoggedIn {
		a.con.print("no connection: the message will be sent after reconnecting")
	}
	return a.c.SendAsync(conv, text, func(r client.Receipt, err error) {
		if err != nil {
			a.fail("couldn't send to %s: %s", name, errorText(err))
		} else {
			a.con.print("sent: %s #%d", name, r.Seq)
		}
	})
}

func (a *app) addFriend(ctx context.Context, args []string) error {
	return a.withUser(ctx, args[0], func(ctx context.Context, u proto.Friend) error {
		f, err := a.c.AddFriend(ctx, u.ID)
		if err == nil {
			a.con.print("friend added: %d %s %s", f.ID, f.Name, f.State)
		}
		return err
	})
}

func (a *app) delFriend(ctx context.Context, args []string) error {
	return a.withUser(ctx, args[0], func(ctx context.Context, u proto.Friend) error {
		err := a.c.DelFriend(ctx, u.ID)
		if err == nil {
			a.con.print("friend removed: %d %s", u.ID, u.Name)
		}
		return err
	})
}

func (a *app) block(ctx context.Context, args []string) error {
	return a.withUser(ctx, args[0], func(ctx context.Context, u proto.Friend) error {
		err := a.c.Block(ctx, u.ID, true)
		if err == nil {
			a.con.print("blocked: %d %s", u.ID, u.Name)
		}
		return err
	})
}

func (a *app) unblock(ctx context.Context, args []string) error {
	return a.withUser(ctx, args[0], func(ctx context.Context, u proto.Friend) error {
		err := a.c.Block(ctx, u.ID, false)
		if err == nil {
			a.con.print("unblocked: %d %s", u.ID, u.Name)
		}
		return err
	})
}

func (a *app) withUser(ctx context.Context, s string, do func(context.Context, proto.Friend) error) error {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	u, err := a.findUser(ctx, s)
	if err != nil {
		return err
	}
	return do(ctx, u)
}

func (a *app) find(ctx context.Context, args []string) error {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	f, err := a.c.FindUser(ctx, args[0])
	if err == nil {
		a.con.print("user: %d %s %s", f.ID, f.Name, f.State)
	}
	return err
}

func (a *app) createGroup(ctx context.Context, args []string) error {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	id, err := a.c.CreateGroup(ctx, args[0], args[1])
	if err == nil {
		a.con.print("group created: %d %s", id, args[0])
	}
	return err
}

func (a *app) addGroup(ctx context.Context, args []string) error {
	return a.withGroup(ctx, args[0], func(ctx context.Context, g proto.Group) error {
		g, err := a.c.JoinGroup(ctx, g.ID)
		if err == nil {
			a.con.print("joined: %d %s", g.ID, g.GroupName)
		}
		return err
	})
}

func (a *app) leaveGroup(ctx context.Context, args []string) error {
	return a.withGroup(ctx, args[0], func(ctx context.Context, g proto.Group) error {
		err := a.c.LeaveGroup(ctx, g.ID)
		if err == nil {
			a.con.print("left: %d %s", g.ID, g.GroupName)
		}
		return err
	})
}

func (a *app) dismissGroup(ctx context.Context, args []string) error {
	return a.withGroup(ctx, args[0], func(ctx context.Context, g proto.Group) error {
		err := a.c.DismissGroup(ctx, g.ID)
		if err == nil {
			a.con.print("group deleted: %d %s", g.ID, g.GroupName)
		}
		return err
	})
}

func (a *app) kickMember(ctx context.Context, args []string) error {
	return a.withGroup(ctx, args[0], func(ctx context.Context, g proto.Group) error {
		u, err := a.findUser(ctx, args[1])
		if err != nil {
			return err
		}
		if err = a.c.KickMember(ctx, g.ID, u.ID); err == nil {
			a.con.print("removed: %d %s from %d %s", u.ID, u.Name, g.ID, g.GroupName)
		}
		return err
	})
}

func (a *app) members(ctx context.Context, args []string) error {
	return a.withGroup(ctx, args[0], func(ctx context.Context, g proto.Group) error {
		for m, err := range a.c.GroupUsers(ctx, g.ID) {
			if err != nil {
				return err
			}
			a.showMember(m)
		}
		return nil
	})
}

func (a *app) withGroup(ctx context.Context, s string, do func(context.Context, proto.Group) error) error {
	g, err := a.findGroup(s)
	if err != nil {
		return err
	}
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	return do(ctx, g)
}

func (a *app) friends(context.Context, []string) error {
	a.showFriends()
	return nil
}

func (a *app) groups(context.Context, []string) error {
	a.showGroups()
	return nil
}

func (a *app) conversations(ctx context.Context, _ []string) error {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	list, more, err := a.c.Conversations(ctx, 0, proto.MaxConversations)
	if err != nil {
		return err
	}
	for _, v := range list {
		kind, id := "user", v.Peer
		if v.GroupID != 0 {
			kind, id = "group", v.GroupID
		}
		last := text.Safe("")
		if v.Message != nil {
			last = text.Sprintf("; %s: %s", text.Account(v.Message.Name, v.Message.Gone), v.Message.Msg)
		}
		a.con.print("%s %s %d %s: %d messages, %d unread%s", stamp(time.UnixMilli(v.Time)), kind, id, text.Account(v.Name, v.Gone),
			v.Last, max(0, v.Last-max(v.Read, v.First-1)), last)
	}
	if more {
		a.con.print("… older chats are not listed")
	}
	return nil
}

func (a *app) history(ctx context.Context, args []string) error {
	n := defaultHistory
	if len(args) > 1 {
		var err error
		if n, err = strconv.Atoi(args[1]); err != nil || n < 1 || n > proto.MaxSyncMessages {
			return fmt.Errorf("n must be a number from 1 to %d, not %q", proto.MaxSyncMessages, args[1])
		}
	}
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	conv, name, err := a.openConversation(ctx, args[0])
	if err != nil {
		return err
	}
	page, err := a.c.History(ctx, conv, 0, n)
	if err != nil {
		return err
	}
	for _, m := range page.Messages {
		a.con.print("#%d %s", m.Seq, a.format(m))
	}
	if len(page.Messages) == 0 {
		a.con.print("no messages yet: %s", name)
	}
	return nil
}

func (a *app) read(ctx context.Context, args []string) error {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	conv, name, err := a.openConversation(ctx, args[0])
	if err != nil {
		return err
	}
	a.c.MarkRead(conv, proto.MaxID) // the client limits it to what it has received
	a.con.print("marked as read: %s", name)
	return nil
}

func (a *app) typing(ctx context.Context, args []string) error {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	conv, _, err := a.openConversation(ctx, args[0])
	if err != nil {
		return err
	}
	return a.c.Typing(conv)
}

func (a *app) wait(ctx context.Context, args []string) error {
	seconds, err := strconv.ParseFloat(args[0], 64)
	if err != nil || !(seconds >= 0 && seconds <= maxWait) {
		return fmt.Errorf("seconds must be a number from 0 to %d, not %q", maxWait, args[0])
	}
	sleep(ctx, time.Duration(seconds*float64(time.Second)))
	return nil
}

func (a *app) quit(context.Context, []string) error {
	a.quitting = true
	return nil
}
