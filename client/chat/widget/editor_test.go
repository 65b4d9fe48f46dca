package widget

import (
	"slices"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"
)

func pressed(s string) tea.KeyPressMsg {
	named := map[string]tea.Key{
		"left": {Code: tea.KeyLeft}, "right": {Code: tea.KeyRight}, "home": {Code: tea.KeyHome}, "end": {Code: tea.KeyEnd},
		"up": {Code: tea.KeyUp}, "down": {Code: tea.KeyDown}, "enter": {Code: tea.KeyEnter}, "tab": {Code: tea.KeyTab},
		"backspace": {Code: tea.KeyBackspace}, "delete": {Code: tea.KeyDelete}, "esc": {Code: tea.KeyEscape},
		"alt+enter": {Code: tea.KeyEnter, Mod: tea.ModAlt}, "alt+left": {Code: tea.KeyLeft, Mod: tea.ModAlt},
		"alt+right": {Code: tea.KeyRight, Mod: tea.ModAlt},
	}
	if k, ok := named[s]; ok {
		return tea.KeyPressMsg(k)
	}
	if c, ok := strings.CutPrefix(s, "ctrl+"); ok {
		return tea.KeyPressMsg{Code: rune(c[0]), Mod: tea.ModCtrl}
	}
	return tea.KeyPressMsg{Code: []rune(s)[0], Text: s}
}

// TestEditorKeys checks that keys edit by grapheme cluster and keep count of
// the bytes. In the results, | is the cursor.
func TestEditorKeys(t *testing.T) {
	for _, test := range []struct{ text, keys, want string }{
		{"", "a b c", "abc|"},
		{"abc", "left X", "abX|c"},
		{"abc", "home delete", "|bc"},
		{"abc", "backspace backspace", "a|"},
		{"", "backspace delete left right", "|"},
		{"one two three", "ctrl+w", "one two |"},
		{"one two  ", "ctrl+w", "one |"},
		{"one two", "alt+left alt+left ctrl+k", "|"},
		{"one two", "home alt+right X", "oneX| two"},
		{"one two", "left left ctrl+u", "|wo"},
		{"a", "alt+enter b", "a\nb|"},
		{"a\nbc", "home X", "a\nX|bc"},
		{"你好", "left X", "你X|好"},
		{"e", "\u0301 backspace", "|"}, // a mark combines with its letter
		{"e\u0301x", "left left Y", "Y|e\u0301x"},
		{"👩‍👩‍👧", "backspace", "|"},
		{"👍🏽👍🏽", "left backspace", "|👍🏽"},
		{"a", "enter up", "a|"}, // not editing keys
	} {
		e := Editor{Multiline: true, MaxBytes: 1000}
		e.Set(test.text)
		for _, k := range strings.Fields(test.keys) {
			e.HandleKey(pressed(k))
		}
		got := strings.Join(e.chars[:e.cursor], "") + "|" + strings.Join(e.chars[e.cursor:], "")
		if got != test.want || e.size != len(e.Value()) {
			t.Errorf("keys %q on %q: got %q, size %d; want %q, size %d", test.keys, test.text, got, e.size, test.want, len(e.Value()))
		}
	}
}

// TestEditorPaste checks that pasted text loses its control characters and, in
// a single-line editor, its line breaks, and that it is cut at MaxBytes,
// between characters.
func TestEditorPaste(t *testing.T) {
	e := Editor{MaxBytes: 10}
	if e.Insert("a\x1b[2Jb\r\nc\td"); e.Value() != "a[2Jb c d" {
		t.Errorf("single line: got %q, want %q", e.Value(), "a[2Jb c d")
	}
	if e.Insert("你"); e.Value() != "a[2Jb c d" {
		t.Errorf("pasted beyond MaxBytes: got %q, want %q", e.Value(), "a[2Jb c d")
	}
	e = Editor{MaxBytes: 100, Multiline: true}
	if e.Insert("a\r\nb\rc\xff"); e.Value() != "a\nb\nc" {
		t.Errorf("multiline: got %q, want %q", e.Value(), "a\nb\nc")
	}
}

// TestEditorRows checks how the text wraps into rows, where the cursor is in
// them, and how it moves between them.
func TestEditorRows(t *testing.T) {
	e := Editor{Multiline: true, MaxBytes: 1000}
	e.Set("abcdef\n你好世\n")
	rows, starts, row, col := e.Rows(5)
	if want := []string{"abcd", "ef", "你好", "世", ""}; !slices.Equal(rows, want) || row != 4 || col != 0 {
		t.Errorf("rows %q, cursor in row %d, column %d; want %q, 4, 0", rows, row, col, want)
	}
	if want := []int{0, 4, 7, 9, 11}; !slices.Equal(starts, want) {
		t.Errorf("starts %v, want %v", starts, want)
	}
	for i, want := range []int{9, 7, 4, 0} {
		if !e.MoveVertical(5, -1) || e.cursor != want {
			t.Errorf("%d rows up: cursor = %d, want %d", i+1, e.cursor, want)
		}
	}
	if e.MoveVertical(5, -1) {
		t.Error("the cursor moved up from the first row")
	}
	e.cursor = 3
	if e.MoveVertical(5, 1); e.cursor != 6 {
		t.Errorf("down from the third column to a shorter row: cursor = %d, want 6", e.cursor)
	}
	e.Set("你好e\u0301")
	if _, _, row, col := e.Rows(20); row != 0 || col != 5 {
		t.Errorf("after wide characters and a combining mark: cursor in row %d, column %d; want 0, 5", row, col)
	}
	e.Set("a\u202eb")
	if rows, _, _, _ := e.Rows(20); rows[0] != `a\u202eb` {
		t.Errorf("a bidirectional control is shown as %q, want an escape", rows[0])
	}
	e.Set("abcdef")
	e.Masked = true
	if rows, _, _, _ := e.Rows(5); rows[0] != "••••" || strings.Contains(strings.Join(rows, ""), "a") {
		t.Errorf("a masked editor shows %q, want only dots", rows)
	}
}
