package tui

import "strings"

// threadRows draws the messages in sight, the last ones at the bottom.
func (m *model) transcriptRows(p layout) (rows []string) {
	shown := m.transcript.visible(m.open.scroll, p.messages)
	for range p.messages - len(shown) {
		rows = append(rows, newRow(m.ruler, p.width).build())
	}
	if len(shown) == 0 && p.messages > 0 && m.open.loaded {
		rows[len(rows)-1] = newRow(m.ruler, p.width).add(m.theme.dim, " Nothing was said yet.").build()
	}
	for i := range shown {
		rows = append(rows, m.transcriptRow(&shown[i], p))
	}
	return rows
}

func (m *model) transcriptRow(r *row, p layout) string {
	th, l := &m.theme, newRow(m.ruler, p.width)
	l.add(style{}, " ")
	switch r.kind {
	case rowDate:
		l.addRule(th.rule, th.dim, dayLabel(r.msg.at, m.now()), p.width-2)
	case rowUnread:
		l.addRule(th.warn, th.warn, "new", p.width-2)
	case rowStart:
		words := m.ruler.Cut("the beginning", p.width-2)
		l.padTo(style{}, max(1, (p.width-m.ruler.Width(words))/2)).add(th.dim, words)
	case rowName:
		name := m.ruler.Show(r.msg.name)
		if r.msg.from == m.myID {
			name = m.ruler.Show(m.myName)
		}
		l.add(th.person(r.msg.from, m.myID), m.ruler.Cut(name, p.width-10)).add(th.dim, "  "+timeLabel(r.msg.at))
	case rowNotice:
		l.padTo(style{}, 1+indent).add(th.dim, "· "+m.pieceText(r))
	case rowFailure:
		l.padTo(style{}, 1+indent).add(th.bad, m.ruler.Cut("not sent: "+m.ruler.Show(r.msg.failure)+" (/retry, /discard)", p.textWidth))
	case rowText:
		l.padTo(style{}, min(1+indent, p.width-1))
		m.addText(l, r)
		m.addStatus(l, r, p)
	}
	return l.build()
}

// pieceText is what a row shows of its entry.
func (m *model) pieceText(r *row) string {
	return strings.TrimRight(r.msg.displayLines(m.ruler)[r.piece.line][r.piece.from:r.piece.to], " ")
}

// addText adds what is said, with what is looked for set off.
func (m *model) addText(l *rowBuilder, r *row) {
	s := r.msg.displayLines(m.ruler)[r.piece.line]
	at, end := r.piece.from, r.piece.from+len(m.pieceText(r))
	plain := style{}
	if r.msg.pending() {
		plain = m.theme.dim
	}
	if m.search != nil {
		m.search.highlights(r.msg, r.piece, func(from, to int, here bool) {
			from, to = max(at, min(from, end)), max(at, min(to, end))
			st := m.theme.hit
			if here {
				st = m.theme.currentHit
			}
			l.add(plain, s[at:from]).add(st, s[from:to])
			at = to
		})
	}
	l.add(plain, s[at:end])
}

// addSide adds the time of a message that has no name above it, and the mark
// of one's own.
func (m *model) addStatus(l *rowBuilder, r *row, p layout) {
	if p.statusWidth == 0 {
		return
	}
	mark, st := m.statusMark(r.msg)
	if !r.last || p.statusWidth < 9 && m.ruler.Width(mark) >= p.statusWidth {
		if mark == markQueued && r.last {
			mark = "…"
		} else if !r.last {
			mark = ""
		}
	}
	if r.showTime && p.statusWidth >= 9 && mark != markQueued {
		l.padTo(style{}, p.width-p.statusWidth).add(m.theme.dim, timeLabel(r.msg.at))
	}
	if mark != "" {
		l.padTo(style{}, p.width-1-m.ruler.Width(mark)).add(st, mark)
	}
}

// mark tells what became of a message of one's own.
func (m *model) statusMark(e *message) (string, style) {
	switch {
	case e.from != m.myID || e.notice:
		return "", style{}
	case e.failure != "":
		return markFailed, m.theme.bad
	case e.seq == 0 && !m.online():
		return markQueued, m.theme.warn
	case e.seq == 0:
		return markSending, m.theme.dim
	case m.open.id.Peer != 0 && m.open.peerRead >= e.seq && m.open.id.Peer != m.myID:
		return markStored + markStored, m.theme.good
	}
	return markStored, m.theme.dim
}
