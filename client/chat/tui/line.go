package tui

import (
	"strings"

	"chatd/client/chat/text"
)

// line builds one row of the screen: it knows how wide it is, and never gets
// wider than it may be. What is added must be fit to be shown.
type line struct {
	r    text.Ruler
	most int
	w    int
	b    strings.Builder
}

func newLine(r text.Ruler, most int) *line { return &line{r: r, most: max(most, 0)} }

// add adds text, cut to what there is room for.
func (l *line) add(st style, s string) *line {
	room := l.most - l.w
	if room <= 0 || s == "" {
		return l
	}
	s = l.r.Cut(s, room)
	l.w += l.r.Width(s)
	l.b.WriteString(st.on(s))
	return l
}

// to fills up to a column with blanks.
func (l *line) to(st style, col int) *line {
	if col = min(col, l.most); col > l.w {
		l.b.WriteString(st.on(strings.Repeat(" ", col-l.w)))
		l.w = col
	}
	return l
}

// right adds text that ends at the last column, if there is room for it
// behind what is there and a blank.
func (l *line) right(st style, s string) *line {
	w := l.r.Width(s)
	if s == "" || l.w+w+1 > l.most {
		return l
	}
	return l.to(style{}, l.most-w).add(st, s)
}

// ruled adds a rule with words in its middle, as wide as w.
func (l *line) ruled(rule, words style, s string, w int) *line {
	n := l.r.Width(s)
	if s == "" || n+4 > w {
		return l.add(rule, strings.Repeat("─", max(w, 0)))
	}
	left := (w - n - 2) / 2
	return l.add(rule, strings.Repeat("─", left)).add(words, " "+s+" ").add(rule, strings.Repeat("─", w-n-2-left))
}

// end is the row, filled to its width.
func (l *line) end() string { return l.to(style{}, l.most).b.String() }
