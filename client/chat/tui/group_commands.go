package tui

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	tea "charm.land/bubbletea/v2"

	"chatd/client"
	"chatd/client/chat/widget"
	"chatd/proto"
)

func (m *model) cmdGroupChat(args []string) tea.Cmd {
	g, err := m.group(args[0])
	if err != nil {
		m.notifyError(errorText(err))
		return nil
	}
	return m.openOrSend(client.Group(g.ID), g.GroupName, args)
}

func (m *model) cmdCreateGroup(args []string) tea.Cmd {
	desc := ""
	if len(args) > 1 {
		desc = args[1]
	}
	return m.request(func(ctx context.Context) requestDone {
		id, err := m.c.CreateGroup(ctx, args[0], desc)
		if err != nil {
			return requestDone{err: err}
		}
		return requestDone{notice: fmt.Sprintf("Group created. Others can join with /addgroup %d", id),
			then: func(m *model) tea.Cmd { return m.openNewGroup(id) }}
	})
}

func (m *model) cmdAddGroup(args []string) tea.Cmd {
	id, err := strconv.ParseInt(strings.TrimPrefix(args[0], "g"), 10, 64)
	if err != nil {
		m.notifyError("Enter the group ID. Its members can see it in /groups")
		return nil
	}
	return m.request(func(ctx context.Context) requestDone {
		_, err := m.c.JoinGroup(ctx, id)
		err = explain(err, proto.NotFound, "no group with ID %d", id)
		err = explain(err, proto.AlreadySo, "you're already in this group: /chat g%d", id)
		return requestDone{err: err, then: func(m *model) tea.Cmd { return m.openNewGroup(id) }}
	})
}

// openNewGroup opens a group the user has just created or joined.
func (m *model) openNewGroup(id int64) tea.Cmd {
	for _, g := range m.c.Groups() {
		if g.ID == id {
			c := m.conversation(client.Group(id))
			c.first, c.last, c.read = g.Seq+1, max(c.last, g.Seq), max(c.read, g.Seq)
			if c.lastTime.IsZero() {
				c.lastTime = m.now()
			}
			m.convList.update(m.conversations)
			say := m.notice
			cmd := m.openConversation(c)
			m.notify(say)
			return cmd
		}
	}
	return nil
}

func (m *model) cmdLeaveGroup(args []string) tea.Cmd {
	g, err := m.groupArg(args, 0)
	if err != nil {
		m.notifyError(errorText(err))
		return nil
	}
	return m.confirm("Leave "+g.GroupName+"?", func() tea.Cmd {
		return m.request(func(ctx context.Context) requestDone {
			err := m.c.LeaveGroup(ctx, g.ID)
			err = explain(err, proto.NotAllowed, "you can't leave a group you created. Use /deletegroup")
			return requestDone{err: err, notice: "You left " + g.GroupName, then: closeGroup(g.ID)}
		})
	})
}

func (m *model) cmdDismissGroup(args []string) tea.Cmd {
	g, err := m.groupArg(args, 0)
	if err != nil {
		m.notifyError(errorText(err))
		return nil
	}
	return m.confirm("Delete "+g.GroupName+" and its messages for everyone?", func() tea.Cmd {
		return m.request(func(ctx context.Context) requestDone {
			err := m.c.DismissGroup(ctx, g.ID)
			err = explain(err, proto.NotAllowed, "only the creator can delete %s", g.GroupName)
			return requestDone{err: err, notice: "Deleted " + g.GroupName, then: closeGroup(g.ID)}
		})
	})
}

// closeGroup closes a group the user is no longer in.
func closeGroup(group int64) func(m *model) tea.Cmd {
	return func(m *model) tea.Cmd {
		if m.open != nil && m.open.id.Group == group {
			m.closeConversation()
			m.showList = true
		}
		m.refreshContacts()
		return nil
	}
}

func (m *model) cmdKickMember(args []string) tea.Cmd {
	me := m.myID
	return m.withGroup(args, 1, func(ctx context.Context, g proto.Group) requestDone {
		i := slices.IndexFunc(g.Users, func(u proto.Member) bool { return u.Name == args[0] })
		var u proto.Friend
		if i >= 0 {
			u = proto.Friend{ID: g.Users[i].ID, Name: g.Users[i].Name}
		} else {
			var err error
			if u, err = findUser(ctx, m.c, args[0]); err != nil {
				return requestDone{err: err}
			}
		}
		err := m.c.KickMember(ctx, g.ID, u.ID)
		err = explain(err, proto.NotAllowed, "%s", whyNotRemoved(g, me, u))
		return requestDone{err: err, notice: "Removed " + u.Name + " from " + g.GroupName}
	})
}

// whyNotRemoved returns why the server doesn't allow me to remove u from g.
func whyNotRemoved(g proto.Group, me int64, u proto.Friend) string {
	i := slices.IndexFunc(g.Users, func(u proto.Member) bool { return u.ID == me })
	switch {
	case i < 0: // the group is too large to be listed
		return fmt.Sprintf("can't remove %s: not a member, or you aren't the creator", u.Name)
	case g.Users[i].Role != proto.Creator:
		return "only the creator of a group can remove members"
	case u.ID == me:
		return "you can't remove yourself. To delete the group, use /deletegroup"
	}
	return u.Name + " isn't a member of this group"
}

// maxMemberLines is how many members /members lists.
const maxMemberLines = 2000

func (m *model) cmdMembers(args []string) tea.Cmd {
	return m.withGroup(args, 0, func(ctx context.Context, g proto.Group) requestDone {
		s := &widget.Overlay{Title: "Members of " + g.GroupName}
		for u, err := range m.c.GroupUsers(ctx, g.ID) {
			if err != nil {
				return requestDone{err: err}
			}
			if s.Len() == maxMemberLines {
				s.Add("…", fmt.Sprintf("only the first %d members are listed", maxMemberLines))
				break
			}
			rest := u.State + " · ID " + strconv.FormatInt(u.ID, 10)
			if u.Role == proto.Creator {
				rest += " · creator"
			}
			s.Add(u.Name, rest)
		}
		return requestDone{then: showOverlay(s)}
	})
}
