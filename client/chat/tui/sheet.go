package tui

import (
	"strings"

	"chatd/client/chat/text"
)

// maxSheet is how many lines a sheet has at most.
const maxSheet = 2000

// sheet is a list laid over the messages: help, friends, members.
type sheet struct {
	title string
	lines []sheetLine
	up    int // the first row that is shown

	rows []sheetLine // lines, broken for a width
	w    int
}

// sheetLine is one line of a sheet: what is in the first column, and the rest.
type sheetLine struct {
	head, rest string
	strong     bool
}

func (s *sheet) add(head, rest string) {
	s.lines = append(s.lines, sheetLine{head: head, rest: strings.ReplaceAll(rest, "\n", " ")})
}

func (s *sheet) section(head string) { s.lines = append(s.lines, sheetLine{head: head, strong: true}) }

// scroll moves by rows of those that were drawn last.
func (s *sheet) scroll(by, height int) { s.up = max(0, min(s.up+by, len(s.rows)-height)) }

func (s *sheet) more(height int) bool { return s.up+height < len(s.rows) }

// headWidth is how wide the first column is.
func (s *sheet) headWidth(r text.Ruler, w int) (head int) {
	for _, l := range s.lines {
		if !l.strong {
			head = max(head, r.Width(r.Show(l.head)))
		}
	}
	return min(head, max(w/2, 8))
}

// fit breaks the lines for a width.
func (s *sheet) fit(r text.Ruler, w, head int) {
	if s.w == w && s.rows != nil {
		return
	}
	s.w, s.rows = w, s.rows[:0]
	for _, l := range s.lines {
		rest := r.Show(l.rest)
		for i, p := range r.Wrap(rest, max(w-head-4, 8)) {
			part := sheetLine{head: l.head, rest: rest[p[0]:p[1]], strong: l.strong}
			if i > 0 {
				part.head = ""
			}
			s.rows = append(s.rows, part)
		}
	}
}

// view draws the rows in sight.
func (s *sheet) view(th *theme, r text.Ruler, w, h int) (rows []string) {
	head := s.headWidth(r, w)
	s.fit(r, w, head)
	s.scroll(0, h)
	for i := s.up; i < len(s.rows) && len(rows) < h; i++ {
		l, row := s.rows[i], newLine(r, w).add(style{}, " ")
		if l.strong {
			row.add(th.accent, r.Show(l.head))
		} else {
			row.add(th.strong, r.Cut(r.Show(l.head), head)).to(style{}, head+3).add(th.dim, l.rest)
		}
		rows = append(rows, row.end())
	}
	for len(rows) < h {
		rows = append(rows, newLine(r, w).end())
	}
	return rows
}
