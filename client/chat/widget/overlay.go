package widget

import (
	"strings"

	"chatd/client/chat/text"
)

// Overlay is a scrollable list with two columns, such as the help. It covers
// the messages.
type Overlay struct {
	Title string
	lines []overlayLine
	top   int // index of the first visible row

	rows  []overlayLine // lines wrapped to width columns
	width int
}

// overlayLine is one line: the first column and the rest.
type overlayLine struct {
	head, rest string
	heading    bool
}

// Add appends a line.
func (o *Overlay) Add(head, rest string) {
	o.lines = append(o.lines, overlayLine{head: head, rest: strings.ReplaceAll(rest, "\n", " ")})
}

// Len returns the number of lines.
func (o *Overlay) Len() int { return len(o.lines) }

// Rewrap must be called after the ruler has changed.
func (o *Overlay) Rewrap() { o.rows = nil }

// AddHeading appends a heading.
func (o *Overlay) AddHeading(head string) {
	o.lines = append(o.lines, overlayLine{head: head, heading: true})
}

// Scroll scrolls down by this many rows, up if by is negative. height is the
// number of visible rows.
func (o *Overlay) Scroll(by, height int) { o.top = max(0, min(o.top+by, len(o.rows)-height)) }

// HasMore reports whether there are rows below the visible ones.
func (o *Overlay) HasMore(height int) bool { return o.top+height < len(o.rows) }

// headWidth returns the width of the first column, at most half of w.
func (o *Overlay) headWidth(r text.Ruler, w int) (head int) {
	for _, l := range o.lines {
		if !l.heading {
			head = max(head, r.Width(r.Show(l.head)))
		}
	}
	return min(head, max(w/2, 8))
}

// wrap wraps the lines to w columns.
func (o *Overlay) wrap(r text.Ruler, w, head int) {
	if o.width == w && o.rows != nil {
		return
	}
	o.width, o.rows = w, o.rows[:0]
	for _, l := range o.lines {
		rest := r.Show(l.rest)
		for i, p := range r.Wrap(rest, max(w-head-4, 8)) {
			part := overlayLine{head: l.head, rest: rest[p[0]:p[1]], heading: l.heading}
			if i > 0 {
				part.head = ""
			}
			o.rows = append(o.rows, part)
		}
	}
}

// View draws the visible rows: exactly h rows of w columns.
func (o *Overlay) View(th *Theme, r text.Ruler, w, h int) (rows []string) {
	head := o.headWidth(r, w)
	o.wrap(r, w, head)
	o.Scroll(0, h)
	for i := o.top; i < len(o.rows) && len(rows) < h; i++ {
		l, row := o.rows[i], NewRow(r, w).Add(Style{}, " ")
		if l.heading {
			row.Add(th.Accent, r.Show(l.head))
		} else {
			row.Add(th.Bold, r.Cut(r.Show(l.head), head)).PadTo(Style{}, head+3).AddSentence(th.Dim, l.rest)
		}
		rows = append(rows, row.Build())
	}
	return Fill(rows, r, w, h)
}
