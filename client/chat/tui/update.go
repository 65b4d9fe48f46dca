package tui

import (
	"errors"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"chatd/client"
	"chatd/client/chat/widget"
	"chatd/proto"
)

// tickMsg is sent every second while the screen depends on the time.
type tickMsg struct{}

// stopMsg quits after a signal.
type stopMsg struct{}

// Update handles a message of Bubble Tea. It never blocks.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	cmd := m.handle(msg)
	if !m.ticking && m.needsTick() {
		m.ticking = true
		cmd = tea.Batch(cmd, tea.Tick(time.Second, func(time.Time) tea.Msg { return tickMsg{} }))
	}
	return m, cmd
}

// needsTick reports whether something on the screen depends on the time.
func (m *model) needsTick() bool {
	return m.loginForm == nil && (!m.online() || m.open != nil && len(m.open.typing) > 0)
}

func (m *model) handle(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.w, m.h, m.transcriptDirty = msg.Width, msg.Height, true
	case tea.BackgroundColorMsg:
		m.theme = widget.NewTheme(msg.IsDark())
	case tea.ModeReportMsg:
		if msg.Mode == ansi.ModeUnicodeCore {
			m.setWidthMode(msg.Value == ansi.ModeReset || msg.Value == ansi.ModeSet || msg.Value == ansi.ModePermanentlySet)
		}
	case tea.FocusMsg:
		m.focused = true
		m.markSeen()
	case tea.BlurMsg:
		m.focused = false
	case tea.KeyPressMsg:
		return m.key(msg)
	case tea.PasteMsg:
		m.paste(msg.Content)
	case tea.MouseClickMsg:
		return m.click(tea.Mouse(msg))
	case tea.MouseWheelMsg:
		return m.wheel(tea.Mouse(msg))
	case tickMsg:
		m.ticking = false
	case stopMsg:
		return tea.Quit
	case flushDone:
		if msg.err == nil || m.pendingCount() == 0 {
			return tea.Quit
		}
		return m.confirmQuit()
	case events:
		return m.onEvents(msg)
	case loginDone:
		return m.onLoginDone(msg)
	case conversationsLoaded:
		m.onConversations(msg)
	case page:
		return m.onPage(msg)
	case requestDone:
		return m.onDone(msg)
	}
	return nil
}

// setWidthMode sets whether the terminal measures text by grapheme cluster or
// by code point.
func (m *model) setWidthMode(clusters bool) {
	m.ruler.Clusters = clusters
	m.input.Ruler = m.ruler
	for _, c := range m.conversations {
		for _, e := range c.messages {
			e.clearCache()
		}
	}
	for _, f := range []*widget.Form{m.loginForm, m.passwordForm} {
		if f != nil {
			for i := range f.Fields {
				f.Fields[i].Ruler = m.ruler
			}
		}
	}
	if m.overlay != nil {
		m.overlay.Rewrap()
	}
	m.transcriptDirty = true
}

// onEvents handles events from the client.
func (m *model) onEvents(all events) tea.Cmd {
	var cmds []tea.Cmd
	for _, e := range all {
		switch e := e.(type) {
		case client.StateChange:
			cmds = append(cmds, m.onState(e))
		case client.Message:
			m.onMessage(e)
		case sendResult:
			m.onSendResult(e)
		case client.Event:
			m.onEvent(e)
		case client.Read:
			m.onRead(e)
		case client.Presence:
			m.presence[e.User] = e.Online
		case client.Change:
			m.onChange(e)
		}
	}
	if m.loginForm == nil {
		m.convList.update(m.conversations)
		m.markSeen()
		m.trimOpen()
	}
	return tea.Batch(cmds...)
}

func (m *model) onMessage(e client.Message) {
	c := m.conversation(e.Conv)
	if c.name == "" && e.Conv.Peer == e.From {
		c.name = e.Name
	}
	c.receive(e, m.myID)
	m.messagesChanged(c)
}

// messagesChanged must be called after the messages of c have changed.
func (m *model) messagesChanged(c *conversation) {
	if c != m.open {
		return
	}
	m.transcriptDirty = true
	if m.search != nil {
		m.search.find(c, m.ruler)
	}
}

// trimOpen drops messages of the open conversation beyond its limits.
func (m *model) trimOpen() {
	if c := m.open; c != nil {
		n := len(c.messages)
		if c.trim(openMaxMessages, openMaxBytes, c.scroll.fromBottom == 0); len(c.messages) != n {
			m.messagesChanged(c)
		}
	}
}

func (m *model) onSendResult(e sendResult) {
	c := m.conversation(e.conv)
	failed := ""
	if err := e.err; err != nil {
		if c.id.Peer != 0 {
			if refused := new(proto.Error); errors.As(err, &refused) && refused.Errno == proto.NotFound {
				c.gone = true
			}
			err = explain(err, proto.NotAllowed, "this user has blocked you")
			err = explain(err, proto.NotFound, "this account was deleted")
		} else {
			err = explain(err, proto.NotAllowed, "you're not in this group")
			err = explain(err, proto.NotFound, "this group was deleted")
		}
		failed = errorText(err)
	}
	c.completeSend(e.local, e.receipt, failed)
	m.messagesChanged(c)
}

func (m *model) onEvent(e client.Event) {
	if e.Kind == "typing" && e.From != m.myID {
		if c := m.conversations[e.Conv]; c != nil && len(c.typing) < 10 {
			c.typing[e.From] = typist{e.Name, m.now().Add(typingExpiry)}
		}
	}
}

func (m *model) onRead(e client.Read) {
	c := m.conversations[e.Conv]
	switch {
	case c == nil:
	case e.User == m.myID:
		c.read = max(c.read, e.Seq)
	default:
		c.peerRead = max(c.peerRead, e.Seq)
	}
}

func (m *model) onChange(e client.Change) {
	note := func(c *conversation, s string) {
		c.addNotice(s, m.now())
		m.messagesChanged(c)
	}
	switch e.Kind {
	case client.FriendAdded:
		m.notify(e.Name + " is now your friend")
	case client.MemberJoined:
		if c := m.conversations[client.Group(e.Group)]; c != nil && e.User != m.myID {
			note(c, e.Name+" joined")
		}
	case client.MemberLeft:
		if c := m.conversations[client.Group(e.Group)]; c != nil {
			if e.User == m.myID {
				note(c, "You are no longer a member of this group")
			} else {
				note(c, m.userName(e.User)+" left")
			}
		}
	case client.GroupDismissed:
		if c := m.conversations[client.Group(e.Group)]; c != nil {
			note(c, "This group was deleted")
			if c != m.open {
				m.notify(c.name + " was deleted")
			}
		}
	}
	m.refreshContacts()
}

// userName returns a user's name, or "user" and the ID if the name isn't known.
func (m *model) userName(id int64) string {
	if name := m.names[id]; name != "" {
		return name
	}
	return client.User(id).String()
}

// onPage handles the result of loadPage.
func (m *model) onPage(p page) tea.Cmd {
	c := m.conversations[p.conv]
	if c == nil {
		return nil
	}
	if p.err != nil {
		c.loading = false
		if !c.loaded {
			c.dropStored()
		}
		if c == m.open && m.ctx.Err() == nil {
			m.notifyError("Couldn't load messages. " + errorText(p.err))
		}
		m.messagesChanged(c)
		return nil
	}
	atEnd := c.scroll.fromBottom == 0
	c.addPage(p)
	if c != m.open {
		c.shrink()
		return nil
	}
	if p.kind != pageLast {
		c.trim(openMaxMessages, openMaxBytes, p.kind == pageNewer)
	}
	m.messagesChanged(c)
	m.updateTranscript()
	if atEnd {
		m.markSeen()
	}
	m.convList.update(m.conversations)
	if h := m.layout().messages; p.kind != pageNewer && !c.hasFirst && m.transcript.atTop(c.scroll, h) {
		return m.loadPage(pageOlder) // the screen is taller than a page
	}
	return m.continueSearch()
}
