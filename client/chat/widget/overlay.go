package widget

import (
	"strings"

	"chatd/client/chat/text"
)

// sheet is a list laid over the messages: help, friends, members.
type Overlay struct {
	Title string
	lines []overlayLine
	top   int // the first row that is shown

	rows  []overlayLine // lines, broken for a width
	width int
}

// sheetLine is one line of a sheet: what is in the first column, and the rest.
type overlayLine struct {
	head, rest string
	heading    bool
}

func (s *Overlay) Add(head, rest string) {
	s.lines = append(s.lines, overlayLine{head: head, rest: strings.ReplaceAll(rest, "\n", " ")})
}

func (s *Overlay) Empty() bool { return len(s.lines) == 0 }

func (s *Overlay) Len() int { return len(s.lines) }

// rewrap breaks the lines again at the next view.
func (s *Overlay) Rewrap() { s.rows = nil }

func (s *Overlay) AddHeading(head string) {
	s.lines = append(s.lines, overlayLine{head: head, heading: true})
}

// scroll moves by rows of those that were drawn last.
func (s *Overlay) Scroll(by, height int) { s.top = max(0, min(s.top+by, len(s.rows)-height)) }

func (s *Overlay) HasMore(height int) bool { return s.top+height < len(s.rows) }

// headWidth is how wide the first column is.
func (s *Overlay) headWidth(r text.Ruler, w int) (head int) {
	for _, l := range s.lines {
		if !l.heading {
			head = max(head, r.Width(r.Show(l.head)))
		}
	}
	return min(head, max(w/2, 8))
}

// fit breaks the lines for a width.
func (s *Overlay) wrap(r text.Ruler, w, head int) {
	if s.width == w && s.rows != nil {
		return
	}
	s.width, s.rows = w, s.rows[:0]
	for _, l := range s.lines {
		rest := r.Show(l.rest)
		for i, p := range r.Wrap(rest, max(w-head-4, 8)) {
			part := overlayLine{head: l.head, rest: rest[p[0]:p[1]], heading: l.heading}
			if i > 0 {
				part.head = ""
			}
			s.rows = append(s.rows, part)
		}
	}
}

// view draws the rows in sight.
func (s *Overlay) View(th *Theme, r text.Ruler, w, h int) (rows []string) {
	head := s.headWidth(r, w)
	s.wrap(r, w, head)
	s.Scroll(0, h)
	for i := s.top; i < len(s.rows) && len(rows) < h; i++ {
		l, row := s.rows[i], NewRow(r, w).Add(Style{}, " ")
		if l.heading {
			row.Add(th.Accent, r.Show(l.head))
		} else {
			row.Add(th.Bold, r.Cut(r.Show(l.head), head)).PadTo(Style{}, head+3).Add(th.Dim, l.rest)
		}
		rows = append(rows, row.Build())
	}
	for len(rows) < h {
		rows = append(rows, NewRow(r, w).Build())
	}
	return rows
}
