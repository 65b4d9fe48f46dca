package text

import "strings"

// Wrap breaks one line of clean text into pieces of at most w columns, after
// a blank where there is one, and says where in s each begins and ends.
// Blanks at a break belong to the piece before it and may stand beyond w. A
// character wider than w has a piece of its own. There is at least one piece.
func (r Ruler) Wrap(s string, w int) (pieces [][2]int) {
	w = max(w, 1)
	if plain(s) && len(s) <= w {
		return [][2]int{{0, len(s)}}
	}
	begin, at, cols := 0, 0, 0 // of the piece: where it begins, how far it goes
	brk, brkCols := 0, 0       // behind its last blank, 0: it has none
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

// Lines splits what a message says at its line ends, and makes each line fit
// to be shown. There is at least one.
func (r Ruler) Lines(s string) []string {
	lines := strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
	for i, line := range lines {
		lines[i] = r.Show(line)
	}
	return lines
}
