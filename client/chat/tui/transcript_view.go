package tui

import (
	"strings"

	"chatd/client/chat/widget"
)

// transcriptRows draws the visible messages, aligned to the bottom.
func (m *model) transcriptRows(p layout) (rows []string) {
	shown := m.transcript.visible(m.open.scroll, p.messages)
	rows = widget.Fill(rows, m.ruler, p.width, p.messages-len(shown))
	if len(shown) == 0 && p.messages > 0 && m.open.loaded {
		rows[len(rows)-1] = widget.NewRow(m.ruler, p.width).Add(m.theme.Dim, " No messages yet").Build()
	}
	for i := range shown {
		rows = append(rows, m.transcriptRow(&shown[i], p))
	}
	return rows
}

func (m *model) transcriptRow(r *row, p layout) string {
	th, l := &m.theme, widget.NewRow(m.ruler, p.width)
	l.Add(widget.Style{}, " ")
	switch r.kind {
	case rowDate:
		l.AddRule(th.Rule, th.Dim, dayLabel(r.msg.at, m.now()), p.width-2)
	case rowUnread:
		l.AddRule(th.Warn, th.Warn, "New messages", p.width-2)
	case rowStart:
		words := m.ruler.Cut("No earlier messages", p.width-2)
		l.PadTo(widget.Style{}, max(1, (p.width-m.ruler.Width(words))/2)).Add(th.Dim, words)
	case rowName:
		name := m.ruler.Show(r.msg.name)
		if r.msg.from == m.myID {
			name = m.ruler.Show(m.myName)
		}
		l.Add(th.User(r.msg.from, m.myID), m.ruler.Cut(name, p.width-10)).Add(th.Dim, "  "+timeLabel(r.msg.at))
	case rowNotice:
		l.PadTo(widget.Style{}, 1+indent).AddSentence(th.Dim, "· "+m.pieceText(r))
	case rowFailure:
		l.PadTo(widget.Style{}, 1+indent).AddSentence(th.Bad, m.ruler.Cut("Couldn't send (/retry or /discard): "+m.ruler.Show(r.msg.failure), p.width-1-indent))
	case rowText:
		l.PadTo(widget.Style{}, min(1+indent, p.width-1))
		m.addText(l, r)
		m.addStatus(l, r, p)
	}
	return l.Build()
}

// pieceText returns the text of a row.
func (m *model) pieceText(r *row) string {
	return strings.TrimRight(r.msg.displayLines(m.ruler)[r.piece.line][r.piece.from:r.piece.to], " ")
}

// addText adds the text of a row, with search hits highlighted.
func (m *model) addText(l *widget.RowBuilder, r *row) {
	s := r.msg.displayLines(m.ruler)[r.piece.line]
	at, end := r.piece.from, r.piece.from+len(m.pieceText(r))
	plain := widget.Style{}
	if r.msg.pending() {
		plain = m.theme.Dim
	}
	if m.search != nil {
		m.search.highlights(r.msg, r.piece, func(from, to int, current bool) {
			from, to = max(at, min(from, end)), max(at, min(to, end))
			st := m.theme.Hit
			if current {
				st = m.theme.CurrentHit
			}
			l.Add(plain, s[at:from]).Add(st, s[from:to])
			at = to
		})
	}
	l.Add(plain, s[at:end])
}

// addStatus adds the time, if the row shows it, and the status of a message
// that the user sent.
func (m *model) addStatus(l *widget.RowBuilder, r *row, p layout) {
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
		l.PadTo(widget.Style{}, p.width-p.statusWidth).Add(m.theme.Dim, timeLabel(r.msg.at))
	}
	if mark != "" {
		l.PadTo(widget.Style{}, p.width-1-m.ruler.Width(mark)).Add(st, mark)
	}
}

// statusMark returns the status of a message that the user sent.
func (m *model) statusMark(msg *message) (string, widget.Style) {
	switch {
	case msg.from != m.myID || msg.notice:
		return "", widget.Style{}
	case msg.failure != "":
		return markFailed, m.theme.Bad
	case msg.seq == 0 && !m.online():
		return markQueued, m.theme.Warn
	case msg.seq == 0:
		return markSending, m.theme.Dim
	case m.open.id.Peer != 0 && m.open.peerRead >= msg.seq && m.open.id.Peer != m.myID:
		return markStored + markStored, m.theme.Good
	}
	return markStored, m.theme.Dim
}
