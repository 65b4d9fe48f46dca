package tui

import (
	"strings"

	"chatd/client/chat/text"
)

// sheet is a list laid over the messages: help, friends, members.
type sheet struct {
	title string
	lines []sheetLine
	up    int // the first line that is shown
}

// sheetLine is one line of a sheet: what is in the first column, and the rest.
type sheetLine struct {
	head, rest string
	strong     bool
}

func (s *sheet) add(head, rest string) { s.lines = append(s.lines, sheetLine{head: head, rest: rest}) }
func (s *sheet) section(head string)   { s.lines = append(s.lines, sheetLine{head: head, strong: true}) }
func (s *sheet) scroll(by, height int) { s.up = max(0, min(s.up+by, len(s.lines)-height)) }
func (s *sheet) more(height int) bool  { return s.up+height < len(s.lines) }

// maxSheet is how many lines a sheet has at most.
const maxSheet = 2000

// view draws the lines in sight.
func (s *sheet) view(th *theme, r text.Ruler, w, h int) (rows []string) {
	head := 0
	for _, l := range s.lines {
		if !l.strong {
			head = max(head, r.Width(r.Show(l.head)))
		}
	}
	head = min(head, max(w/2, 8))
	for i := s.up; i < len(s.lines) && len(rows) < h; i++ {
		l, row := s.lines[i], newLine(r, w).add(style{}, " ")
		switch {
		case l.strong:
			row.add(th.accent, r.Show(l.head))
		default:
			row.add(th.strong, r.Cut(r.Show(l.head), head)).to(style{}, head+3).add(th.dim, r.Show(strings.ReplaceAll(l.rest, "\n", " ")))
		}
		rows = append(rows, row.end())
	}
	for len(rows) < h {
		rows = append(rows, newLine(r, w).end())
	}
	return rows
}
