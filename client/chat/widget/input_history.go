package widget

// maxRecall is how many lines of one's own input are remembered.
const maxHistory = 200

// recall is the history of what was typed here; passwords never get into it.
type InputHistory struct {
	lines []string
	pos   int    // the line that is shown, len(lines): none
	draft string // what was being typed before
}

func (r *InputHistory) Add(s string) {
	if n := len(r.lines); s != "" && (n == 0 || r.lines[n-1] != s) {
		r.lines = append(r.lines, s)
	}
	if len(r.lines) > maxHistory {
		r.lines = append(r.lines[:0], r.lines[1:]...)
	}
	r.Rewind()
}

// rewind goes back to the newest line.
func (r *InputHistory) Rewind() { r.pos = len(r.lines) }

// move goes to an older (-1) or newer (1) line, and reports false where there
// is none.
func (r *InputHistory) Move(by int, now string) (string, bool) {
	to := r.pos + by
	if to < 0 || to > len(r.lines) {
		return "", false
	}
	if r.pos == len(r.lines) {
		r.draft = now
	}
	if r.pos = to; to == len(r.lines) {
		return r.draft, true
	}
	return r.lines[to], true
}
