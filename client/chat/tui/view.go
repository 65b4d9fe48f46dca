package tui

import (
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"chatd/client"
	"chatd/client/chat/widget"
)

// View draws the screen.
func (m *model) View() tea.View {
	var rows []string
	cursor := tea.Cursor{Shape: tea.CursorBar, Blink: true}
	at := false
	if m.loginForm != nil {
		rows, cursor.X, cursor.Y, at = m.loginView()
	} else {
		rows, cursor.X, cursor.Y, at = m.chatView()
	}
	if len(rows) > m.h {
		rows = rows[:m.h]
	}
	v := tea.NewView(strings.Join(rows, "\n"))
	v.AltScreen = true
	v.MouseMode = tea.MouseModeCellMotion
	v.ReportFocus = true
	if at && cursor.X < m.w && cursor.Y >= 0 && cursor.Y < m.h {
		v.Cursor = &cursor
	}
	return v
}

// loginView draws the login form and a status row.
func (m *model) loginView() (rows []string, x, y int, at bool) {
	all, x, y, at := m.loginForm.View(&m.theme, m.ruler, m.w, max(1, m.h-1))
	for _, r := range all {
		rows = append(rows, r.Text)
	}
	return append(rows, widget.NewRow(m.ruler, m.w).Add(m.theme.Dim, " Tab: next field  Enter: continue  Ctrl-C: quit").Build()), x, y, at
}

func (m *model) chatView() (rows []string, x, y int, at bool) {
	m.updateTranscript()
	p := m.layout()
	right, x, y, at := m.rightPane(p)
	x += p.mainLeft
	if m.narrow() {
		rows = right
	} else {
		left := append(m.listHeader(p), m.listRows(p.listWidth, p.listHeight)...)
		for i := range right {
			bar := "│"
			switch {
			case i == 1 && p.header == 2:
				bar = "┼"
			case p.rule > 0 && i == len(right)-p.input-1:
				bar = "├"
			}
			rows = append(rows, left[i]+m.theme.Rule.Render(bar)+right[i])
		}
	}
	if p.status > 0 {
		rows = append(rows, m.statusRow())
	}
	return rows, x, y, at
}

// listHeader draws the rows above the list.
func (m *model) listHeader(p layout) (rows []string) {
	if p.header > 0 {
		l := widget.NewRow(m.ruler, p.listWidth).Add(m.theme.Bold, " Chats")
		if n := m.convList.unreadTotal(); n > 0 {
			l.AddRight(m.theme.Badge, count(n)+" ")
		}
		rows = append(rows, l.Build())
	}
	if p.header > 1 {
		rows = append(rows, widget.NewRow(m.ruler, p.listWidth).AddRule(m.theme.Rule, widget.Style{}, "", p.listWidth).Build())
	}
	return rows
}

// rightPane draws everything but the list on the left and the status row. In a
// narrow window it draws the list in place of the messages if showList is set.
func (m *model) rightPane(p layout) (rows []string, x, y int, at bool) {
	list := m.narrow() && m.showList && m.overlay == nil && m.passwordForm == nil
	if list {
		rows = m.listHeader(p)
	} else {
		rows = m.header(p)
	}
	var body []string
	switch {
	case m.passwordForm != nil:
		form, fx, fy, cursor := m.passwordForm.View(&m.theme, m.ruler, p.width, p.messages)
		for _, r := range form {
			body = append(body, r.Text)
		}
		x, y, at = fx, len(rows)+fy, cursor
	case m.overlay != nil:
		body = m.overlay.View(&m.theme, m.ruler, p.width, p.messages)
	case list:
		body = m.listRows(p.width, p.messages)
	case m.open == nil:
		body = m.welcome(p.width, p.messages)
	default:
		body = m.transcriptRows(p)
	}
	if menu := m.menuRows(p.width, len(body)); len(menu) > 0 && m.passwordForm == nil {
		copy(body[len(body)-len(menu):], menu)
	}
	rows = append(rows, body...)
	if p.notice > 0 {
		rows = append(rows, m.noticeRow(p.width))
	}
	if p.rule > 0 {
		rows = append(rows, widget.NewRow(m.ruler, p.width).AddRule(m.theme.Rule, widget.Style{}, "", p.width).Build())
	}
	input, ix, iy := m.inputRows(p)
	if m.passwordForm == nil {
		x, y, at = ix, len(rows)+iy, m.question == nil
	}
	return append(rows, input...), x, y, at
}

// header draws the title of the pane.
func (m *model) header(p layout) (rows []string) {
	if p.header == 0 {
		return nil
	}
	l := widget.NewRow(m.ruler, p.width).Add(widget.Style{}, " ")
	switch c := m.open; {
	case m.overlay != nil:
		l.AddSentence(m.theme.Accent, m.ruler.Show(m.overlay.Title))
	case c == nil:
		l.Add(m.theme.Accent, "chatd")
	default:
		sign, st := m.icon(c)
		state, stateStyle := m.peerStatus(c)
		room := p.width - m.ruler.Width(state) - 5
		l.Add(st, sign).Add(widget.Style{}, " ").Add(m.theme.Bold, m.ruler.Cut(m.title(c), max(room, 8)))
		if about := m.descriptions[c.id]; about != "" && room-l.Width > 8 {
			l.Add(widget.Style{}, "  ").Add(m.theme.Dim, m.ruler.Cut(m.ruler.Show(about), room-l.Width))
		}
		l.AddRight(stateStyle, state+" ")
	}
	rows = append(rows, l.Build())
	if p.header > 1 {
		rows = append(rows, widget.NewRow(m.ruler, p.width).AddRule(m.theme.Rule, widget.Style{}, "", p.width).Build())
	}
	return rows
}

// peerStatus returns the text on the right of the header, and its style.
func (m *model) peerStatus(c *conversation) (string, widget.Style) {
	switch {
	case c.notMember:
		return "no longer a member", m.theme.Warn
	case c.id.Group != 0:
		if n := m.memberCounts[c.id]; n > 0 {
			return plural(n, "member"), m.theme.Dim
		}
		return "", m.theme.Dim
	case c.id.Peer == m.myID:
		return "only you can see this", m.theme.Dim
	case c.gone:
		return "account deleted", m.theme.Warn
	case !m.friends[c.id.Peer]:
		return "not a friend", m.theme.Dim
	case !m.online():
		return "", m.theme.Dim
	case m.presence[c.id.Peer]:
		return "online", m.theme.Good
	}
	return "offline", m.theme.Dim
}

// welcome draws what is shown until a conversation is opened.
func (m *model) welcome(w, h int) (rows []string) {
	lines := []string{"", " Welcome, " + m.ruler.Show(m.myName) + "!", "", " Select a chat: Up, Down and Enter, or click it.", "",
		" /chat NAME         message someone", " /addfriend NAME    add a friend", " /creategroup NAME  create a group", "",
		" F1 shows all keys and commands."}
	for i, s := range lines {
		if len(rows) == h {
			break
		}
		st := m.theme.Dim
		if i == 1 {
			st = m.theme.Bold
		}
		rows = append(rows, widget.NewRow(m.ruler, w).AddSentence(st, s).Build())
	}
	return widget.Fill(rows, m.ruler, w, h)
}

// noticeRow draws the row above the input: a question, a notice, a hint, or who
// is typing.
func (m *model) noticeRow(w int) string {
	l := widget.NewRow(m.ruler, w).Add(widget.Style{}, " ")
	switch c := m.open; {
	case m.question != nil:
		l.AddSentence(m.theme.Warn, m.ruler.Show(m.question.text))
	case m.notice != "" && m.noticeIsError:
		l.AddSentence(m.theme.Bad, markFailed+" "+m.ruler.Show(m.notice))
	case m.notice != "":
		l.AddSentence(m.theme.Good, m.ruler.Show(m.notice))
	case m.search != nil:
		l.Add(m.theme.Dim, "Enter: older  Ctrl-N: newer  Esc: close")
	case m.overlay != nil:
		l.Add(m.theme.Dim, "Esc: close")
		if m.overlay.HasMore(m.layout().messages) {
			l.Add(m.theme.Dim, "  Down: more")
		}
	case c == nil || m.listFocused():
	case c.loading && !c.loaded:
		l.Add(m.theme.Dim, "Loading…")
	default:
		if names := c.typingNames(m.now()); len(names) > 0 {
			l.AddSentence(m.theme.Dim, m.typingText(names))
		}
	}
	if c := m.open; c != nil && m.overlay == nil && !m.listFocused() && (c.scroll.fromBottom > 0 || c.newerDropped) {
		l.AddRight(m.theme.Accent, "↓ Esc: latest messages ")
	}
	return l.Build()
}

func (m *model) typingText(names []string) string {
	switch len(names) {
	case 1:
		return m.ruler.Show(names[0]) + " is typing…"
	case 2:
		return m.ruler.Show(names[0]) + " and " + m.ruler.Show(names[1]) + " are typing…"
	}
	return fmt.Sprintf("%d people are typing…", len(names))
}

// inputRows draws the part of the input around the cursor.
func (m *model) inputRows(p layout) (rows []string, x, y int) {
	if p.input == 0 {
		return nil, 0, 0
	}
	if m.search != nil {
		const words = "Search › "
		hits := ""
		if n := len(m.search.hits); n > 0 {
			hits = fmt.Sprintf("%d of %d ", m.search.at+1, n)
		} else if !m.search.input.Empty() {
			hits = "no matches "
		}
		room := max(2, p.width-1-m.ruler.Width(words)-m.ruler.Width(hits)-1)
		all, _, row, col := m.search.input.Rows(room)
		l := widget.NewRow(m.ruler, p.width).Add(widget.Style{}, " ").Add(m.theme.Accent, words)
		x = l.Width + col
		return []string{l.Add(widget.Style{}, all[row]).AddRight(m.theme.Dim, hits).Build()}, x, 0
	}
	all, _, row, col := m.input.Rows(p.inputWidth)
	from := max(0, row-p.input+1)
	for i := from; i < from+p.input; i++ {
		l := widget.NewRow(m.ruler, p.width).Add(widget.Style{}, " ")
		if i == 0 {
			l.Add(m.theme.Accent, prompt)
		} else {
			l.Add(widget.Style{}, "  ")
		}
		if i < len(all) {
			l.Add(widget.Style{}, all[i])
		}
		rows = append(rows, l.Build())
	}
	return rows, 1 + m.ruler.Width(prompt) + col, row - from
}

// statusRow draws the status of the connection.
func (m *model) statusRow() string {
	th := &m.theme
	l := widget.NewRow(m.ruler, m.w).Add(th.Panel, " ")
	dot, st, words := dotOnline, th.Good, "online"
	if !m.online() {
		dot, st, words = dotOffline, th.Warn, "no connection"
		if m.state == client.Connected {
			words = "connecting…"
		}
	}
	l.Add(st.Over(th.Panel), dot+" "+words)
	if n := m.pendingCount(); n > 0 && !m.online() {
		l.Add(th.Warn.Over(th.Panel), fmt.Sprintf(", %d waiting", n))
	}
	l.Add(th.Panel, "  ").Add(th.Bold.Over(th.Panel), m.ruler.Show(m.myName))
	help := "F1 help "
	if !m.narrow() {
		help = "/ commands  F1 help "
	}
	room := m.w - l.Width - len(help) - 3
	more := m.cfg.Server
	if !m.online() {
		if wait := time.Until(m.retryAt).Round(time.Second); wait > 0 {
			more = fmt.Sprintf("retrying in %s: %s", wait, m.offlineReason)
		} else {
			more = m.offlineReason
		}
	}
	if room >= 8 {
		l.AddSentence(th.Dim.Over(th.Panel), "  "+m.ruler.Cut(m.ruler.Show(more), room))
	}
	if l.Width+len(help) < m.w {
		l.PadTo(th.Panel, m.w-len(help)).Add(th.Dim.Over(th.Panel), help)
	}
	return l.PadTo(th.Panel, m.w).Build()
}
