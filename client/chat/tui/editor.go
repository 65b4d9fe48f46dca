package tui

import (
	"strings"
	"unicode"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"

	"chatd/client/chat/text"
)

// editor is text being typed. The cursor stands between what looks like one
// character each, so that none is ever torn.
type editor struct {
	r      text.Ruler
	chars  []string
	at     int  // the cursor: before chars[at]
	lines  bool // may hold line ends
	masked bool // a password: shown as dots
	most   int  // bytes it may hold
	size   int
}

func (e *editor) value() string { return strings.Join(e.chars, "") }

func (e *editor) empty() bool { return len(e.chars) == 0 }

// set replaces all, with the cursor at the end.
func (e *editor) set(s string) {
	e.chars, e.at, e.size = nil, 0, 0
	e.insert(s)
}

// insert puts text before the cursor, as far as there is room: line ends
// become blanks where there may be none, other control characters are left out.
func (e *editor) insert(s string) {
	s = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(strings.ToValidUTF8(s, ""))
	s = strings.Map(func(c rune) rune {
		switch {
		case c == '\n' && e.lines:
			return c
		case c == '\n' || c == '\t':
			return ' '
		case unicode.IsControl(c):
			return -1
		}
		return c
	}, s)
	if room := e.most - e.size; len(s) > room {
		for s = s[:max(room, 0)]; len(s) > 0 && !utf8.ValidString(s); {
			s = s[:len(s)-1]
		}
	}
	if s == "" {
		return
	}
	// What is typed may join what is before it: a mark its letter.
	before := strings.Join(e.chars[:e.at], "") + s
	after := strings.Join(e.chars[e.at:], "")
	head := e.split(before)
	e.at = len(head)
	e.chars = append(head, e.split(after)...)
	e.size += len(s)
}

func (e *editor) split(s string) (all []string) {
	for part := range strings.SplitAfterSeq(s, "\n") {
		line, end := strings.CutSuffix(part, "\n")
		for c := range (text.Ruler{Clusters: true}).All(line) {
			all = append(all, c)
		}
		if end {
			all = append(all, "\n")
		}
	}
	return all
}

// remove takes out chars[from:to].
func (e *editor) remove(from, to int) {
	for _, c := range e.chars[from:to] {
		e.size -= len(c)
	}
	e.chars = append(e.chars[:from:from], e.chars[to:]...)
	if e.at > from {
		e.at = max(from, e.at-(to-from))
	}
}

// key does what a key says, and reports whether it was one for an editor.
func (e *editor) key(k tea.KeyPressMsg) bool {
	switch k.String() {
	case "left", "ctrl+b":
		e.at = max(0, e.at-1)
	case "right":
		e.at = min(len(e.chars), e.at+1)
	case "home", "ctrl+a":
		e.at = e.lineBegin()
	case "end", "ctrl+e":
		e.at = e.lineEnd()
	case "alt+left", "ctrl+left", "alt+b":
		e.at = e.wordBegin()
	case "alt+right", "ctrl+right", "alt+f":
		e.at = e.wordEnd()
	case "backspace", "ctrl+h", "shift+backspace":
		if e.at > 0 {
			e.remove(e.at-1, e.at)
		}
	case "delete", "ctrl+d":
		if e.at < len(e.chars) {
			e.remove(e.at, e.at+1)
		}
	case "ctrl+w", "alt+backspace", "ctrl+backspace":
		e.remove(e.wordBegin(), e.at)
	case "alt+d", "ctrl+delete":
		e.remove(e.at, e.wordEnd())
	case "ctrl+u":
		e.remove(e.lineBegin(), e.at)
	case "ctrl+k":
		e.remove(e.at, e.lineEnd())
	case "alt+enter", "shift+enter", "ctrl+j":
		if !e.lines {
			return false
		}
		e.insert("\n")
	default:
		if k.Text == "" {
			return false
		}
		e.insert(k.Text)
	}
	return true
}

func (e *editor) lineBegin() int {
	i := e.at
	for i > 0 && e.chars[i-1] != "\n" {
		i--
	}
	return i
}

func (e *editor) lineEnd() int {
	i := e.at
	for i < len(e.chars) && e.chars[i] != "\n" {
		i++
	}
	return i
}

func blank(c string) bool { return c == " " || c == "\n" }

func (e *editor) wordBegin() int {
	i := e.at
	for i > 0 && blank(e.chars[i-1]) {
		i--
	}
	for i > 0 && !blank(e.chars[i-1]) {
		i--
	}
	return i
}

func (e *editor) wordEnd() int {
	i := e.at
	for i < len(e.chars) && blank(e.chars[i]) {
		i++
	}
	for i < len(e.chars) && !blank(e.chars[i]) {
		i++
	}
	return i
}

// shown is a character as it is drawn.
func (e *editor) shown(c string) string {
	if e.masked {
		return "•"
	}
	return e.r.Show(c)
}

// rows breaks the text into rows of w columns, and says in which row and
// column the cursor is. Starts are the indexes of the chars that rows begin with.
func (e *editor) rows(w int) (rows []string, starts []int, row, col int) {
	w = max(w, 2)
	var b strings.Builder
	cols := 0
	starts = []int{0}
	turn := func(next int) {
		rows = append(rows, b.String())
		starts = append(starts, next)
		b.Reset()
		cols = 0
	}
	for i, c := range e.chars {
		s := ""
		if c != "\n" {
			s = e.shown(c)
		}
		cw := e.r.Width(s)
		if cols+cw > w-1 && c != "\n" { // the last column is the cursor's
			turn(i)
		}
		if i == e.at {
			row, col = len(rows), cols
		}
		if c == "\n" {
			turn(i + 1)
			continue
		}
		b.WriteString(s)
		cols += cw
	}
	if e.at == len(e.chars) {
		row, col = len(rows), cols
	}
	return append(rows, b.String()), starts, row, col
}

// vertical moves the cursor a row up or down, and reports false where there
// is none.
func (e *editor) vertical(w, by int) bool {
	_, starts, row, col := e.rows(w)
	target := row + by
	if target < 0 || target >= len(starts) {
		return false
	}
	end := len(e.chars)
	if target+1 < len(starts) {
		end = starts[target+1] - 1 // on the last one, not behind it
	}
	e.at = starts[target]
	for cols := 0; e.at < end && cols < col; e.at++ {
		cols += e.r.Width(e.shown(e.chars[e.at]))
	}
	return true
}
