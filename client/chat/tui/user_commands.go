package tui

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	tea "charm.land/bubbletea/v2"

	"chatd/client"
	"chatd/proto"
)

// openOrSend opens a conversation, or sends it the message in the second argument.
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
	} else if c != m.open {
		m.notify("Message sent to " + m.title(c))
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
	return m.withUser(args, func(ctx context.Context, u proto.Friend) requestDone {
		f, err := m.c.AddFriend(ctx, u.ID)
		return requestDone{err: err, notice: f.Name + " is now your friend"}
	})
}

func (m *model) cmdDelFriend(args []string) tea.Cmd {
	return m.withUser(args, func(ctx context.Context, u proto.Friend) requestDone {
		return requestDone{err: m.c.DelFriend(ctx, u.ID), notice: u.Name + " is no longer your friend"}
	})
}

func (m *model) cmdBlock(args []string) tea.Cmd { return m.setBlock(args, true, " is now blocked") }
func (m *model) cmdUnblock(args []string) tea.Cmd {
	return m.setBlock(args, false, " is no longer blocked")
}

func (m *model) setBlock(args []string, on bool, say string) tea.Cmd {
	return m.withUser(args, func(ctx context.Context, u proto.Friend) requestDone {
		return requestDone{err: m.c.Block(ctx, u.ID, on), notice: u.Name + say}
	})
}

func (m *model) cmdFind(args []string) tea.Cmd {
	return m.withUser(args, func(_ context.Context, u proto.Friend) requestDone {
		return requestDone{notice: fmt.Sprintf("%s has ID %d. /chat %s or /addfriend %s", u.Name, u.ID, quote(u.Name), quote(u.Name))}
	})
}
