package tui

import (
	"fmt"
	"strconv"

	tea "charm.land/bubbletea/v2"
)

func (m *model) cmdFriends([]string) tea.Cmd {
	s := &overlay{title: "Friends"}
	for _, f := range m.c.Friends() {
		s.add(f.Name, f.State+" · id "+strconv.FormatInt(f.ID, 10))
	}
	if len(s.lines) == 0 {
		s.add("nobody yet", "/addfriend NAME")
	}
	m.overlay = s
	return nil
}

func (m *model) cmdGroups([]string) tea.Cmd {
	s := &overlay{title: "Groups"}
	for _, g := range m.c.Groups() {
		n := g.Count
		if g.Users != nil {
			n = int64(len(g.Users))
		}
		s.add(g.GroupName, fmt.Sprintf("%d members · id %d · %s", n, g.ID, g.GroupDesc))
	}
	if len(s.lines) == 0 {
		s.add("none yet", "/creategroup NAME, /addgroup ID")
	}
	m.overlay = s
	return nil
}

func (m *model) cmdConversations([]string) tea.Cmd {
	s := &overlay{title: "Conversations"}
	for _, c := range m.convList.items {
		if c.last == 0 {
			continue
		}
		s.add(m.title(c), fmt.Sprintf("%d messages, %d unread · %s · %s", c.last-c.first+1, c.unread(),
			c.lastTime.Local().Format("2006-01-02 15:04"), c.preview))
	}
	if len(s.lines) == 0 {
		s.add("nothing was said yet", "")
	}
	m.overlay = s
	return nil
}

func (m *model) cmdInfo([]string) tea.Cmd {
	s := &overlay{title: "Connection"}
	st := m.c.Stats()
	s.add("server", m.cfg.Server)
	s.add("state", m.state.String())
	s.add("user", fmt.Sprintf("%s, id %d", m.myName, m.myID))
	for _, v := range []struct {
		name string
		n    uint64
	}{{"sent", st.Sent}, {"acknowledged", st.Acked}, {"sent again", st.Repeated}, {"refused", st.Refused},
		{"received", st.Received}, {"known already", st.Duplicates}, {"holes asked for", st.Syncs},
		{"reconnects", st.Reconnects}, {"waits for the screen", m.mailbox.waits.Load()}} {
		s.add(v.name, strconv.FormatUint(v.n, 10))
	}
	m.overlay = s
	return nil
}

func (m *model) cmdHelp([]string) tea.Cmd {
	s := &overlay{title: "Help"}
	s.section("Keys")
	for _, k := range keysHelp() {
		s.add(k[0], k[1])
	}
	s.section("Commands")
	for i := range m.commands {
		s.add(m.commands[i].usage(), m.commands[i].help)
	}
	s.section("Marks of one's own messages")
	s.add(markSending, "on its way")
	s.add(markQueued, "there is no connection: it is sent as soon as there is one")
	s.add(markStored, "stored")
	s.add(markStored+markStored, "read by the other one")
	s.add(markFailed, "not sent; /retry, /discard")
	m.overlay = s
	return nil
}
