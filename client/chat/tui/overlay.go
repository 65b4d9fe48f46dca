package tui

import (
	"strings"

	"chatd/client/chat/text"
)

// maxSheet is how many lines a sheet has at most.
const maxOverlayLines = 2000

// sheet is a list laid over the messages: help, friends, members.
type overlay struct {
	title string
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

func (s *overlay) add(head, rest string) {
	s.lines = append(s.lines, overlayLine{head: head, rest: strings.ReplaceAll(rest, "\n", " ")})
}

func (s *overlay) section(head string) {
	s.lines = append(s.lines, overlayLine{head: head, heading: true})
}

// scroll moves by rows of those that were drawn last.
func (s *overlay) scroll(by, height int) { s.top = max(0, min(s.top+by, len(s.rows)-height)) }

func (s *overlay) hasMore(height int) bool { return s.top+height < len(s.rows) }

// headWidth is how wide the first column is.
func (s *overlay) headWidth(r text.Ruler, w int) (head int) {
	for _, l := range s.lines {
		if !l.heading {
			head = max(head, r.Width(r.Show(l.head)))
		}
	}
	return min(head, max(w/2, 8))
}

// fit breaks the lines for a width.
func (s *overlay) wrap(r text.Ruler, w, head int) {
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
func (s *overlay) view(th *theme, r text.Ruler, w, h int) (rows []string) {
	head := s.headWidth(r, w)
	s.wrap(r, w, head)
	s.scroll(0, h)
	for i := s.top; i < len(s.rows) && len(rows) < h; i++ {
		l, row := s.rows[i], newRow(r, w).add(style{}, " ")
		if l.heading {
			row.add(th.accent, r.Show(l.head))
		} else {
			row.add(th.bold, r.Cut(r.Show(l.head), head)).padTo(style{}, head+3).add(th.dim, l.rest)
		}
		rows = append(rows, row.build())
	}
	for len(rows) < h {
		rows = append(rows, newRow(r, w).build())
	}
	return rows
}
