package tui

// maxRecall is how many lines of one's own input are remembered.
const maxRecall = 200

// recall is the history of what was typed here; passwords never get into it.
type recall struct {
	lines []string
	at    int    // the line that is shown, len(lines): none
	draft string // what was being typed before
}

func (r *recall) add(s string) {
	if n := len(r.lines); s != "" && (n == 0 || r.lines[n-1] != s) {
		r.lines = append(r.lines, s)
	}
	if len(r.lines) > maxRecall {
		r.lines = append(r.lines[:0], r.lines[1:]...)
	}
	r.at = len(r.lines)
}

// move goes to an older (-1) or newer (1) line, and reports false where there
// is none.
func (r *recall) move(by int, now string) (string, bool) {
	to := r.at + by
	if to < 0 || to > len(r.lines) {
		return "", false
	}
	if r.at == len(r.lines) {
		r.draft = now
	}
	if r.at = to; to == len(r.lines) {
		return r.draft, true
	}
	return r.lines[to], true
}
