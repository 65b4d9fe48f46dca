package proto

import (
	"fmt"
	"math/bits"
	"unicode/utf8"
)

// jsonKind is the kind of a JSON value. Integers are distinct from other
// numbers, because no field accepts a fraction or an exponent.
type jsonKind uint8

const (
	kindNone jsonKind = iota
	kindString
	kindInteger
	kindNumber
	kindTrue
	kindFalse
	kindNull
	kindObject
	kindArray
)

// valueSpan is the position of a known field's value in the frame, without the
// quotes if it is a string.
type valueSpan struct {
	start, end uint32
	kind       jsonKind
	escaped    bool
}

// syntaxError says why a frame isn't a valid JSON object. It is a number, so
// that returning it doesn't allocate.
type syntaxError uint8

const (
	syntaxOK syntaxError = iota
	errTruncated
	errNotObject
	errNoKey
	errNoColon
	errNoComma
	errNoValue
	errNumber
	errEscape
	errSurrogate
	errControl
	errUTF8
	errDuplicate
	errDepth
	errTrailing
)

var syntaxErrorTexts = [...]string{
	errTruncated: "unexpected end of frame",
	errNotObject: "a frame must be a JSON object",
	errNoKey:     "expected a key in double quotes",
	errNoColon:   "expected a colon after the key",
	errNoComma:   "expected a comma or a closing bracket",
	errNoValue:   "expected a JSON value",
	errNumber:    "invalid number",
	errEscape:    "invalid escape sequence",
	errSurrogate: "lone surrogate",
	errControl:   "unescaped control character in a string",
	errUTF8:      "invalid UTF-8",
	errDuplicate: "duplicate key",
	errDepth:     fmt.Sprintf("nested more than %d levels deep", MaxDepth),
	errTrailing:  "unexpected data after the JSON object",
}

// scanner scans a whole frame once. It validates the JSON completely and records
// the positions of the known fields' values. No second parser reads a client's
// frame, so no two parsers can disagree about it. It recurses at most MaxDepth
// deep.
type scanner struct {
	buf     []byte
	pos     int // after an error, the position of the error
	seen    Fields
	values  [fieldCount]valueSpan // valid for the fields in seen
	keys    keySet                // the keys that aren't in seen
	objects uint32                // number of nested objects so far; the top-level object is number 0
	scratch []byte                // unescaped strings; only grows within a frame
}

// scan scans buf. After an error, seen has the fields that were complete before
// it.
func (s *scanner) scan(buf []byte) syntaxError {
	s.buf, s.pos, s.seen, s.objects = buf, 0, 0, 0
	s.scratch = s.scratch[:0]
	s.keys.reset()

	if s.skipSpace() != '{' {
		return errNotObject
	}
	s.pos++
	if f := s.scanObject(0, 1); f != syntaxOK {
		return f
	}
	s.skipSpace()
	if s.pos != len(s.buf) {
		return errTrailing
	}
	return syntaxOK
}

// skipSpace skips white space and returns the next byte without consuming it, or
// 0 at the end. No token starts with a 0 byte, so callers needn't tell the two
// apart.
func (s *scanner) skipSpace() byte {
	for s.pos < len(s.buf) {
		c := s.buf[s.pos]
		if c > ' ' || c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c
		}
		s.pos++
	}
	return 0
}

// orTruncated returns f, or errTruncated at the end of the frame.
func (s *scanner) orTruncated(f syntaxError) syntaxError {
	if s.pos >= len(s.buf) {
		return errTruncated
	}
	return f
}

// scanObject scans an object after its opening brace. Only the top-level object,
// number 0, has fields.
func (s *scanner) scanObject(object uint32, depth int) syntaxError {
	if s.skipSpace() == '}' {
		s.pos++
		return syntaxOK
	}
	for {
		if s.skipSpace() != '"' {
			return s.orTruncated(errNoKey)
		}
		at := s.pos
		field, known := Field(0), false
		if object == 0 {
			field, known = s.shortField()
		}
		if !known {
			k, f := s.scanString()
			if f != syntaxOK {
				return f
			}
			key := s.unescaped(k)
			if object == 0 {
				field, known = lookupField(key)
			}
			if !known && !s.keys.add(object, key) {
				s.pos = at
				return errDuplicate
			}
		}
		if known && s.seen.Has(field) {
			s.pos = at
			return errDuplicate
		}
		if s.skipSpace() != ':' {
			return s.orTruncated(errNoColon)
		}
		s.pos++
		v, f := s.scanValue(depth)
		if f != syntaxOK {
			return f
		}
		if known {
			s.values[field] = v
			s.seen |= 1 << field
		}
		switch s.skipSpace() {
		case ',':
			s.pos++
		case '}':
			s.pos++
			return syntaxOK
		default:
			return s.orTruncated(errNoComma)
		}
	}
}

// shortField consumes the next key if it is that of a field, has at most seven bytes
// and no escapes. Otherwise it consumes nothing, and scanString must scan the key.
// Nearly all keys of the hot path are such keys.
func (s *scanner) shortField() (Field, bool) {
	start := s.pos + 1
	if len(s.buf)-start < 8 {
		return 0, false
	}
	word := load64(s.buf[start : start+8])
	special := maskSpecial(word)
	end := bits.TrailingZeros64(special) &^ 7 // in bits
	if special == 0 || word>>end&0xff != '"' {
		return 0, false
	}
	f, ok := lookupShort(word & (1<<end - 1))
	if ok {
		s.pos = start + end/8 + 1
	}
	return f, ok
}

// scanArray scans an array after its opening bracket.
func (s *scanner) scanArray(depth int) syntaxError {
	if s.skipSpace() == ']' {
		s.pos++
		return syntaxOK
	}
	for {
		if _, f := s.scanValue(depth); f != syntaxOK {
			return f
		}
		switch s.skipSpace() {
		case ',':
			s.pos++
		case ']':
			s.pos++
			return syntaxOK
		default:
			return s.orTruncated(errNoComma)
		}
	}
}

// scanValue scans one value; depth is the depth of the object or array that
// contains it.
func (s *scanner) scanValue(depth int) (valueSpan, syntaxError) {
	c := s.skipSpace()
	start := s.pos
	v := valueSpan{start: uint32(start)}
	f := syntaxOK
	switch {
	case c == '"':
		return s.scanString()
	case c == '-' || c-'0' <= 9:
		v.kind, f = s.scanNumber()
	case c == '{' || c == '[':
		v.kind, f = s.scanNested(c, depth)
	case c == 't':
		v.kind, f = kindTrue, s.scanLiteral("true")
	case c == 'f':
		v.kind, f = kindFalse, s.scanLiteral("false")
	case c == 'n':
		v.kind, f = kindNull, s.scanLiteral("null")
	default:
		return v, s.orTruncated(errNoValue)
	}
	v.end = uint32(s.pos)
	return v, f
}

// scanNested scans an object or array; depth is that of the one that contains
// it.
func (s *scanner) scanNested(open byte, depth int) (jsonKind, syntaxError) {
	if depth >= MaxDepth {
		return kindNone, errDepth
	}
	s.pos++
	if open == '[' {
		return kindArray, s.scanArray(depth + 1)
	}
	s.objects++
	return kindObject, s.scanObject(s.objects, depth+1)
}

func (s *scanner) scanLiteral(word string) syntaxError {
	if len(s.buf)-s.pos < len(word) || string(s.buf[s.pos:s.pos+len(word)]) != word {
		return errNoValue
	}
	s.pos += len(word)
	return syntaxOK
}

// scanNumber scans a number by JSON's grammar: no leading zeros, and digits on
// both sides of a decimal point.
func (s *scanner) scanNumber() (jsonKind, syntaxError) {
	if s.buf[s.pos] == '-' {
		s.pos++
	}
	if s.pos < len(s.buf) && s.buf[s.pos] == '0' {
		s.pos++
	} else if s.skipDigits() == 0 {
		return kindNumber, s.orTruncated(errNumber)
	}
	k := kindInteger
	if s.pos < len(s.buf) && s.buf[s.pos] == '.' {
		k = kindNumber
		s.pos++
		if s.skipDigits() == 0 {
			return k, s.orTruncated(errNumber)
		}
	}
	if s.pos < len(s.buf) && s.buf[s.pos]|0x20 == 'e' {
		k = kindNumber
		s.pos++
		if s.pos < len(s.buf) && (s.buf[s.pos] == '+' || s.buf[s.pos] == '-') {
			s.pos++
		}
		if s.skipDigits() == 0 {
			return k, s.orTruncated(errNumber)
		}
	}
	return k, syntaxOK
}

// skipDigits skips decimal digits and returns how many there were.
func (s *scanner) skipDigits() int {
	start := s.pos
	for s.pos < len(s.buf) && s.buf[s.pos]-'0' <= 9 {
		s.pos++
	}
	return s.pos - start
}

// scanString scans a string, starting at its opening quote.
func (s *scanner) scanString() (valueSpan, syntaxError) {
	s.pos++
	v := valueSpan{start: uint32(s.pos), kind: kindString}
	buf, pos := s.buf, s.pos
	for {
		for pos+8 <= len(buf) {
			special := maskSpecial(load64(buf[pos : pos+8]))
			if special != 0 {
				pos += bits.TrailingZeros64(special) >> 3
				break
			}
			pos += 8
		}
		if pos >= len(buf) {
			s.pos = pos
			return v, errTruncated
		}
		switch c := buf[pos]; {
		case c == '"':
			v.end = uint32(pos)
			s.pos = pos + 1
			return v, syntaxOK
		case c == '\\':
			v.escaped = true
			n, f := checkEscape(buf[pos:])
			if f != syntaxOK {
				s.pos = pos
				return v, f
			}
			pos += n
		case c < ' ':
			s.pos = pos
			return v, errControl
		case c < utf8.RuneSelf:
			pos++ // near the end of the frame, where no 8-byte word fits
		default:
			for pos < len(buf) && buf[pos] >= utf8.RuneSelf {
				if pos+2 < len(buf) && isCommonThreeByte(buf[pos], buf[pos+1], buf[pos+2]) {
					pos += 3
					continue
				}
				n := runeLen(buf[pos:])
				if n == 0 {
					s.pos = pos
					return v, errUTF8
				}
				pos += n
			}
		}
	}
}

// unescaped returns the text of a string, without escapes. It points into the
// frame or the scratch buffer.
func (s *scanner) unescaped(v valueSpan) []byte {
	raw := s.buf[v.start:v.end:v.end]
	if !v.escaped {
		return raw
	}
	start := len(s.scratch)
	s.scratch = unescape(s.scratch, raw)
	return s.scratch[start:len(s.scratch):len(s.scratch)]
}
