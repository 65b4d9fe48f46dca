package tui

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	tea "charm.land/bubbletea/v2"

	"chatd/client"
	"chatd/proto"
)

func (m *model) cmdGroupChat(args []string) tea.Cmd {
	g, err := m.group(args[0])
	if err != nil {
		m.fail(err.Error())
		return nil
	}
	return m.talk(client.Group(g.ID), g.GroupName, args)
}

func (m *model) cmdCreateGroup(args []string) tea.Cmd {
	desc := ""
	if len(args) > 1 {
		desc = args[1]
	}
	return m.request(func(ctx context.Context) done {
		id, err := m.c.CreateGroup(ctx, args[0], desc)
		if err != nil {
			return done{err: err}
		}
		return done{say: fmt.Sprintf("others join with /addgroup %d", id),
			then: func(m *model) tea.Cmd { return m.begin(id) }}
	})
}

func (m *model) cmdAddGroup(args []string) tea.Cmd {
	id, err := strconv.ParseInt(strings.TrimPrefix(args[0], "g"), 10, 64)
	if err != nil {
		m.fail("a group is joined by its id, which its members know")
		return nil
	}
	return m.request(func(ctx context.Context) done {
		_, err := m.c.JoinGroup(ctx, id)
		return done{err: err, then: func(m *model) tea.Cmd { return m.begin(id) }}
	})
}

// begin opens a group that is new.
func (m *model) begin(id int64) tea.Cmd {
	for _, g := range m.c.Groups() {
		if g.ID == id {
			c := m.conv(client.Group(id))
			c.first, c.last, c.read = g.Seq+1, max(c.last, g.Seq), max(c.read, g.Seq)
			if c.latest.IsZero() {
				c.latest = m.now()
			}
			m.roster.order(m.convs)
			say := m.notice
			cmd := m.show(c)
			m.say(say)
			return cmd
		}
	}
	return nil
}

func (m *model) cmdLeaveGroup(args []string) tea.Cmd {
	g, err := m.groupArg(args, 0)
	if err != nil {
		m.fail(err.Error())
		return nil
	}
	return m.sure("Leave "+g.GroupName+"?", func() tea.Cmd {
		return m.request(func(ctx context.Context) done {
			err := m.c.LeaveGroup(ctx, g.ID)
			if refused := new(proto.Error); errors.As(err, &refused) && refused.Errno == proto.NotAllowed {
				err = errors.New("who has made a group can't leave it, only /dismissgroup")
			}
			return done{err: err, say: "you have left " + g.GroupName, then: closing(g.ID)}
		})
	})
}

func (m *model) cmdDismissGroup(args []string) tea.Cmd {
	g, err := m.groupArg(args, 0)
	if err != nil {
		m.fail(err.Error())
		return nil
	}
	return m.sure("Dismiss "+g.GroupName+", for all of its members?", func() tea.Cmd {
		return m.request(func(ctx context.Context) done {
			return done{err: m.c.DismissGroup(ctx, g.ID), say: g.GroupName + " is dismissed", then: closing(g.ID)}
		})
	})
}

// closing closes a group that one is no longer in.
func closing(group int64) func(m *model) tea.Cmd {
	return func(m *model) tea.Cmd {
		if m.open != nil && m.open.id.Group == group {
			m.leave()
			m.listView = true
		}
		m.refresh()
		return nil
	}
}

func (m *model) cmdKickMember(args []string) tea.Cmd {
	return m.withGroup(args, 1, func(ctx context.Context, g proto.Group) done {
		i := slices.IndexFunc(g.Users, func(u proto.Member) bool { return u.Name == args[0] })
		var u proto.Friend
		if i >= 0 {
			u = proto.Friend{ID: g.Users[i].ID, Name: g.Users[i].Name}
		} else {
			var err error
			if u, err = findUser(ctx, m.c, args[0]); err != nil {
				return done{err: err}
			}
		}
		return done{err: m.c.KickMember(ctx, g.ID, u.ID), say: u.Name + " is no longer in " + g.GroupName}
	})
}

func (m *model) cmdMembers(args []string) tea.Cmd {
	return m.withGroup(args, 0, func(ctx context.Context, g proto.Group) done {
		s := &sheet{title: "Members of " + g.GroupName}
		for u, err := range m.c.GroupUsers(ctx, g.ID) {
			if err != nil {
				return done{err: err}
			}
			if len(s.lines) == maxSheet {
				s.add("…", "and more")
				break
			}
			rest := u.State + " · id " + strconv.FormatInt(u.ID, 10)
			if u.Role == proto.Creator {
				rest += " · creator"
			}
			s.add(u.Name, rest)
		}
		return done{then: laying(s)}
	})
}
