package tui

import (
	"context"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
)

// keysHelp returns the keys and their descriptions for the help.
func keysHelp() [][2]string {
	return [][2]string{
		{"Enter", "send"},
		{"Alt-Enter, Ctrl-J", "new line"},
		{"Up, Down", "input history; select in the list"},
		{"Alt-Up/Down, Ctrl-P/N", "previous, next chat"},
		{"Tab", "complete a command, or open the next unread chat"},
		{"PgUp, PgDn", "scroll (also Shift-Up/Down, mouse wheel)"},
		{"Ctrl-F", "search the open chat"},
		{"Esc", "close; go to the latest message; go back to the list"},
		{"F1", "show this help"},
		{"Ctrl-L", "redraw the screen"},
		{"Ctrl-Z", "suspend; fg resumes"},
		{"Ctrl-C", "quit"},
		{"//", "begin a message with a /"},
	}
}

// key handles a key: first a form, question, overlay or menu, then the chat.
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
	case m.loginForm != nil:
		return m.loginKey(k)
	case m.question != nil:
		return m.askKey(k)
	case m.passwordForm != nil:
		return m.passwdKey(k)
	case m.search != nil:
		return m.searchKey(k)
	case m.overlay != nil && m.overlayKey(k):
		return nil
	case m.menu.open() && m.menuKey(k):
		return nil
	}
	return m.chatKey(k)
}

// askKey answers a question. Any key but y means no.
func (m *model) askKey(k tea.KeyPressMsg) tea.Cmd {
	q := m.question
	m.question, m.quitting = nil, false
	if strings.EqualFold(k.Text, "y") {
		return q.yes()
	}
	m.notify("")
	return nil
}

// overlayKey handles a key in the overlay. It returns false if the overlay has
// no use for the key.
func (m *model) overlayKey(k tea.KeyPressMsg) bool {
	h := m.layout().messages
	switch k.String() {
	case "esc", "f1":
		m.overlay = nil
	case "enter":
		if !m.input.Empty() {
			return false
		}
		m.overlay = nil
	case "up", "shift+up":
		m.overlay.Scroll(-1, h)
	case "down", "shift+down":
		m.overlay.Scroll(1, h)
	case "pgup":
		m.overlay.Scroll(-h, h)
	case "pgdown":
		m.overlay.Scroll(h, h)
	default:
		return false
	}
	return true
}

// menuKey handles a key in the completion menu. It returns false if the menu
// has no use for the key.
func (m *model) menuKey(k tea.KeyPressMsg) bool {
	switch k.String() {
	case "up":
		m.menu.move(-1)
	case "down":
		m.menu.move(1)
	case "esc":
		m.menu.closed = true
	case "tab":
		m.acceptCompletion()
	case "enter":
		// Enter runs a complete command. Otherwise it accepts the completion.
		if _, _, err := parseCommand(m.commands, m.input.Value()); err == nil || strings.Contains(m.input.Value(), " ") {
			return false
		}
		m.acceptCompletion()
	default:
		return false
	}
	return true
}

func (m *model) acceptCompletion() {
	m.input.Set(m.menu.items[m.menu.cursor].line)
	m.updateCompletions()
}

// listFocused reports whether Up, Down and Enter act on the conversation list.
func (m *model) listFocused() bool { return m.open == nil || m.narrow() && m.showList }

func (m *model) chatKey(k tea.KeyPressMsg) tea.Cmd {
	p := m.layout()
	page := max(1, p.messages-2)
	switch s := k.String(); s {
	case "f1":
		return m.cmdHelp(nil)
	case "ctrl+f":
		return m.cmdSearch(nil)
	case "alt+up", "ctrl+p", "alt+down", "ctrl+n":
		m.convList.move(map[bool]int{true: -1, false: 1}[s == "alt+up" || s == "ctrl+p"])
		if c := m.convList.selected(); c != nil && !m.listFocused() {
			return m.openConversation(c)
		}
		return nil
	case "tab":
		if c := m.convList.nextUnread(m.open); c != nil && m.input.Empty() {
			return m.openConversation(c)
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
		return m.scroll(len(m.transcript.rows))
	case "ctrl+end":
		return m.scrollToEnd()
	case "esc":
		return m.escape()
	case "enter":
		return m.submit()
	case "up", "down":
		m.upDown(map[bool]int{true: -1, false: 1}[s == "up"], p.inputWidth)
		return nil
	}
	if m.input.HandleKey(k) {
		m.inputChanged()
	}
	return nil
}

// upDown handles Up and Down. They move in the list, between rows of the input,
// or through the input history.
func (m *model) upDown(by, w int) {
	if m.listFocused() && m.input.Empty() {
		m.convList.move(by)
		return
	}
	if m.input.MoveVertical(w, by) {
		return
	}
	if s, ok := m.history.Move(by, m.input.Value()); ok {
		m.input.Set(s)
		m.updateCompletions()
	}
}

// inputChanged must be called after the input has changed.
func (m *model) inputChanged() {
	m.updateCompletions()
	if now := m.now(); m.open != nil && !m.input.Empty() && !isCommand(m.input.Value()) && now.Sub(m.typingSentAt) >= typingInterval && m.open.id.Peer != m.myID {
		m.typingSentAt = now
		_ = m.c.Typing(m.open.id) // not worth a retry: later it would be stale
	}
}

func (m *model) paste(s string) {
	switch {
	case m.loginForm != nil:
		if i := m.loginForm.Focus; i < len(m.loginForm.Fields) && !m.loginForm.Busy {
			m.loginForm.Fields[i].Insert(s)
		}
	case m.passwordForm != nil:
		if i := m.passwordForm.Focus; i < len(m.passwordForm.Fields) {
			m.passwordForm.Fields[i].Insert(s)
		}
	case m.search != nil:
		m.search.input.Insert(s)
		m.searchChanged()
	default:
		m.input.Insert(s)
		m.inputChanged()
	}
}

// escape clears the notice, goes to the end of the conversation, or returns to
// the list.
func (m *model) escape() tea.Cmd {
	switch {
	case m.notice != "":
		m.notify("")
	case m.open != nil && (m.open.scroll.fromBottom > 0 || m.open.newerDropped):
		return m.scrollToEnd()
	case m.narrow() && !m.showList:
		m.showList = true
	}
	return nil
}

// submit sends the input, runs it as a command, or opens the selected
// conversation.
func (m *model) submit() tea.Cmd {
	s := m.input.Value()
	if strings.TrimSpace(s) == "" {
		if c := m.convList.selected(); c != nil && m.listFocused() {
			m.input.Set("")
			return m.openConversation(c)
		}
		return nil
	}
	m.notify("")
	m.overlay = nil
	if isCommand(s) {
		c, args, err := parseCommand(m.commands, strings.TrimRight(s, " \n"))
		if err != nil {
			m.notifyError(errorText(err))
			return nil
		}
		m.history.Add(s)
		m.input.Set("")
		m.updateCompletions()
		return c.run(m, args)
	}
	if m.listFocused() || m.open == nil {
		m.notifyError("Open a chat first: select one or type /chat NAME")
		return nil
	}
	if err := m.send(m.open, strings.TrimPrefix(s, "/")); err != nil {
		m.notifyError(errorText(err))
		return nil
	}
	m.history.Add(s)
	m.input.Set("")
	m.updateCompletions()
	return m.scrollToEnd()
}

// scroll scrolls up by this many rows, down if by is negative. Near an end it
// loads more messages.
func (m *model) scroll(by int) tea.Cmd {
	c := m.open
	if c == nil || m.narrow() && m.showList {
		return nil
	}
	m.updateTranscript()
	h := m.layout().messages
	m.transcript.scrollBy(&c.scroll, by, h)
	switch {
	case by > 0 && m.transcript.atTop(c.scroll, 2*h):
		return m.loadPage(pageOlder)
	case by < 0 && c.newerDropped && c.scroll.fromBottom < h:
		return m.loadPage(pageNewer)
	}
	m.markSeen()
	return nil
}

// scrollToEnd goes to the newest message.
func (m *model) scrollToEnd() tea.Cmd {
	c := m.open
	if c == nil {
		return nil
	}
	c.scroll = scrollPos{}
	if c.newerDropped {
		c.dropStored()
		m.messagesChanged(c)
		return m.loadPage(pageLast)
	}
	m.markSeen()
	return nil
}

// flushTimeout is how long quit waits for pending messages.
const flushTimeout = 5 * time.Second

// flushDone is the result of that wait.
type flushDone struct{ err error }

// quit quits. If messages are pending, it first waits for them; if there is no
// connection, it asks. A second call quits at once.
func (m *model) quit() tea.Cmd {
	if m.pendingCount() == 0 || m.loginForm != nil || m.quitting {
		return tea.Quit
	}
	m.quitting = true
	if !m.online() {
		return m.confirmQuit()
	}
	m.notify("Sending…")
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(m.ctx, flushTimeout)
		defer cancel()
		return flushDone{m.c.Flush(ctx)}
	}
}

func (m *model) confirmQuit() tea.Cmd {
	unsent := plural(int64(m.pendingCount()), "unsent message")
	m.question = &question{unsent + " will be lost. Quit anyway? (y or Ctrl-C)", func() tea.Cmd { return tea.Quit }}
	return nil
}
