package tui

import (
	"time"

	"chatd/client/chat/text"
)

// together is how long after a message the next one of the same sender
// stands under the same name.
const together = 5 * time.Minute

// rowKind is what a row of the thread shows.
type rowKind int

const (
	rowBlank rowKind = iota
	rowDay           // a day begins
	rowFresh         // what follows was unread
	rowName          // who speaks, and when
	rowText
	rowNote
	rowWhy   // why it was not sent
	rowBegin // nothing was said before
)

// row is one row of the messages of a conversation.
type row struct {
	kind  rowKind
	e     *entry // rowDay and after
	p     piece  // rowText, rowNote
	begin bool   // it is the first of its entry
	last  bool   // it is the last of its entry
	clock bool   // it shows the time
}

// scroll is where in a conversation one is: so many rows above its end, and
// what was in the lowest row, to stay there when rows are added elsewhere.
type scroll struct {
	up int
	at *entry
	of int // which of its rows
}

// thread is the rows of a conversation for one width.
type thread struct {
	rows []row
}

// build makes the rows.
func (t *thread) build(c *conversation, r text.Ruler, w int) {
	t.rows = t.rows[:0]
	if c.begins && len(c.entries) > 0 {
		t.rows = append(t.rows, row{kind: rowBegin, e: c.entries[0]})
	}
	var before *entry
	marked := c.fresh == 0
	for _, e := range c.entries {
		if before == nil || !sameDay(before.at, e.at) {
			t.rows = append(t.rows, row{kind: rowDay, e: e, begin: true})
			before = nil
		}
		if !marked && !e.note && (e.seq > c.fresh) {
			marked = true
			t.rows = append(t.rows, row{kind: rowFresh, e: e})
			before = nil
		}
		kind, clock := rowText, false
		switch {
		case e.note:
			kind = rowNote
		case before == nil || before.note || before.from != e.from || e.at.Sub(before.at) > together:
			if before != nil {
				t.rows = append(t.rows, row{kind: rowBlank, e: e})
			}
			t.rows = append(t.rows, row{kind: rowName, e: e})
		default:
			clock = !sameMinute(before.at, e.at)
		}
		pieces := e.wrapped(r, w)
		for i, p := range pieces {
			t.rows = append(t.rows, row{kind: kind, e: e, p: p, begin: i == 0, last: i == len(pieces)-1, clock: clock && i == 0})
		}
		if e.failed != "" {
			t.rows = append(t.rows, row{kind: rowWhy, e: e})
		}
		before = e
	}
}

// settle puts the scroll where it was before rows changed, and within what
// there is. With up 0 it stays at the end.
func (t *thread) settle(s *scroll, height int) {
	if s.up > 0 && s.at != nil {
		of := 0
		for i := range t.rows {
			if t.rows[i].e != s.at {
				continue
			}
			if of == s.of {
				s.up = len(t.rows) - 1 - i
				break
			}
			of++
		}
	}
	t.move(s, 0, height)
}

// move scrolls up by so many rows, down where it is negative, and notes where
// that is.
func (t *thread) move(s *scroll, by, height int) {
	s.up = max(0, min(s.up+by, len(t.rows)-height))
	s.at, s.of = nil, 0
	if s.up == 0 || len(t.rows) == 0 {
		s.up = 0
		return
	}
	i := len(t.rows) - 1 - s.up
	s.at = t.rows[i].e
	for i > 0 && t.rows[i-1].e == s.at {
		i--
		s.of++
	}
}

// shown is the rows in sight.
func (t *thread) shown(s scroll, height int) []row {
	end := len(t.rows) - s.up
	return t.rows[max(0, end-height):max(0, end)]
}

// atTop reports whether the first row is in sight.
func (t *thread) atTop(s scroll, height int) bool { return len(t.rows)-s.up <= height }

// reveal scrolls so that a piece of an entry is in the middle, if it is not in
// sight.
func (t *thread) reveal(s *scroll, e *entry, line, from, height int) {
	for i := range t.rows {
		r := &t.rows[i]
		if r.e != e || r.kind != rowText || r.p.line != line || from < r.p.from || from >= r.p.to && r.p.to > r.p.from {
			continue
		}
		end := len(t.rows) - s.up
		if i < end && i >= end-height {
			return
		}
		s.up = len(t.rows) - 1 - i - height/2
		t.move(s, 0, height)
		return
	}
}

func sameDay(a, b time.Time) bool {
	a, b = a.Local(), b.Local()
	return a.YearDay() == b.YearDay() && a.Year() == b.Year()
}

func sameMinute(a, b time.Time) bool { return a.Truncate(time.Minute).Equal(b.Truncate(time.Minute)) }

// day is what a day is called.
func day(at, now time.Time) string {
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

func clock(at time.Time) string { return at.Local().Format("15:04") }
