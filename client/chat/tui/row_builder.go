package tui

import (
	"strings"

	"chatd/client/chat/text"
)

// line builds one row of the screen: it knows how wide it is, and never gets
// wider than it may be. What is added must be fit to be shown.
type rowBuilder struct {
	ruler    text.Ruler
	maxWidth int
	width    int
	b        strings.Builder
}

func newRow(r text.Ruler, most int) *rowBuilder { return &rowBuilder{ruler: r, maxWidth: max(most, 0)} }

// add adds text, cut to what there is room for.
func (l *rowBuilder) add(st style, s string) *rowBuilder {
	room := l.maxWidth - l.width
	if room <= 0 || s == "" {
		return l
	}
	s = l.ruler.Cut(s, room)
	l.width += l.ruler.Width(s)
	l.b.WriteString(st.render(s))
	return l
}

// to fills up to a column with blanks.
func (l *rowBuilder) padTo(st style, col int) *rowBuilder {
	if col = min(col, l.maxWidth); col > l.width {
		l.b.WriteString(st.render(strings.Repeat(" ", col-l.width)))
		l.width = col
	}
	return l
}

// right adds text that ends at the last column, if there is room for it
// behind what is there and a blank.
func (l *rowBuilder) addRight(st style, s string) *rowBuilder {
	w := l.ruler.Width(s)
	if s == "" || l.width+w+1 > l.maxWidth {
		return l
	}
	return l.padTo(style{}, l.maxWidth-w).add(st, s)
}

// ruled adds a rule with words in its middle, as wide as w.
func (l *rowBuilder) addRule(rule, words style, s string, w int) *rowBuilder {
	n := l.ruler.Width(s)
	if s == "" || n+4 > w {
		return l.add(rule, strings.Repeat("─", max(w, 0)))
	}
	left := (w - n - 2) / 2
	return l.add(rule, strings.Repeat("─", left)).add(words, " "+s+" ").add(rule, strings.Repeat("─", w-n-2-left))
}

// end is the row, filled to its width.
func (l *rowBuilder) build() string { return l.padTo(style{}, l.maxWidth).b.String() }
