package tui

import (
	"time"

	"chatd/client/chat/text"
)

// entry is one message of a conversation, or a note about it that no server
// stores: that somebody has joined, say.
type message struct {
	seq     int64 // 0: not stored yet; of a note that of the message before it, or -1
	localID int64 // the number of one that was sent from here, 0: it wasn't
	from    int64
	name    string
	text    string
	at      time.Time
	notice  bool
	failure string // why it could not be sent

	wrapWidth int // that pieces are for
	lines     []string
	pieces    []piece
}

// piece is a row of an entry: a part of one of its lines.
type piece struct{ line, from, to int }

// waits reports whether it has yet to be acknowledged.
func (e *message) pending() bool { return e.localID != 0 && e.seq == 0 && e.failure == "" }

// body is the lines of the text.
func (e *message) displayLines(r text.Ruler) []string {
	if e.lines == nil {
		e.lines = r.Lines(e.text)
	}
	return e.lines
}

// wrapped is the rows that the text takes at a width.
func (e *message) wrap(r text.Ruler, w int) []piece {
	if e.wrapWidth == w && e.pieces != nil {
		return e.pieces
	}
	e.wrapWidth, e.pieces = w, e.pieces[:0]
	for i, l := range e.displayLines(r) {
		for _, p := range r.Wrap(l, w) {
			e.pieces = append(e.pieces, piece{i, p[0], p[1]})
		}
	}
	return e.pieces
}

// forget drops what was derived from the text: the ruler is another one.
func (e *message) clearCache() { e.lines, e.pieces, e.wrapWidth = nil, nil, 0 }
