package tui

import (
	"time"

	"chatd/client/chat/text"
)

// message is a message of a conversation. It can also be a notice, such as "bob
// joined", which exists only in this client.
type message struct {
	seq     int64 // 0: not stored. A notice has the seq of the message before it, or -1
	localID int64 // ID of a message sent by this client, otherwise 0
	from    int64
	name    string
	text    string
	at      time.Time
	notice  bool
	failure string // why it couldn't be sent; empty if it was sent or is pending

	wrapWidth int // columns that pieces were made for
	lines     []string
	pieces    []piece
}

// piece is one row of a message: a byte range of one of its lines.
type piece struct{ line, from, to int }

// pending reports whether the message isn't acknowledged yet.
func (msg *message) pending() bool { return msg.localID != 0 && msg.seq == 0 && msg.failure == "" }

// displayLines returns the lines of the text, made safe to show.
func (msg *message) displayLines(r text.Ruler) []string {
	if msg.lines == nil {
		msg.lines = r.Lines(msg.text)
	}
	return msg.lines
}

// wrap returns the text's rows at a width of w columns.
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

// clearCache must be called after the ruler has changed.
func (msg *message) clearCache() { msg.lines, msg.pieces, msg.wrapWidth = nil, nil, 0 }
