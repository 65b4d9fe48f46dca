package widget

// maxHistory is the number of lines kept.
const maxHistory = 200

// InputHistory has the lines entered so far. Callers must not add passwords.
type InputHistory struct {
	lines []string // oldest first
	pos   int      // index of the line shown; len(lines) for the draft
	draft string   // the input before the user went to older lines
}

// Add appends a line, unless it is empty or the same as the last one, and goes
// back to the draft.
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

// Move goes to the next older line (by is -1) or newer line (by is 1) and
// returns it. It returns false if there is none. now is the current input; Move
// keeps it as the draft when it leaves the draft.
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
