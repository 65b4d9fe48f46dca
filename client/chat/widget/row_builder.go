package widget

import (
	"strings"

	"chatd/client/chat/text"
)

// line builds one row of the screen: it knows how wide it is, and never gets
// wider than it may be. What is added must be fit to be shown.
type RowBuilder struct {
	ruler    text.Ruler
	maxWidth int
	Width    int
	b        strings.Builder
}

func NewRow(r text.Ruler, most int) *RowBuilder { return &RowBuilder{ruler: r, maxWidth: max(most, 0)} }

// add adds text, cut to what there is room for.
func (l *RowBuilder) Add(st Style, s string) *RowBuilder {
	room := l.maxWidth - l.Width
	if room <= 0 || s == "" {
		return l
	}
	s = l.ruler.Cut(s, room)
	l.Width += l.ruler.Width(s)
	l.b.WriteString(st.Render(s))
	return l
}

// to fills up to a column with blanks.
func (l *RowBuilder) PadTo(st Style, col int) *RowBuilder {
	if col = min(col, l.maxWidth); col > l.Width {
		l.b.WriteString(st.Render(strings.Repeat(" ", col-l.Width)))
		l.Width = col
	}
	return l
}

// right adds text that ends at the last column, if there is room for it
// behind what is there and a blank.
func (l *RowBuilder) AddRight(st Style, s string) *RowBuilder {
	w := l.ruler.Width(s)
	if s == "" || l.Width+w+1 > l.maxWidth {
		return l
	}
	return l.PadTo(Style{}, l.maxWidth-w).Add(st, s)
}

// ruled adds a rule with words in its middle, as wide as w.
func (l *RowBuilder) AddRule(rule, words Style, s string, w int) *RowBuilder {
	n := l.ruler.Width(s)
	if s == "" || n+4 > w {
		return l.Add(rule, strings.Repeat("─", max(w, 0)))
	}
	left := (w - n - 2) / 2
	return l.Add(rule, strings.Repeat("─", left)).Add(words, " "+s+" ").Add(rule, strings.Repeat("─", w-n-2-left))
}

// end is the row, filled to its width.
func (l *RowBuilder) Build() string { return l.PadTo(Style{}, l.maxWidth).b.String() }
