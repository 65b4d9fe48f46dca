package widget

import (
	"strings"
	"unicode"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"

	"chatd/client/chat/text"
)

// Editor is a text input of one or more lines. The cursor moves, and keys
// delete, by grapheme cluster, so an accent stays with its letter and an emoji
// sequence stays whole.
type Editor struct {
	Ruler     text.Ruler
	chars     []string // grapheme clusters; a line break is one, too
	cursor    int      // index in chars of the cluster after the cursor
	Multiline bool     // accepts line breaks
	Masked    bool     // shows dots, for passwords
	MaxBytes  int      // maximum length of the text
	size      int      // length of the text in bytes
}

// Value returns the text.
func (e *Editor) Value() string { return strings.Join(e.chars, "") }

// Empty reports whether the editor has no text.
func (e *Editor) Empty() bool { return len(e.chars) == 0 }

// AtEnd reports whether the cursor is at the end.
func (e *Editor) AtEnd() bool { return e.cursor == len(e.chars) }

// Set replaces the text and puts the cursor at its end.
func (e *Editor) Set(s string) {
	e.chars, e.cursor, e.size = nil, 0, 0
	e.Insert(s)
}

// Insert inserts s before the cursor. What doesn't fit into MaxBytes is cut
// off. Tabs, and line breaks in a single-line editor, become spaces. Other
// control characters are dropped.
func (e *Editor) Insert(s string) {
	s = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(strings.ToValidUTF8(s, ""))
	s = strings.Map(func(c rune) rune {
		switch {
		case c == '\n' && e.Multiline:
			return c
		case c == '\n' || c == '\t':
			return ' '
		case unicode.IsControl(c):
			return -1
		}
		return c
	}, s)
	if room := e.MaxBytes - e.size; len(s) > room {
		for s = s[:max(room, 0)]; len(s) > 0 && !utf8.ValidString(s); {
			s = s[:len(s)-1]
		}
	}
	if s == "" {
		return
	}
	// The inserted text may combine with the cluster before it.
	before := strings.Join(e.chars[:e.cursor], "") + s
	after := strings.Join(e.chars[e.cursor:], "")
	head := e.clusters(before)
	e.cursor = len(head)
	e.chars = append(head, e.clusters(after)...)
	e.size += len(s)
}

func (e *Editor) clusters(s string) (all []string) {
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

// remove deletes chars[from:to] and keeps the cursor in place.
func (e *Editor) remove(from, to int) {
	for _, c := range e.chars[from:to] {
		e.size -= len(c)
	}
	e.chars = append(e.chars[:from:from], e.chars[to:]...)
	if e.cursor > from {
		e.cursor = max(from, e.cursor-(to-from))
	}
}

// HandleKey applies a key. It returns false if it isn't an editing key.
func (e *Editor) HandleKey(k tea.KeyPressMsg) bool {
	switch k.String() {
	case "left", "ctrl+b":
		e.cursor = max(0, e.cursor-1)
	case "right":
		e.cursor = min(len(e.chars), e.cursor+1)
	case "home", "ctrl+a":
		e.cursor = e.lineBegin()
	case "end", "ctrl+e":
		e.cursor = e.lineEnd()
	case "alt+left", "ctrl+left", "alt+b":
		e.cursor = e.wordBegin()
	case "alt+right", "ctrl+right", "alt+f":
		e.cursor = e.wordEnd()
	case "backspace", "ctrl+h", "shift+backspace":
		if e.cursor > 0 {
			e.remove(e.cursor-1, e.cursor)
		}
	case "delete", "ctrl+d":
		if e.cursor < len(e.chars) {
			e.remove(e.cursor, e.cursor+1)
		}
	case "ctrl+w", "alt+backspace", "ctrl+backspace":
		e.remove(e.wordBegin(), e.cursor)
	case "alt+d", "ctrl+delete":
		e.remove(e.cursor, e.wordEnd())
	case "ctrl+u":
		e.remove(e.lineBegin(), e.cursor)
	case "ctrl+k":
		e.remove(e.cursor, e.lineEnd())
	case "alt+enter", "shift+enter", "ctrl+j":
		if !e.Multiline {
			return false
		}
		e.Insert("\n")
	default:
		if k.Text == "" {
			return false
		}
		e.Insert(k.Text)
	}
	return true
}

func (e *Editor) lineBegin() int {
	i := e.cursor
	for i > 0 && e.chars[i-1] != "\n" {
		i--
	}
	return i
}

func (e *Editor) lineEnd() int {
	i := e.cursor
	for i < len(e.chars) && e.chars[i] != "\n" {
		i++
	}
	return i
}

func isBlank(c string) bool { return c == " " || c == "\n" }

func (e *Editor) wordBegin() int {
	i := e.cursor
	for i > 0 && isBlank(e.chars[i-1]) {
		i--
	}
	for i > 0 && !isBlank(e.chars[i-1]) {
		i--
	}
	return i
}

func (e *Editor) wordEnd() int {
	i := e.cursor
	for i < len(e.chars) && isBlank(e.chars[i]) {
		i++
	}
	for i < len(e.chars) && !isBlank(e.chars[i]) {
		i++
	}
	return i
}

// display returns a cluster the way it is drawn.
func (e *Editor) display(c string) string {
	if e.Masked {
		return "•"
	}
	return e.Ruler.Show(c)
}

// Rows wraps the text to w columns, one of which is reserved for the cursor.
// row and col are the cursor's position. starts[i] is the index in chars at
// which row i begins.
func (e *Editor) Rows(w int) (rows []string, starts []int, row, col int) {
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
			s = e.display(c)
		}
		cw := e.Ruler.Width(s)
		if cols+cw > w-1 && c != "\n" {
			turn(i)
		}
		if i == e.cursor {
			row, col = len(rows), cols
		}
		if c == "\n" {
			turn(i + 1)
			continue
		}
		b.WriteString(s)
		cols += cw
	}
	if e.cursor == len(e.chars) {
		row, col = len(rows), cols
	}
	return append(rows, b.String()), starts, row, col
}

// MoveVertical moves the cursor down by this many rows of the text wrapped to w
// columns, up if by is negative. It returns false if there is no such row.
func (e *Editor) MoveVertical(w, by int) bool {
	_, starts, row, col := e.Rows(w)
	target := row + by
	if target < 0 || target >= len(starts) {
		return false
	}
	end := len(e.chars)
	if target+1 < len(starts) {
		end = starts[target+1] - 1 // stay on this row, not at the start of the next
	}
	e.cursor = starts[target]
	for cols := 0; e.cursor < end && cols < col; e.cursor++ {
		cols += e.Ruler.Width(e.display(e.chars[e.cursor]))
	}
	return true
}
