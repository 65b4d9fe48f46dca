package tui

import (
	"time"

	"chatd/client/chat/text"
)

// together is how long after a message the next one of the same sender
// stands under the same name.
const groupingGap = 5 * time.Minute

// rowKind is what a row of the thread shows.
type rowKind int

const (
	rowBlank  rowKind = iota
	rowDate           // a day begins
	rowUnread         // what follows was unread
	rowName           // who speaks, and when
	rowText
	rowNotice
	rowFailure // why it was not sent
	rowStart   // nothing was said before
)

// row is one row of the messages of a conversation.
type row struct {
	kind     rowKind
	msg      *message // rowDay and after
	piece    piece    // rowText, rowNote
	first    bool     // it is the first of its entry
	last     bool     // it is the last of its entry
	showTime bool     // it shows the time
}

// scroll is where in a conversation one is: so many rows above its end, and
// what was in the lowest row, to stay there when rows are added elsewhere.
type scrollPos struct {
	fromBottom int
	anchor     *message
	anchorRow  int // which of its rows
}

// thread is the rows of a conversation for one width.
type transcript struct {
	rows []row
}

// build makes the rows.
func (t *transcript) build(c *conversation, r text.Ruler, w int) {
	t.rows = t.rows[:0]
	if c.hasFirst && len(c.messages) > 0 {
		t.rows = append(t.rows, row{kind: rowStart, msg: c.messages[0]})
	}
	var before *message
	marked := c.unreadAfter == 0
	for _, e := range c.messages {
		if before == nil || !sameDay(before.at, e.at) {
			t.rows = append(t.rows, row{kind: rowDate, msg: e, first: true})
			before = nil
		}
		if !marked && !e.notice && (e.seq > c.unreadAfter) {
			marked = true
			t.rows = append(t.rows, row{kind: rowUnread, msg: e})
			before = nil
		}
		kind, clock := rowText, false
		switch {
		case e.notice:
			kind = rowNotice
		case before == nil || before.notice || before.from != e.from || e.at.Sub(before.at) > groupingGap:
			if before != nil {
				t.rows = append(t.rows, row{kind: rowBlank, msg: e})
			}
			t.rows = append(t.rows, row{kind: rowName, msg: e})
		default:
			clock = !sameMinute(before.at, e.at)
		}
		pieces := e.wrap(r, w)
		for i, p := range pieces {
			t.rows = append(t.rows, row{kind: kind, msg: e, piece: p, first: i == 0, last: i == len(pieces)-1, showTime: clock && i == 0})
		}
		if e.failure != "" {
			t.rows = append(t.rows, row{kind: rowFailure, msg: e})
		}
		before = e
	}
}

// settle puts the scroll where it was before rows changed, and within what
// there is. With up 0 it stays at the end.
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

// move scrolls up by so many rows, down where it is negative, and notes where
// that is.
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

// shown is the rows in sight.
func (t *transcript) visible(s scrollPos, height int) []row {
	end := len(t.rows) - s.fromBottom
	return t.rows[max(0, end-height):max(0, end)]
}

// atTop reports whether the first row is in sight.
func (t *transcript) atTop(s scrollPos, height int) bool { return len(t.rows)-s.fromBottom <= height }

// reveal scrolls so that a piece of an entry is in the middle, if it is not in
// sight.
func (t *transcript) reveal(s *scrollPos, e *message, line, from, height int) {
	for i := range t.rows {
		r := &t.rows[i]
		if r.msg != e || r.kind != rowText || r.piece.line != line || from < r.piece.from || from >= r.piece.to && r.piece.to > r.piece.from {
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

// day is what a day is called.
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
