package tui

import (
	"time"

	"chatd/client/chat/text"
)

// groupingGap is the longest time between two messages that share a name row.
const groupingGap = 5 * time.Minute

// rowKind is the kind of a row of the transcript.
type rowKind int

const (
	rowBlank  rowKind = iota
	rowDate           // date
	rowUnread         // divider above the first unread message
	rowName           // sender and time
	rowText
	rowNotice
	rowFailure // why a message couldn't be sent
	rowStart   // start of the conversation
)

// row is one row of the transcript.
type row struct {
	kind     rowKind
	msg      *message // the message that the row belongs to, or that follows it
	piece    piece    // of rowText and rowNotice
	last     bool     // the message's last row of text
	showTime bool     // show the message's time
}

// scrollPos is a scroll position. The anchor is the message in the lowest
// visible row. It keeps the view in place while rows are added above and below.
type scrollPos struct {
	fromBottom int      // rows below the visible ones
	anchor     *message // nil at the end
	anchorRow  int      // index of the lowest visible row among the anchor's rows
}

// transcript has the rows of a conversation at one width.
type transcript struct {
	rows []row
}

// build creates the rows of c at a width of w columns.
func (t *transcript) build(c *conversation, r text.Ruler, w int) {
	t.rows = t.rows[:0]
	if c.hasFirst && len(c.messages) > 0 {
		t.rows = append(t.rows, row{kind: rowStart, msg: c.messages[0]})
	}
	var before *message
	marked := c.unreadAfter == 0
	for _, msg := range c.messages {
		if before == nil || !sameDay(before.at, msg.at) {
			t.rows = append(t.rows, row{kind: rowDate, msg: msg})
			before = nil
		}
		if !marked && !msg.notice && (msg.seq > c.unreadAfter) {
			marked = true
			t.rows = append(t.rows, row{kind: rowUnread, msg: msg})
			before = nil
		}
		kind, clock := rowText, false
		switch {
		case msg.notice:
			kind = rowNotice
		case before == nil || before.notice || before.from != msg.from || msg.at.Sub(before.at) > groupingGap:
			if before != nil {
				t.rows = append(t.rows, row{kind: rowBlank, msg: msg})
			}
			t.rows = append(t.rows, row{kind: rowName, msg: msg})
		default:
			clock = !sameMinute(before.at, msg.at)
		}
		pieces := msg.wrap(r, w)
		for i, p := range pieces {
			t.rows = append(t.rows, row{kind: kind, msg: msg, piece: p, last: i == len(pieces)-1, showTime: clock && i == 0})
		}
		if msg.failure != "" {
			t.rows = append(t.rows, row{kind: rowFailure, msg: msg})
		}
		before = msg
	}
}

// reanchor restores the scroll position after the rows have changed. A view at
// the end stays at the end.
func (t *transcript) reanchor(s *scrollPos, height int) {
	if s.fromBottom > 0 && s.anchor != nil {
		of := 0
		for i := range t.rows {
			if t.rows[i].msg != s.anchor {
				continue
			}
			if of == s.anchorRow {
				s.fromBottom = len(t.rows) - 1 - i
				break
			}
			of++
		}
	}
	t.scrollBy(s, 0, height)
}

// scrollBy scrolls up, down if by is negative, and sets the anchor.
func (t *transcript) scrollBy(s *scrollPos, by, height int) {
	s.fromBottom = max(0, min(s.fromBottom+by, len(t.rows)-height))
	s.anchor, s.anchorRow = nil, 0
	if s.fromBottom == 0 || len(t.rows) == 0 {
		s.fromBottom = 0
		return
	}
	i := len(t.rows) - 1 - s.fromBottom
	s.anchor = t.rows[i].msg
	for i > 0 && t.rows[i-1].msg == s.anchor {
		i--
		s.anchorRow++
	}
}

// visible returns the visible rows.
func (t *transcript) visible(s scrollPos, height int) []row {
	end := len(t.rows) - s.fromBottom
	return t.rows[max(0, end-height):max(0, end)]
}

// atTop reports whether the first row is visible.
func (t *transcript) atTop(s scrollPos, height int) bool { return len(t.rows)-s.fromBottom <= height }

// reveal scrolls so that byte from of a line of msg is in the middle, unless it
// is visible already.
func (t *transcript) reveal(s *scrollPos, msg *message, line, from, height int) {
	for i := range t.rows {
		r := &t.rows[i]
		if r.msg != msg || r.kind != rowText || r.piece.line != line || from < r.piece.from || from >= r.piece.to && r.piece.to > r.piece.from {
			continue
		}
		end := len(t.rows) - s.fromBottom
		if i < end && i >= end-height {
			return
		}
		s.fromBottom = len(t.rows) - 1 - i - height/2
		t.scrollBy(s, 0, height)
		return
	}
}

func sameDay(a, b time.Time) bool {
	a, b = a.Local(), b.Local()
	return a.YearDay() == b.YearDay() && a.Year() == b.Year()
}

func sameMinute(a, b time.Time) bool { return a.Truncate(time.Minute).Equal(b.Truncate(time.Minute)) }

// dayLabel returns the text of a date row.
func dayLabel(at, now time.Time) string {
	switch {
	case sameDay(at, now):
		return "Today"
	case sameDay(at, now.AddDate(0, 0, -1)):
		return "Yesterday"
	case now.Sub(at) < 300*24*time.Hour && at.Before(now):
		return at.Local().Format("Monday, 2 January")
	}
	return at.Local().Format("Monday, 2 January 2006")
}

func timeLabel(at time.Time) string { return at.Local().Format("15:04") }
