package tui

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"chatd/client"
	"chatd/client/chat/widget"
)

// conversationList is the list on the left: conversations by their newest
// message, then friends and groups without messages.
type conversationList struct {
	items  []*conversation
	cursor client.Conv // selected conversation
	top    int         // index of the first visible item
}

// update replaces and sorts the items. The cursor stays on its conversation.
func (l *conversationList) update(convs map[client.Conv]*conversation) {
	l.items = slices.SortedFunc(maps.Values(convs), byLatest)
	if l.index() < 0 && len(l.items) > 0 {
		l.cursor = l.items[0].id
	}
}

func (l *conversationList) index() int {
	return slices.IndexFunc(l.items, func(c *conversation) bool { return c.id == l.cursor })
}

// move moves the cursor and stops at the ends.
func (l *conversationList) move(by int) {
	if len(l.items) > 0 {
		l.cursor = l.items[max(0, min(l.index()+by, len(l.items)-1))].id
	}
}

// selected returns the conversation at the cursor, or nil.
func (l *conversationList) selected() *conversation {
	if i := l.index(); i >= 0 {
		return l.items[i]
	}
	return nil
}

// nextUnread returns the next conversation below open that has unread messages,
// continuing at the top of the list. It returns nil if there is none.
func (l *conversationList) nextUnread(open *conversation) *conversation {
	from := slices.Index(l.items, open) + 1
	for i := range l.items {
		if c := l.items[(from+i)%len(l.items)]; c != open && c.unread() > 0 {
			return c
		}
	}
	return nil
}

// scrollToCursor scrolls so that the cursor is visible.
func (l *conversationList) scrollToCursor(height int) {
	i := max(0, l.index())
	l.top = max(min(l.top, i, len(l.items)-height), i-height+1, 0)
}

// unreadTotal returns the number of unread messages.
func (l *conversationList) unreadTotal() (n int64) {
	for _, c := range l.items {
		n += c.unread()
	}
	return n
}

// count formats a number for a badge.
func count(n int64) string {
	if n > 999 {
		return "999+"
	}
	return strconv.FormatInt(n, 10)
}

// plural returns n and a noun, such as "2 members".
func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.FormatInt(n, 10) + " " + noun + "s"
}

// listRows draws the visible part of the list.
func (m *model) listRows(w, h int) (rows []string) {
	m.convList.scrollToCursor(h)
	for i := m.convList.top; i < len(m.convList.items) && len(rows) < h; i++ {
		rows = append(rows, m.listRow(m.convList.items[i], w))
	}
	if len(m.convList.items) == 0 {
		for _, s := range []string{"No chats yet", "", "/addfriend NAME", "/creategroup NAME"} {
			if len(rows) < h {
				rows = append(rows, widget.NewRow(m.ruler, w).Add(m.theme.Dim, " "+s).Build())
			}
		}
	}
	return widget.Fill(rows, m.ruler, w, h)
}

func (m *model) listRow(c *conversation, w int) string {
	th := &m.theme
	below := widget.Style{}
	bar := " "
	if c.id == m.convList.cursor {
		below, bar = th.Selected, "▌"
	}
	l := widget.NewRow(m.ruler, w).Add(th.Accent.Over(below), bar)
	sign, st := m.icon(c)
	l.Add(st.Over(below), sign).Add(below, " ")
	unread, badge := c.unread(), ""
	if n := c.pendingCount(); n > 0 && !m.online() {
		badge = "…" + count(int64(n))
	}
	if unread > 0 {
		badge = strings.TrimLeft(badge+" "+count(unread), " ")
	}
	room := w - l.Width - 1
	if badge != "" {
		room -= m.ruler.Width(badge) + 1
	}
	name := widget.Style{}
	switch {
	case unread > 0:
		name = th.Bold
	case c.notMember, c.gone:
		name = th.Dim
	}
	l.Add(name.Over(below), m.ruler.Cut(m.title(c), room))
	if badge != "" {
		l.PadTo(below, w-1-m.ruler.Width(badge)).Add(th.Badge.Over(below), badge)
	}
	return l.PadTo(below, w).Build()
}

// icon returns the sign in front of a conversation's name, and its style.
func (m *model) icon(c *conversation) (string, widget.Style) {
	switch {
	case c.id.Group != 0:
		return groupMark, m.theme.Dim
	case c.id.Peer == m.myID:
		return "✎", m.theme.Dim
	case m.presence[c.id.Peer] && m.online():
		return dotOnline, m.theme.Good
	}
	return dotOffline, m.theme.Dim
}

// title returns the display name of a conversation.
func (m *model) title(c *conversation) string {
	switch {
	case c.id.Peer != 0 && c.id.Peer == m.myID:
		return "Note to self"
	case c.name != "":
		return m.ruler.Show(c.name)
	}
	return c.id.String()
}
