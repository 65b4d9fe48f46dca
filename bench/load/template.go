package load

import (
	"bytes"
	"strings"
	"time"

	"chatd/proto"
)

// Every text carries its number and the time of sending in hex. Sender and
// receiver are in the same process, so their clocks agree.
const (
	hexSize   = 16
	StampSize = 2 * hexSize // of a text: number and time; the rest is filler
	cidSize   = 2 * hexSize // random number of the connection, and the time
)

// Clock returns the nanoseconds since the start of a run.
type Clock struct{ base time.Time }

func (c Clock) Now() int64 { return int64(time.Since(c.base)) }

// Template makes the frames of one sender. They differ only in their stamps, so
// they are copied rather than encoded.
type Template struct {
	frame []byte
	text  int // offset of the text's stamp
	cid   int // offset of the time in the cid; 0: no cid
	fill  []byte
	last  int64 // last timestamp written
}

// Placeholders. No part of them occurs elsewhere in a frame.
var (
	textMark = strings.Repeat("T", StampSize)
	cidMark  = strings.Repeat("C", hexSize)
)

// NewText returns a text of size bytes with a placeholder for its stamp.
func NewText(size int) []byte {
	const words = "and so it goes on, as people do, from one thing to the next; "
	filler := strings.Repeat(words, size/len(words)+1)
	return append([]byte(textMark), filler[:size-StampSize]...)
}

// newTemplate returns a template for req. Its text must come from NewText, and
// its cid, if any, must end in cidMark.
func newTemplate(req *proto.Request, text []byte) *Template {
	return templateOf(proto.AppendRequest(nil, req), text)
}

// templateOf returns a template for an encoded body.
func templateOf(body, text []byte) *Template {
	t := &Template{frame: proto.AppendFrame(nil, body), fill: text[StampSize:]}
	t.text = bytes.Index(t.frame, []byte(textMark))
	t.cid = max(bytes.Index(t.frame, []byte(cidMark)), 0)
	return t
}

// append appends message number n, sent at now. Timestamps always rise, so that
// no two messages have the same cid.
func (t *Template) append(dst []byte, n, now int64) []byte {
	t.last = max(now, t.last+1)
	at := len(dst)
	dst = append(dst, t.frame...)
	putHex(dst[at+t.text:], uint64(n))
	putHex(dst[at+t.text+hexSize:], uint64(t.last))
	if t.cid != 0 {
		putHex(dst[at+t.cid:], uint64(t.last))
	}
	return dst
}

// read returns number and time of a text. It returns false if the text isn't
// one of this template's.
func (t *Template) read(text []byte) (n, sent int64, ok bool) {
	if len(text) < StampSize || !bytes.Equal(text[StampSize:], t.fill) {
		return 0, 0, false
	}
	a, ok1 := hex(text[:hexSize])
	b, ok2 := hex(text[hexSize:StampSize])
	return int64(a), int64(b), ok1 && ok2
}

const hexDigits = "0123456789abcdef"

// putHex writes v as hexSize digits.
func putHex(dst []byte, v uint64) {
	_ = dst[hexSize-1]
	for i := hexSize - 1; i >= 0; i-- {
		dst[i] = hexDigits[v&15]
		v >>= 4
	}
}

// hex reads what putHex wrote.
func hex(b []byte) (v uint64, ok bool) {
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | uint64(c-'0')
		case c >= 'a' && c <= 'f':
			v = v<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return v, true
}
