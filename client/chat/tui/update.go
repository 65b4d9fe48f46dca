package tui

import (
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"chatd/client"
)

// tick comes once a second while something on the screen runs out.
type tick struct{}

// stop asks the program to end: a signal.
type stop struct{}

// Update takes in what has happened. It never waits.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	cmd := m.take(msg)
	if !m.ticking && m.running() {
		m.ticking = true
		cmd = tea.Batch(cmd, tea.Tick(time.Second, func(time.Time) tea.Msg { return tick{} }))
	}
	return m, cmd
}

// running reports whether something shown changes with time alone.
func (m *model) running() bool {
	return m.login == nil && (!m.online() || m.open != nil && len(m.open.typing) > 0)
}

func (m *model) take(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.w, m.h, m.stale = msg.Width, msg.Height, true
	case tea.BackgroundColorMsg:
		m.theme = newTheme(msg.IsDark())
	case tea.ModeReportMsg:
		if msg.Mode == ansi.ModeUnicodeCore {
			m.measure(msg.Value == ansi.ModeReset || msg.Value == ansi.ModeSet || msg.Value == ansi.ModePermanentlySet)
		}
	case tea.FocusMsg:
		m.focused = true
		m.seen()
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
	case tick:
		m.ticking = false
	case stop:
		return tea.Quit
	case flushed:
		if msg.err == nil || m.waiting() == 0 {
			return tea.Quit
		}
		return m.askQuit()
	case events:
		return m.onEvents(msg)
	case loginDone:
		return m.onLoginDone(msg)
	case listed:
		m.onListed(msg)
	case page:
		return m.onPage(msg)
	case done:
		return m.onDone(msg)
	}
	return nil
}

// measure follows what the terminal says of how it counts columns.
func (m *model) measure(clusters bool) {
	m.ruler.Clusters = clusters
	m.input.r = m.ruler
	for _, c := range m.convs {
		for _, e := range c.entries {
			e.forget()
		}
	}
	for _, f := range []*form{m.login, m.passwd} {
		if f != nil {
			for i := range f.fields {
				f.fields[i].r = m.ruler
			}
		}
	}
	if m.sheet != nil {
		m.sheet.w = -1
	}
	m.stale = true
}

// onEvents takes in what the client has told.
func (m *model) onEvents(all events) tea.Cmd {
	var cmds []tea.Cmd
	for _, e := range all {
		switch e := e.(type) {
		case client.StateChange:
			cmds = append(cmds, m.onState(e))
		case client.Message:
			m.onMessage(e)
		case settled:
			m.onSettled(e)
		case client.Event:
			m.onEvent(e)
		case client.Read:
			m.onRead(e)
		case client.Presence:
			m.present[e.User] = e.Online
		case client.Change:
			m.onChange(e)
		}
	}
	if m.login == nil {
		m.roster.order(m.convs)
		m.seen()
		m.trim()
	}
	return tea.Batch(cmds...)
}

func (m *model) onMessage(e client.Message) {
	c := m.conv(e.Conv)
	if c.name == "" && e.Conv.Peer == e.From {
		c.name = e.Name
	}
	c.hear(e, m.me)
	m.changed(c)
}

// changed notes that the messages of a conversation are others now.
func (m *model) changed(c *conversation) {
	if c != m.open {
		return
	}
	m.stale = true
	if m.search != nil {
		m.search.find(c, m.ruler)
	}
}

// trim keeps the open conversation within its bounds.
func (m *model) trim() {
	if c := m.open; c != nil {
		n := len(c.entries)
		if c.trim(openMost, openBytes, c.scroll.up == 0); len(c.entries) != n {
			m.changed(c)
		}
	}
}

func (m *model) onSettled(e settled) {
	c := m.conv(e.conv)
	failed := ""
	if e.err != nil {
		failed = told(e.err)
	}
	c.settle(e.local, e.r, failed)
	m.changed(c)
}

func (m *model) onEvent(e client.Event) {
	if e.Kind == "typing" && e.From != m.me {
		if c := m.convs[e.Conv]; c != nil && len(c.typing) < 10 {
			c.typing[e.From] = typist{e.Name, m.now().Add(typingFor)}
		}
	}
}

func (m *model) onRead(e client.Read) {
	c := m.convs[e.Conv]
	switch {
	case c == nil:
	case e.User == m.me:
		c.read = max(c.read, e.Seq)
	default:
		c.peerRead = max(c.peerRead, e.Seq)
	}
}

func (m *model) onChange(e client.Change) {
	note := func(c *conversation, s string) {
		c.note(s, m.now())
		m.changed(c)
	}
	switch e.Kind {
	case client.FriendAdded:
		m.say(e.Name + " is your friend now")
	case client.MemberJoined:
		if c := m.convs[client.Group(e.Group)]; c != nil && e.User != m.me {
			note(c, e.Name+" has joined")
		}
	case client.MemberLeft:
		if c := m.convs[client.Group(e.Group)]; c != nil {
			if e.User == m.me {
				note(c, "you are no longer in this group")
			} else {
				note(c, m.who(e.User)+" has left")
			}
		}
	case client.GroupDismissed:
		if c := m.convs[client.Group(e.Group)]; c != nil {
			note(c, "the group was dismissed")
			if c != m.open {
				m.say(c.name + " was dismissed")
			}
		}
	}
	m.refresh()
}

// who is a user's name, as far as it is known.
func (m *model) who(id int64) string {
	if name := m.people[id]; name != "" {
		return name
	}
	return client.User(id).String()
}

// onPage takes in messages that were asked for.
func (m *model) onPage(p page) tea.Cmd {
	c := m.convs[p.conv]
	if c == nil {
		return nil
	}
	if p.err != nil {
		c.loading = false
		if !c.loaded {
			c.empty()
		}
		if c == m.open && m.ctx.Err() == nil {
			m.fail("the messages could not be read: " + told(p.err))
		}
		m.changed(c)
		return nil
	}
	atEnd := c.scroll.up == 0
	c.take(p)
	if c != m.open {
		c.rest()
		return nil
	}
	if p.way != wayLast {
		c.trim(openMost, openBytes, p.way == wayNewer)
	}
	m.changed(c)
	m.layout()
	if atEnd {
		m.seen()
	}
	m.roster.order(m.convs)
	if h := m.places().messages; p.way != wayNewer && !c.begins && m.thread.atTop(c.scroll, h) {
		return m.load(wayOlder) // a screen is taller than a page
	}
	return m.searchOn()
}
