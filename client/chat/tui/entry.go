package tui

import (
	"time"

	"chatd/client/chat/text"
)

// entry is one message of a conversation, or a note about it that no server
// stores: that somebody has joined, say.
type entry struct {
	seq    int64 // 0: not stored yet; of a note that of the message before it, or -1
	local  int64 // the number of one that was sent from here, 0: it wasn't
	from   int64
	name   string
	text   string
	at     time.Time
	note   bool
	failed string // why it could not be sent

	width  int // that pieces are for
	lines  []string
	pieces []piece
}

// piece is a row of an entry: a part of one of its lines.
type piece struct{ line, from, to int }

// waits reports whether it has yet to be acknowledged.
func (e *entry) waits() bool { return e.local != 0 && e.seq == 0 && e.failed == "" }

// body is the lines of the text.
func (e *entry) body(r text.Ruler) []string {
	if e.lines == nil {
		e.lines = r.Lines(e.text)
	}
	return e.lines
}

// wrapped is the rows that the text takes at a width.
func (e *entry) wrapped(r text.Ruler, w int) []piece {
	if e.width == w && e.pieces != nil {
		return e.pieces
	}
	e.width, e.pieces = w, e.pieces[:0]
	for i, l := range e.body(r) {
		for _, p := range r.Wrap(l, w) {
			e.pieces = append(e.pieces, piece{i, p[0], p[1]})
		}
	}
	return e.pieces
}

// forget drops what was derived from the text: the ruler is another one.
func (e *entry) forget() { e.lines, e.pieces, e.width = nil, nil, 0 }
