package tui

import (
	"time"

	"chatd/client/chat/text"
)

// message is a message of a conversation, or a notice about it that exists only
// in this client, such as "bob has joined".
type message struct {
	seq     int64 // 0: pending. Of a notice: seq of the message before it, or -1
	localID int64 // number of a message sent from here, otherwise 0
	from    int64
	name    string
	text    string
	at      time.Time
	notice  bool
	failure string // why it wasn't sent

	wrapWidth int // width that pieces are for
	lines     []string
	pieces    []piece
}

// piece is one row of a message: a byte range of one of its lines.
type piece struct{ line, from, to int }

// pending reports whether the message is not yet acknowledged.
func (msg *message) pending() bool { return msg.localID != 0 && msg.seq == 0 && msg.failure == "" }

// displayLines returns the text as lines that are safe to show.
func (msg *message) displayLines(r text.Ruler) []string {
	if msg.lines == nil {
		msg.lines = r.Lines(msg.text)
	}
	return msg.lines
}

// wrap returns the rows of the text at a width.
func (msg *message) wrap(r text.Ruler, w int) []piece {
	if msg.wrapWidth == w && msg.pieces != nil {
		return msg.pieces
	}
	msg.wrapWidth, msg.pieces = w, msg.pieces[:0]
	for i, l := range msg.displayLines(r) {
		for _, p := range r.Wrap(l, w) {
			msg.pieces = append(msg.pieces, piece{i, p[0], p[1]})
		}
	}
	return msg.pieces
}

// clearCache drops what depends on the ruler.
func (msg *message) clearCache() { msg.lines, msg.pieces, msg.wrapWidth = nil, nil, 0 }
