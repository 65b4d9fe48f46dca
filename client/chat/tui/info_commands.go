package tui

import (
	"fmt"
	"strconv"

	"chatd/client/chat/widget"

	tea "charm.land/bubbletea/v2"
)

func (m *model) cmdFriends([]string) tea.Cmd {
	s := &widget.Overlay{Title: "Friends"}
	for _, f := range m.c.Friends() {
		s.Add(f.Name, f.State+" · id "+strconv.FormatInt(f.ID, 10))
	}
	if s.Len() == 0 {
		s.Add("nobody yet", "/addfriend NAME")
	}
	m.overlay = s
	return nil
}

func (m *model) cmdGroups([]string) tea.Cmd {
	s := &widget.Overlay{Title: "Groups"}
	for _, g := range m.c.Groups() {
		n := g.Count
		if g.Users != nil {
			n = int64(len(g.Users))
		}
		s.Add(g.GroupName, fmt.Sprintf("%d members · id %d · %s", n, g.ID, g.GroupDesc))
	}
	if s.Len() == 0 {
		s.Add("none yet", "/creategroup NAME, /addgroup ID")
	}
	m.overlay = s
	return nil
}

func (m *model) cmdConversations([]string) tea.Cmd {
	s := &widget.Overlay{Title: "Conversations"}
	for _, c := range m.convList.items {
		if c.last == 0 {
			continue
		}
		s.Add(m.title(c), fmt.Sprintf("%d messages, %d unread · %s · %s", c.last-c.first+1, c.unread(),
			c.lastTime.Local().Format("2006-01-02 15:04"), c.preview))
	}
	if s.Len() == 0 {
		s.Add("nothing was said yet", "")
	}
	m.overlay = s
	return nil
}

func (m *model) cmdInfo([]string) tea.Cmd {
	s := &widget.Overlay{Title: "Connection"}
	st := m.c.Stats()
	s.Add("server", m.cfg.Server)
	s.Add("state", m.state.String())
	s.Add("user", fmt.Sprintf("%s, id %d", m.myName, m.myID))
	for _, v := range []struct {
		name string
		n    uint64
	}{{"sent", st.Sent}, {"acknowledged", st.Acked}, {"sent again", st.Repeated}, {"refused", st.Refused},
		{"received", st.Received}, {"known already", st.Duplicates}, {"holes asked for", st.Syncs},
		{"reconnects", st.Reconnects}, {"waits for the screen", m.mailbox.waits.Load()}} {
		s.Add(v.name, strconv.FormatUint(v.n, 10))
	}
	m.overlay = s
	return nil
}

func (m *model) cmdHelp([]string) tea.Cmd {
	s := &widget.Overlay{Title: "Help"}
	s.AddHeading("Keys")
	for _, k := range keysHelp() {
		s.Add(k[0], k[1])
	}
	s.AddHeading("Commands")
	for i := range m.commands {
		s.Add(m.commands[i].usage(), m.commands[i].help)
	}
	s.AddHeading("Marks of one's own messages")
	s.Add(markSending, "on its way")
	s.Add(markQueued, "there is no connection: it is sent as soon as there is one")
	s.Add(markStored, "stored")
	s.Add(markStored+markStored, "read by the other one")
	s.Add(markFailed, "not sent; /retry, /discard")
	m.overlay = s
	return nil
}
