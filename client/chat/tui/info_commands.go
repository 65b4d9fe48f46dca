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
		s.Add(f.Name, f.State+" · ID "+strconv.FormatInt(f.ID, 10))
	}
	if s.Len() == 0 {
		s.Add("No friends yet", "add one with /addfriend NAME")
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
		rest := fmt.Sprintf("%s · ID %d", plural(n, "member"), g.ID)
		if g.GroupDesc != "" {
			rest += " · " + g.GroupDesc
		}
		s.Add(g.GroupName, rest)
	}
	if s.Len() == 0 {
		s.Add("No groups yet", "create one with /creategroup NAME, or join one with /addgroup ID")
	}
	m.overlay = s
	return nil
}

func (m *model) cmdConversations([]string) tea.Cmd {
	s := &widget.Overlay{Title: "Chats"}
	for _, c := range m.convList.items {
		if c.last == 0 {
			continue
		}
		s.Add(m.title(c), fmt.Sprintf("%s, %d unread · %s · %s", plural(c.last-c.first+1, "message"), c.unread(),
			c.lastTime.Local().Format("2006-01-02 15:04"), c.preview))
	}
	if s.Len() == 0 {
		s.Add("No messages yet", "start a chat with /chat NAME")
	}
	m.overlay = s
	return nil
}

func (m *model) cmdInfo([]string) tea.Cmd {
	s := &widget.Overlay{Title: "Connection details"}
	st := m.c.Stats()
	s.Add("Server", m.cfg.Server)
	s.Add("Connection", m.state.String())
	s.Add("User", fmt.Sprintf("%s · ID %d", m.myName, m.myID))
	s.AddHeading("Messages")
	for _, v := range []struct {
		name string
		n    uint64
	}{{"Sent", st.Sent}, {"Acknowledged", st.Acked}, {"Resent", st.Repeated}, {"Refused", st.Refused},
		{"Received", st.Received}, {"Duplicates dropped", st.Duplicates}, {"Missing messages fetched", st.Syncs},
		{"Reconnects", st.Reconnects}, {"Times the screen fell behind", m.mailbox.waits.Load()}} {
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
	s.AddHeading("Status of your messages")
	s.Add(markSending, "sending")
	s.Add(markQueued, "no connection; will be sent after reconnecting")
	s.Add(markStored, "sent: stored on the server")
	s.Add(markStored+markStored, "read by the other user (not shown in groups)")
	s.Add(markFailed, "couldn't send; /retry or /discard")
	m.overlay = s
	return nil
}
