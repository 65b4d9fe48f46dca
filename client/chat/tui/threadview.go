package tui

import "strings"

// threadRows draws the messages in sight, the last ones at the bottom.
func (m *model) threadRows(p places) (rows []string) {
	shown := m.thread.shown(m.open.scroll, p.messages)
	for range p.messages - len(shown) {
		rows = append(rows, newLine(m.ruler, p.width).end())
	}
	if len(shown) == 0 && p.messages > 0 && m.open.loaded {
		rows[len(rows)-1] = newLine(m.ruler, p.width).add(m.theme.dim, " Nothing was said yet.").end()
	}
	for i := range shown {
		rows = append(rows, m.threadRow(&shown[i], p))
	}
	return rows
}

func (m *model) threadRow(r *row, p places) string {
	th, l := &m.theme, newLine(m.ruler, p.width)
	l.add(style{}, " ")
	switch r.kind {
	case rowDay:
		l.ruled(th.rule, th.dim, day(r.e.at, m.now()), p.width-2)
	case rowFresh:
		l.ruled(th.warn, th.warn, "new", p.width-2)
	case rowBegin:
		words := m.ruler.Cut("the beginning", p.width-2)
		l.to(style{}, max(1, (p.width-m.ruler.Width(words))/2)).add(th.dim, words)
	case rowName:
		name := m.ruler.Show(r.e.name)
		if r.e.from == m.me {
			name = m.ruler.Show(m.name)
		}
		l.add(th.person(r.e.from, m.me), m.ruler.Cut(name, p.width-10)).add(th.dim, "  "+clock(r.e.at))
	case rowNote:
		l.to(style{}, 1+indent).add(th.dim, "· "+m.pieceText(r))
	case rowWhy:
		l.to(style{}, 1+indent).add(th.bad, m.ruler.Cut("not sent: "+m.ruler.Show(r.e.failed)+" (/retry, /discard)", p.body))
	case rowText:
		l.to(style{}, min(1+indent, p.width-1))
		m.addText(l, r)
		m.addSide(l, r, p)
	}
	return l.end()
}

// pieceText is what a row shows of its entry.
func (m *model) pieceText(r *row) string {
	return strings.TrimRight(r.e.body(m.ruler)[r.p.line][r.p.from:r.p.to], " ")
}

// addText adds what is said, with what is looked for set off.
func (m *model) addText(l *line, r *row) {
	s := r.e.body(m.ruler)[r.p.line]
	at, end := r.p.from, r.p.from+len(m.pieceText(r))
	plain := style{}
	if r.e.waits() {
		plain = m.theme.dim
	}
	if m.search != nil {
		m.search.in(r.e, r.p, func(from, to int, here bool) {
			from, to = max(at, min(from, end)), max(at, min(to, end))
			st := m.theme.hit
			if here {
				st = m.theme.hitHere
			}
			l.add(plain, s[at:from]).add(st, s[from:to])
			at = to
		})
	}
	l.add(plain, s[at:end])
}

// addSide adds the time of a message that has no name above it, and the mark
// of one's own.
func (m *model) addSide(l *line, r *row, p places) {
	if p.side == 0 {
		return
	}
	mark, st := m.mark(r.e)
	if !r.last || p.side < 9 && m.ruler.Width(mark) >= p.side {
		if mark == queued && r.last {
			mark = "…"
		} else if !r.last {
			mark = ""
		}
	}
	if r.clock && p.side >= 9 && mark != queued {
		l.to(style{}, p.width-p.side).add(m.theme.dim, clock(r.e.at))
	}
	if mark != "" {
		l.to(style{}, p.width-1-m.ruler.Width(mark)).add(st, mark)
	}
}

// mark tells what became of a message of one's own.
func (m *model) mark(e *entry) (string, style) {
	switch {
	case e.from != m.me || e.note:
		return "", style{}
	case e.failed != "":
		return markFailed, m.theme.bad
	case e.seq == 0 && !m.online():
		return queued, m.theme.warn
	case e.seq == 0:
		return markSend, m.theme.dim
	case m.open.id.Peer != 0 && m.open.peerRead >= e.seq && m.open.id.Peer != m.me:
		return markStored + markStored, m.theme.good
	}
	return markStored, m.theme.dim
}
