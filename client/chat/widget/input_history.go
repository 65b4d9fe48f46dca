package widget

// maxHistory is the number of lines kept.
const maxHistory = 200

// InputHistory holds the lines typed so far, oldest first. Callers must not add
// passwords.
type InputHistory struct {
	lines []string
	pos   int    // index of the line shown; len(lines) is the draft
	draft string // what was typed before moving to older lines
}

// Add appends a line, unless it is empty or repeats the last one, and rewinds.
func (h *InputHistory) Add(s string) {
	if n := len(h.lines); s != "" && (n == 0 || h.lines[n-1] != s) {
		h.lines = append(h.lines, s)
	}
	if len(h.lines) > maxHistory {
		h.lines = append(h.lines[:0], h.lines[1:]...)
	}
	h.Rewind()
}

// Rewind goes back to the draft.
func (h *InputHistory) Rewind() { h.pos = len(h.lines) }

// Move goes to an older (-1) or newer (1) line and returns it. It returns false
// if there is none. now is the text in the input, which is kept as the draft.
func (h *InputHistory) Move(by int, now string) (string, bool) {
	to := h.pos + by
	if to < 0 || to > len(h.lines) {
		return "", false
	}
	if h.pos == len(h.lines) {
		h.draft = now
	}
	if h.pos = to; to == len(h.lines) {
		return h.draft, true
	}
	return h.lines[to], true
}
