package text

import "strings"

// Wrap breaks a line into pieces of at most w columns and returns their byte
// ranges. It breaks after spaces where possible. Spaces at a break belong to
// the piece before it and may exceed w. A grapheme cluster wider than w is a
// piece of its own. There is at least one piece.
func (r Ruler) Wrap(s string, w int) (pieces [][2]int) {
	w = max(w, 1)
	if plain(s) && len(s) <= w {
		return [][2]int{{0, len(s)}}
	}
	begin, at, cols := 0, 0, 0 // start, end and width of the current piece
	brk, brkCols := 0, 0       // end and width of the piece up to its last space, 0 without a space
	for c, cw := range r.All(s) {
		blank := c == " "
		if !blank && cols+cw > w && at > begin {
			if brk > begin {
				pieces = append(pieces, [2]int{begin, brk})
				begin, cols = brk, cols-brkCols
			}
			if cols+cw > w && at > begin {
				pieces = append(pieces, [2]int{begin, at})
				begin, cols = at, 0
			}
			brk, brkCols = 0, 0
		}
		at += len(c)
		cols += cw
		if blank {
			brk, brkCols = at, cols
		}
	}
	return append(pieces, [2]int{begin, len(s)})
}

// Lines splits a message into lines, at least one, and makes each safe to show.
func (r Ruler) Lines(s string) []string {
	lines := strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
	for i, line := range lines {
		lines[i] = r.Show(line)
	}
	return lines
}
