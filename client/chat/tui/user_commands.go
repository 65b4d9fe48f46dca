package tui

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	tea "charm.land/bubbletea/v2"

	"chatd/client"
	"chatd/proto"
)

// openOrSend opens a conversation, or sends it the second argument.
func (m *model) openOrSend(id client.Conv, name string, args []string) tea.Cmd {
	c := m.conversation(id)
	if c.name == "" {
		c.name = name
	}
	m.convList.update(m.conversations)
	if len(args) < 2 || args[1] == "" {
		return m.openConversation(c)
	}
	if err := m.send(c, args[1]); err != nil {
		m.notifyError(errorText(err))
	} else if c != m.open && m.online() {
		m.notify("Message sent to " + m.title(c))
	} else if c != m.open {
		m.notify("No connection. The message to " + m.title(c) + " will be sent after reconnecting")
	}
	return nil
}

func (m *model) cmdChat(args []string) tea.Cmd {
	// Look in the list first: that works offline, too.
	var found []*conversation
	for _, c := range m.convList.items {
		if c.name == args[0] || args[0] == "g"+strconv.FormatInt(c.id.Group, 10) {
			found = append(found, c)
		}
	}
	if len(found) == 1 {
		return m.openOrSend(found[0].id, "", args)
	}
	if g, err := m.group(args[0]); err == nil && len(found) == 0 && strings.HasPrefix(args[0], "g") {
		return m.openOrSend(client.Group(g.ID), g.GroupName, args)
	}
	return m.withUser(args, func(_ context.Context, u proto.Friend) requestDone {
		return requestDone{then: func(m *model) tea.Cmd { return m.openOrSend(client.User(u.ID), u.Name, args) }}
	})
}

func (m *model) cmdNotes([]string) tea.Cmd { return m.openOrSend(client.User(m.myID), m.myName, nil) }

func (m *model) cmdAddFriend(args []string) tea.Cmd {
	me := m.myID
	return m.withUser(args, func(ctx context.Context, u proto.Friend) requestDone {
		if u.ID == me {
			return requestDone{err: errors.New("you can't add yourself as a friend")}
		}
		f, err := m.c.AddFriend(ctx, u.ID)
		err = explain(err, proto.AlreadySo, "you're already friends with %s", u.Name)
		err = explain(err, proto.NotAllowed, "you can't add %s, who has blocked you", u.Name)
		err = explain(err, proto.LimitFull, "your friend list or the one of %s is full", u.Name)
		return requestDone{err: err, notice: f.Name + " is now your friend"}
	})
}

func (m *model) cmdDelFriend(args []string) tea.Cmd {
	return m.withUser(args, func(ctx context.Context, u proto.Friend) requestDone {
		err := explain(m.c.DelFriend(ctx, u.ID), proto.AlreadySo, "you're not friends with %s", u.Name)
		return requestDone{err: err, notice: u.Name + " is no longer your friend"}
	})
}

func (m *model) cmdBlock(args []string) tea.Cmd { return m.setBlock(args, true, " is now blocked") }
func (m *model) cmdUnblock(args []string) tea.Cmd {
	return m.setBlock(args, false, " is no longer blocked")
}

func (m *model) setBlock(args []string, on bool, say string) tea.Cmd {
	me := m.myID
	return m.withUser(args, func(ctx context.Context, u proto.Friend) requestDone {
		if u.ID == me {
			return requestDone{err: errors.New("you can't block yourself")}
		}
		return requestDone{err: m.c.Block(ctx, u.ID, on), notice: u.Name + say}
	})
}

func (m *model) cmdFind(args []string) tea.Cmd {
	return m.withUser(args, func(_ context.Context, u proto.Friend) requestDone {
		notice := fmt.Sprintf("%s has ID %d. /chat %s", u.Name, u.ID, quote(u.Name))
		if u.State == "" { // not a friend
			notice += " or /addfriend " + quote(u.Name)
		}
		return requestDone{notice: notice}
	})
}
