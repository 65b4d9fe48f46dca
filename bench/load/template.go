package load

import (
	"bytes"
	"strings"
	"time"

	"chatd/proto"
)

// Every message carries its number and the time of its sending, in hex: both
// ends are in this process, so no clock has to agree with another.
const (
	hexSize   = 16
	StampSize = 2 * hexSize // of a text: number and time; the rest is filler
	cidSize   = 2 * hexSize // the connection's random number, and the time
)

// clock counts the nanoseconds of a run.
type Clock struct{ base time.Time }

func (c Clock) Now() int64 { return int64(time.Since(c.base)) }

// Template makes a connection's frames: all are alike but for the stamps, so
// they are copied and not encoded.
type Template struct {
	frame []byte
	text  int // where the text's stamp is
	cid   int // where the time in the cid is; 0: there is no cid
	fill  []byte
	last  int64 // the time last written
}

// Placeholders, of which no part is elsewhere in a frame.
var (
	textMark = strings.Repeat("T", StampSize)
	cidMark  = strings.Repeat("C", hexSize)
)

// NewText is a text of size bytes before it is stamped.
func NewText(size int) []byte {
	const words = "and so it goes on, as people do, from one thing to the next; "
	filler := strings.Repeat(words, size/len(words)+1)
	return append([]byte(textMark), filler[:size-StampSize]...)
}

// newTemplate makes a template of req, whose text must be one of textOf, and
// whose cid, if it has one, must end in cidMark.
func newTemplate(req *proto.Request, text []byte) *Template {
	return templateOf(proto.AppendRequest(nil, req), text)
}

// templateOf is newTemplate of what is encoded already.
func templateOf(body, text []byte) *Template {
	t := &Template{frame: proto.AppendFrame(nil, body), fill: text[StampSize:]}
	t.text = bytes.Index(t.frame, []byte(textMark))
	t.cid = max(bytes.Index(t.frame, []byte(cidMark)), 0)
	return t
}

// append appends message number n, sent at now. The time that it carries
// rises with each message, so that no two have the same cid.
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

// read takes a text apart. It is not ok where the text is none of this
// template's messages.
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
