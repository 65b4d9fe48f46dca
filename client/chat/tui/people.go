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

// talk opens a conversation, or says something in it.
func (m *model) talk(id client.Conv, name string, args []string) tea.Cmd {
	c := m.conv(id)
	if c.name == "" {
		c.name = name
	}
	m.roster.order(m.convs)
	if len(args) < 2 || args[1] == "" {
		return m.show(c)
	}
	if err := m.send(c, args[1]); err != nil {
		m.fail(told(err))
	} else if c != m.open {
		m.say("said to " + m.title(c))
	}
	return nil
}

func (m *model) cmdChat(args []string) tea.Cmd {
	// A conversation that is in the list is found there, be there a connection
	// or not.
	var found []*conversation
	for _, c := range m.roster.list {
		if c.name == args[0] || args[0] == "g"+strconv.FormatInt(c.id.Group, 10) {
			found = append(found, c)
		}
	}
	if len(found) == 1 {
		return m.talk(found[0].id, "", args)
	}
	if g, err := m.group(args[0]); err == nil && len(found) == 0 && strings.HasPrefix(args[0], "g") {
		return m.talk(client.Group(g.ID), g.GroupName, args)
	}
	return m.withUser(args, func(_ context.Context, u proto.Friend) done {
		return done{then: func(m *model) tea.Cmd { return m.talk(client.User(u.ID), u.Name, args) }}
	})
}

func (m *model) cmdNotes([]string) tea.Cmd { return m.talk(client.User(m.me), m.name, nil) }

func (m *model) cmdAddFriend(args []string) tea.Cmd {
	return m.withUser(args, func(ctx context.Context, u proto.Friend) done {
		f, err := m.c.AddFriend(ctx, u.ID)
		return done{err: err, say: f.Name + " is your friend now"}
	})
}

func (m *model) cmdDelFriend(args []string) tea.Cmd {
	return m.withUser(args, func(ctx context.Context, u proto.Friend) done {
		return done{err: m.c.DelFriend(ctx, u.ID), say: u.Name + " is no longer your friend"}
	})
}

func (m *model) cmdBlock(args []string) tea.Cmd { return m.setBlock(args, true, " is blocked now") }
func (m *model) cmdUnblock(args []string) tea.Cmd {
	return m.setBlock(args, false, " is no longer blocked")
}

func (m *model) setBlock(args []string, on bool, say string) tea.Cmd {
	return m.withUser(args, func(ctx context.Context, u proto.Friend) done {
		return done{err: m.c.Block(ctx, u.ID, on), say: u.Name + say}
	})
}

func (m *model) cmdFind(args []string) tea.Cmd {
	return m.withUser(args, func(_ context.Context, u proto.Friend) done {
		return done{say: fmt.Sprintf("%s has the id %d; /addfriend %s, /chat %s", u.Name, u.ID, quote(u.Name), quote(u.Name))}
	})
}
