package tui

import (
	"context"
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
)

// keysHelp is what help says of the keys.
func keysHelp() [][2]string {
	return [][2]string{
		{"Enter", "send · Alt-Enter, Ctrl-J: a new line"},
		{"Up, Down", "what was typed before; in the list: choose"},
		{"Alt-Up, Alt-Down", "the conversation above, below (also Ctrl-P, Ctrl-N)"},
		{"Tab", "complete a command; else the next conversation with unread messages"},
		{"PgUp, PgDn", "scroll (also Shift-Up, Shift-Down and the wheel)"},
		{"Ctrl-F", "search in the conversation: Enter older, Ctrl-N newer, Esc ends"},
		{"Esc", "close what is open; to the end; to the list where there is one pane"},
		{"F1", "this help"},
		{"Ctrl-L", "draw the screen again"},
		{"Ctrl-Z", "to the shell; fg comes back"},
		{"Ctrl-C", "end"},
	}
}

// key does what a key says: what lies on top gets it first.
func (m *model) key(k tea.KeyPressMsg) tea.Cmd {
	switch k.String() {
	case "ctrl+c":
		return m.quit()
	case "ctrl+z":
		return tea.Suspend
	case "ctrl+l":
		return tea.ClearScreen
	}
	switch {
	case m.login != nil:
		return m.loginKey(k)
	case m.ask != nil:
		return m.askKey(k)
	case m.passwd != nil:
		return m.passwdKey(k)
	case m.search != nil:
		return m.searchKey(k)
	case m.sheet != nil && m.sheetKey(k):
		return nil
	case m.menu.open() && m.menuKey(k):
		return nil
	}
	return m.chatKey(k)
}

// askKey answers a question: y is yes, all else is no.
func (m *model) askKey(k tea.KeyPressMsg) tea.Cmd {
	q := m.ask
	m.ask, m.ending = nil, false
	if strings.EqualFold(k.Text, "y") {
		return q.yes()
	}
	m.say("")
	return nil
}

// sheetKey scrolls or closes the sheet, and reports whether the key was for it.
func (m *model) sheetKey(k tea.KeyPressMsg) bool {
	h := m.places().messages
	switch k.String() {
	case "esc", "f1":
		m.sheet = nil
	case "enter":
		if !m.input.empty() {
			return false
		}
		m.sheet = nil
	case "up", "shift+up":
		m.sheet.scroll(-1, h)
	case "down", "shift+down":
		m.sheet.scroll(1, h)
	case "pgup":
		m.sheet.scroll(-h, h)
	case "pgdown":
		m.sheet.scroll(h, h)
	default:
		return false
	}
	return true
}

// menuKey chooses from the menu, and reports whether the key was for it.
func (m *model) menuKey(k tea.KeyPressMsg) bool {
	switch k.String() {
	case "up":
		m.menu.move(-1)
	case "down":
		m.menu.move(1)
	case "esc":
		m.menu.closed = true
	case "tab":
		m.choose()
	case "enter":
		// A command that is there whole is done; else it is completed first.
		if _, _, err := parseCommand(m.table, m.input.value()); err == nil || strings.Contains(m.input.value(), " ") {
			return false
		}
		m.choose()
	default:
		return false
	}
	return true
}

func (m *model) choose() {
	m.input.set(m.menu.choices[m.menu.at].line)
	m.complete()
}

// inList reports whether keys choose from the list.
func (m *model) inList() bool { return m.open == nil || m.narrow() && m.listView }

func (m *model) chatKey(k tea.KeyPressMsg) tea.Cmd {
	p := m.places()
	page := max(1, p.messages-2)
	switch s := k.String(); s {
	case "f1":
		return m.cmdHelp(nil)
	case "ctrl+f":
		return m.cmdSearch(nil)
	case "alt+up", "ctrl+p", "alt+down", "ctrl+n":
		m.roster.move(map[bool]int{true: -1, false: 1}[s == "alt+up" || s == "ctrl+p"])
		if c := m.roster.here(); c != nil && !m.inList() {
			return m.show(c)
		}
		return nil
	case "tab":
		if c := m.roster.nextUnread(m.open); c != nil && m.input.empty() {
			return m.show(c)
		}
		return nil
	case "pgup":
		return m.scroll(page)
	case "pgdown":
		return m.scroll(-page)
	case "shift+up":
		return m.scroll(1)
	case "shift+down":
		return m.scroll(-1)
	case "ctrl+home":
		return m.scroll(len(m.thread.rows))
	case "ctrl+end":
		return m.toEnd()
	case "esc":
		return m.escape()
	case "enter":
		return m.enterKey()
	case "up", "down":
		m.vertical(map[bool]int{true: -1, false: 1}[s == "up"], p.inputWidth)
		return nil
	}
	if m.input.key(k) {
		m.typed()
	}
	return nil
}

// vertical is the up or down key: in the list, in the text, in what was typed
// before.
func (m *model) vertical(by, w int) {
	if m.inList() && m.input.empty() {
		m.roster.move(by)
		return
	}
	if m.input.vertical(w, by) {
		return
	}
	if s, ok := m.recall.move(by, m.input.value()); ok {
		m.input.set(s)
		m.complete()
	}
}

// typed follows a change of the input.
func (m *model) typed() {
	m.complete()
	if now := m.now(); m.open != nil && !m.input.empty() && !isCommand(m.input.value()) && now.Sub(m.toldAt) >= typingEvery && m.open.id.Peer != m.me {
		m.toldAt = now
		_ = m.c.Typing(m.open.id) // worth nothing where it can't be told now
	}
}

func (m *model) paste(s string) {
	switch {
	case m.login != nil:
		if i := m.login.focus; i < len(m.login.fields) && !m.login.busy {
			m.login.fields[i].insert(s)
		}
	case m.passwd != nil:
		if i := m.passwd.focus; i < len(m.passwd.fields) {
			m.passwd.fields[i].insert(s)
		}
	case m.search != nil:
		m.search.input.insert(s)
		m.searchChanged()
	default:
		m.input.insert(s)
		m.typed()
	}
}

// escape goes one step back.
func (m *model) escape() tea.Cmd {
	switch {
	case m.notice != "":
		m.say("")
	case m.open != nil && (m.open.scroll.up > 0 || m.open.behind):
		return m.toEnd()
	case m.narrow() && !m.listView:
		m.listView = true
	}
	return nil
}

// enterKey sends, does, or opens.
func (m *model) enterKey() tea.Cmd {
	s := m.input.value()
	if strings.TrimSpace(s) == "" {
		if c := m.roster.here(); c != nil && m.inList() {
			m.input.set("")
			return m.show(c)
		}
		return nil
	}
	m.say("")
	m.sheet = nil
	if isCommand(s) {
		c, args, err := parseCommand(m.table, strings.TrimRight(s, " \n"))
		if err != nil {
			m.fail(err.Error())
			return nil
		}
		m.recall.add(s)
		m.input.set("")
		m.complete()
		return c.run(m, args)
	}
	if m.inList() || m.open == nil {
		m.fail("open a conversation first: choose one, or /chat NAME")
		return nil
	}
	if err := m.send(m.open, strings.TrimPrefix(s, "/")); err != nil {
		m.fail(told(err))
		return nil
	}
	m.recall.add(s)
	m.input.set("")
	m.complete()
	return m.toEnd()
}

// scroll moves through the messages, up by so many rows, and reads more where
// they end.
func (m *model) scroll(by int) tea.Cmd {
	c := m.open
	if c == nil || m.narrow() && m.listView {
		return nil
	}
	m.layout()
	h := m.places().messages
	m.thread.move(&c.scroll, by, h)
	switch {
	case by > 0 && m.thread.atTop(c.scroll, 2*h):
		return m.load(wayOlder)
	case by < 0 && c.behind && c.scroll.up < h:
		return m.load(wayNewer)
	}
	m.seen()
	return nil
}

// toEnd goes to what was said last.
func (m *model) toEnd() tea.Cmd {
	c := m.open
	if c == nil {
		return nil
	}
	c.scroll = scroll{}
	if c.behind {
		c.empty()
		m.changed(c)
		return m.load(wayLast)
	}
	m.seen()
	return nil
}

// flushFor is how long the end waits for messages that are on their way.
const flushFor = 5 * time.Second

// flushed is the end of waiting for them.
type flushed struct{ err error }

// quit ends the program. It waits a moment for what is on its way, and asks
// where messages can't be sent now; a second time it doesn't.
func (m *model) quit() tea.Cmd {
	if m.waiting() == 0 || m.login != nil || m.ending {
		return tea.Quit
	}
	m.ending = true
	if !m.online() {
		return m.askQuit()
	}
	m.say("sending …")
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(m.ctx, flushFor)
		defer cancel()
		return flushed{m.c.Flush(ctx)}
	}
}

func (m *model) askQuit() tea.Cmd {
	what := "a message is"
	if n := m.waiting(); n != 1 {
		what = fmt.Sprintf("%d messages are", n)
	}
	m.ask = &question{what + " not sent yet. End all the same? y, or Ctrl-C again", func() tea.Cmd { return tea.Quit }}
	return nil
}
