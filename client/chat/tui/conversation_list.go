package tui

import (
	"slices"
	"strconv"
	"strings"

	"chatd/client"
	"chatd/client/chat/widget"
)

// roster is the list of conversations: those in which something was said, the
// latest first, then friends and groups with whom nothing was.
type conversationList struct {
	items  []*conversation
	cursor client.Conv // the one that keys move
	top    int         // the first one that is shown
}

// order sorts the list again; the cursor stays on its conversation.
func (r *conversationList) update(convs map[client.Conv]*conversation) {
	r.items = r.items[:0]
	for _, c := range convs {
		r.items = append(r.items, c)
	}
	slices.SortFunc(r.items, byLatest)
	if r.index() < 0 && len(r.items) > 0 {
		r.cursor = r.items[0].id
	}
}

func (r *conversationList) index() int {
	return slices.IndexFunc(r.items, func(c *conversation) bool { return c.id == r.cursor })
}

// move moves the cursor, and stops at the ends.
func (r *conversationList) move(by int) {
	if len(r.items) > 0 {
		r.cursor = r.items[max(0, min(r.index()+by, len(r.items)-1))].id
	}
}

// here is the conversation under the cursor, nil if there is none.
func (r *conversationList) selected() *conversation {
	if i := r.index(); i >= 0 {
		return r.items[i]
	}
	return nil
}

// nextUnread is the first conversation behind the given one that has unread
// messages, from the beginning again; nil if none has.
func (r *conversationList) nextUnread(open *conversation) *conversation {
	from := slices.Index(r.items, open) + 1
	for i := range r.items {
		if c := r.items[(from+i)%len(r.items)]; c != open && c.unread() > 0 {
			return c
		}
	}
	return nil
}

// see scrolls so that the cursor is in sight.
func (r *conversationList) scrollToCursor(height int) {
	i := max(0, r.index())
	r.top = max(min(r.top, i, len(r.items)-height), i-height+1, 0)
}

// unread is how many messages are unread in all, and in how many
// conversations.
func (r *conversationList) unreadTotal() (messages int64, convs int) {
	for _, c := range r.items {
		if n := c.unread(); n > 0 {
			messages += n
			convs++
		}
	}
	return messages, convs
}

func count(n int64) string {
	if n > 999 {
		return "999+"
	}
	return strconv.FormatInt(n, 10)
}

// rosterRows draws rows of the list.
func (m *model) listRows(w, h int) (rows []string) {
	m.convList.scrollToCursor(h)
	for i := m.convList.top; i < len(m.convList.items) && len(rows) < h; i++ {
		rows = append(rows, m.listRow(m.convList.items[i], w))
	}
	if len(m.convList.items) == 0 {
		for _, s := range []string{"Nobody here yet.", "", "/addfriend NAME", "/creategroup NAME"} {
			if len(rows) < h {
				rows = append(rows, widget.NewRow(m.ruler, w).Add(m.theme.Dim, " "+s).Build())
			}
		}
	}
	for len(rows) < h {
		rows = append(rows, widget.NewRow(m.ruler, w).Build())
	}
	return rows
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
	case c.notMember:
		name = th.Dim
	}
	l.Add(name.Over(below), m.ruler.Cut(m.title(c), room))
	if badge != "" {
		l.PadTo(below, w-1-m.ruler.Width(badge)).Add(th.Badge.Over(below), badge)
	}
	return l.PadTo(below, w).Build()
}

// sign is what stands before a conversation's name.
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

// title is what a conversation is called.
func (m *model) title(c *conversation) string {
	switch {
	case c.id.Peer != 0 && c.id.Peer == m.myID:
		return "notes"
	case c.name != "":
		return m.ruler.Show(c.name)
	}
	return c.id.String()
}
