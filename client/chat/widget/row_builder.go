package widget

import (
	"strings"

	"chatd/client/chat/text"
)

// RowBuilder builds one row of the screen. It cuts off what doesn't fit. Text
// that isn't the program's own must have gone through Ruler.Show. Text from right to
// left doesn't reorder the rest of the row.
type RowBuilder struct {
	ruler    text.Ruler
	maxWidth int
	Width    int // columns used so far
	b        strings.Builder
}

// NewRow starts a row of w columns.
func NewRow(r text.Ruler, w int) *RowBuilder { return &RowBuilder{ruler: r, maxWidth: max(w, 0)} }

// Add appends text. If it doesn't fit, an ellipsis marks the cut.
func (l *RowBuilder) Add(st Style, s string) *RowBuilder { return l.add(st, s, text.Isolate) }

// AddSentence is Add for a sentence of this program that may have names in it.
func (l *RowBuilder) AddSentence(st Style, s string) *RowBuilder {
	return l.add(st, s, text.IsolateWords)
}

// add appends text. isolate is applied to what fits.
func (l *RowBuilder) add(st Style, s string, isolate func(string) string) *RowBuilder {
	room := l.maxWidth - l.Width
	if room <= 0 || s == "" {
		return l
	}
	s = l.ruler.Cut(s, room)
	l.Width += l.ruler.Width(s)
	l.b.WriteString(st.Render(isolate(s)))
	return l
}

// PadTo pads with spaces up to a column.
func (l *RowBuilder) PadTo(st Style, col int) *RowBuilder {
	if col = min(col, l.maxWidth); col > l.Width {
		l.b.WriteString(st.Render(strings.Repeat(" ", col-l.Width)))
		l.Width = col
	}
	return l
}

// AddRight appends right-aligned text. It does nothing if the text doesn't fit
// with a space before it.
func (l *RowBuilder) AddRight(st Style, s string) *RowBuilder {
	w := l.ruler.Width(s)
	if s == "" || l.Width+w+1 > l.maxWidth {
		return l
	}
	return l.PadTo(Style{}, l.maxWidth-w).Add(st, s)
}

// AddRule appends a horizontal rule of w columns with s in its middle. Without
// room for s, or if s is empty, it's just a rule.
func (l *RowBuilder) AddRule(rule, words Style, s string, w int) *RowBuilder {
	n := l.ruler.Width(s)
	if s == "" || n+4 > w {
		return l.Add(rule, strings.Repeat("─", max(w, 0)))
	}
	left := (w - n - 2) / 2
	return l.Add(rule, strings.Repeat("─", left)).Add(words, " "+s+" ").Add(rule, strings.Repeat("─", w-n-2-left))
}

// Build pads the row to its full width and returns it.
func (l *RowBuilder) Build() string { return l.PadTo(Style{}, l.maxWidth).b.String() }

// Fill appends empty rows of w columns until there are h rows.
func Fill(rows []string, r text.Ruler, w, h int) []string {
	for len(rows) < h {
		rows = append(rows, NewRow(r, w).Build())
	}
	return rows
}
