package tui

import (
	"slices"
	"strconv"
	"strings"

	"chatd/client"
)

// roster is the list of conversations: those in which something was said, the
// latest first, then friends and groups with whom nothing was.
type roster struct {
	list   []*conversation
	cursor client.Conv // the one that keys move
	top    int         // the first one that is shown
}

// order sorts the list again; the cursor stays on its conversation.
func (r *roster) order(convs map[client.Conv]*conversation) {
	r.list = r.list[:0]
	for _, c := range convs {
		r.list = append(r.list, c)
	}
	slices.SortFunc(r.list, byLatest)
	if r.index() < 0 && len(r.list) > 0 {
		r.cursor = r.list[0].id
	}
}

func (r *roster) index() int {
	return slices.IndexFunc(r.list, func(c *conversation) bool { return c.id == r.cursor })
}

// move moves the cursor, and stops at the ends.
func (r *roster) move(by int) {
	if len(r.list) > 0 {
		r.cursor = r.list[max(0, min(r.index()+by, len(r.list)-1))].id
	}
}

// here is the conversation under the cursor, nil if there is none.
func (r *roster) here() *conversation {
	if i := r.index(); i >= 0 {
		return r.list[i]
	}
	return nil
}

// nextUnread is the first conversation behind the given one that has unread
// messages, from the beginning again; nil if none has.
func (r *roster) nextUnread(open *conversation) *conversation {
	from := slices.Index(r.list, open) + 1
	for i := range r.list {
		if c := r.list[(from+i)%len(r.list)]; c != open && c.unread() > 0 {
			return c
		}
	}
	return nil
}

// see scrolls so that the cursor is in sight.
func (r *roster) see(height int) {
	i := max(0, r.index())
	r.top = max(min(r.top, i, len(r.list)-height), i-height+1, 0)
}

// unread is how many messages are unread in all, and in how many
// conversations.
func (r *roster) unread() (messages int64, convs int) {
	for _, c := range r.list {
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
func (m *model) rosterRows(w, h int) (rows []string) {
	m.roster.see(h)
	for i := m.roster.top; i < len(m.roster.list) && len(rows) < h; i++ {
		rows = append(rows, m.rosterRow(m.roster.list[i], w))
	}
	if len(m.roster.list) == 0 {
		for _, s := range []string{"Nobody here yet.", "", "/addfriend NAME", "/creategroup NAME"} {
			if len(rows) < h {
				rows = append(rows, newLine(m.ruler, w).add(m.theme.dim, " "+s).end())
			}
		}
	}
	for len(rows) < h {
		rows = append(rows, newLine(m.ruler, w).end())
	}
	return rows
}

func (m *model) rosterRow(c *conversation, w int) string {
	th := &m.theme
	below := style{}
	bar := " "
	if c.id == m.roster.cursor {
		below, bar = th.chosen, "▌"
	}
	l := newLine(m.ruler, w).add(th.accent.with(below), bar)
	sign, st := m.sign(c)
	l.add(st.with(below), sign).add(below, " ")
	unread, badge := c.unread(), ""
	if n := c.waiting(); n > 0 && !m.online() {
		badge = "…" + count(int64(n))
	}
	if unread > 0 {
		badge = strings.TrimLeft(badge+" "+count(unread), " ")
	}
	room := w - l.w - 1
	if badge != "" {
		room -= m.ruler.Width(badge) + 1
	}
	name := style{}
	switch {
	case unread > 0:
		name = th.strong
	case c.gone:
		name = th.dim
	}
	l.add(name.with(below), m.ruler.Cut(m.title(c), room))
	if badge != "" {
		l.to(below, w-1-m.ruler.Width(badge)).add(th.badge.with(below), badge)
	}
	return l.to(below, w).end()
}

// sign is what stands before a conversation's name.
func (m *model) sign(c *conversation) (string, style) {
	switch {
	case c.id.Group != 0:
		return groupSign, m.theme.dim
	case c.id.Peer == m.me:
		return "✎", m.theme.dim
	case m.present[c.id.Peer] && m.online():
		return dotOnline, m.theme.good
	}
	return dotOffline, m.theme.dim
}

// title is what a conversation is called.
func (m *model) title(c *conversation) string {
	switch {
	case c.id.Peer != 0 && c.id.Peer == m.me:
		return "notes"
	case c.name != "":
		return m.ruler.Show(c.name)
	}
	return c.id.String()
}
