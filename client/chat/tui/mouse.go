package tui

import (
	tea "charm.land/bubbletea/v2"

	"chatd/client/chat/widget"
)

// wheelRows is how many rows one notch of the mouse wheel scrolls.
const wheelRows = 3

// click handles a click.
func (m *model) click(e tea.Mouse) tea.Cmd {
	if e.Button != tea.MouseLeft {
		return nil
	}
	p := m.layout()
	switch {
	case m.loginForm != nil:
		return m.clickForm(m.loginForm, e.Y, m.h-1, m.loginAction)
	case m.passwordForm != nil && e.X >= p.mainLeft && e.Y >= p.header && e.Y < p.header+p.messages:
		return m.clickForm(m.passwordForm, e.Y-p.header, p.messages, m.passwdAction)
	case m.question != nil:
		return nil
	case p.listHeight > 0 && e.X < p.listWidth && e.Y >= p.listTop && e.Y < p.listTop+p.listHeight:
		if i := m.convList.top + e.Y - p.listTop; i < len(m.convList.items) {
			return m.openConversation(m.convList.items[i])
		}
	}
	return nil
}

// clickForm focuses the field or presses the button in row y of a form that has
// h rows.
func (m *model) clickForm(f *widget.Form, y, h int, do func(widget.FormAction) tea.Cmd) tea.Cmd {
	rows, _, _, _ := f.View(&m.theme, m.ruler, m.w, h)
	if y < 0 || y >= len(rows) || rows[y].Focus < 0 || f.Busy {
		return nil
	}
	if f.Focus = rows[y].Focus; f.Focus >= len(f.Fields) {
		return do(f.Enter())
	}
	return nil
}

// wheel scrolls the element under the pointer.
func (m *model) wheel(e tea.Mouse) tea.Cmd {
	by := 0
	switch e.Button {
	case tea.MouseWheelUp:
		by = wheelRows
	case tea.MouseWheelDown:
		by = -wheelRows
	}
	p := m.layout()
	switch {
	case by == 0 || m.loginForm != nil:
	case p.listHeight > 0 && e.X < p.listWidth:
		m.convList.move(-by)
	case m.overlay != nil:
		m.overlay.Scroll(-by, p.messages)
	default:
		return m.scroll(by)
	}
	return nil
}
