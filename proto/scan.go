package proto

import (
	"math/bits"
	"unicode/utf8"
)

// kind is what a JSON value is. Integers are told from other numbers, since
// no field of ours takes a fraction or an exponent.
type kind uint8

const (
	kindNone kind = iota
	kindString
	kindInteger
	kindNumber
	kindTrue
	kindFalse
	kindNull
	kindObject
	kindArray
)

// slot is where the value of a known field stands in the frame: a string
// without its quotes, anything else whole.
type slot struct {
	start, end uint32
	kind       kind
	escaped    bool
}

// fault is why a frame is no JSON object of ours.
type fault uint8

const (
	faultNone fault = iota
	faultEnd
	faultObject
	faultKey
	faultColon
	faultComma
	faultValue
	faultNumber
	faultEscape
	faultSurrogate
	faultControl
	faultUTF8
	faultDuplicate
	faultDepth
	faultTrailing
)

var faultTexts = [...]string{
	faultEnd:       "the frame ends within the object",
	faultObject:    "a frame must be one JSON object",
	faultKey:       "a key in double quotes is missing",
	faultColon:     "a colon is missing",
	faultComma:     "a comma or a closing bracket is missing",
	faultValue:     "a JSON value is missing",
	faultNumber:    "this is no JSON number",
	faultEscape:    "this is no JSON escape",
	faultSurrogate: "a lone surrogate",
	faultControl:   "a raw control character in a string",
	faultUTF8:      "invalid UTF-8",
	faultDuplicate: "a duplicate key",
	faultDepth:     "nested too deeply",
	faultTrailing:  "something follows the object",
}

// scanner goes over a whole frame once, checks everything about it that is
// JSON, and remembers where the values of the known fields stand. Nothing is
// decoded by other eyes than its own, so that no two parsers can disagree
// about a frame. It recurses at most MaxDepth deep.
type scanner struct {
	buf     []byte
	pos     int // after a fault: where it is
	seen    Fields
	slots   [fieldCount]slot // valid for what is in seen
	keys    keySet           // the keys that seen doesn't cover
	objects uint32           // given out to nested objects, the frame's own is 0
	scratch []byte           // unescaped text; only grows within a frame
}

// scan reads all of buf. After a fault, seen has the fields that stood
// complete before it.
func (s *scanner) scan(buf []byte) fault {
	s.buf, s.pos, s.seen, s.objects = buf, 0, 0, 0
	s.scratch = s.scratch[:0]
	s.keys.reset()

	if s.next() != '{' {
		return faultObject
	}
	s.pos++
	if f := s.members(0, 1); f != faultNone {
		return f
	}
	s.next()
	if s.pos != len(s.buf) {
		return faultTrailing
	}
	return faultNone
}

// next skips blanks and gives the byte after them, without taking it; 0 at
// the end, which is right wherever it is asked for, as no token begins so.
func (s *scanner) next() byte {
	for s.pos < len(s.buf) {
		c := s.buf[s.pos]
		if c > ' ' || c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c
		}
		s.pos++
	}
	return 0
}

// or gives f, or faultEnd where nothing is left to be wrong.
func (s *scanner) or(f fault) fault {
	if s.pos >= len(s.buf) {
		return faultEnd
	}
	return f
}

// members reads an object from behind its opening brace. Only object 0, the
// frame's own, has fields.
func (s *scanner) members(object uint32, depth int) fault {
	if s.next() == '}' {
		s.pos++
		return faultNone
	}
	for {
		if s.next() != '"' {
			return s.or(faultKey)
		}
		at := s.pos
		k, f := s.text()
		if f != faultNone {
			return f
		}
		field, known := Field(0), false
		key := s.bytes(k)
		if object == 0 {
			field, known = fieldOf(key)
		}
		if known {
			if s.seen.Has(field) {
				s.pos = at
				return faultDuplicate
			}
		} else if !s.keys.add(object, key) {
			s.pos = at
			return faultDuplicate
		}
		if s.next() != ':' {
			return s.or(faultColon)
		}
		s.pos++
		v, f := s.value(depth)
		if f != faultNone {
			return f
		}
		if known {
			s.slots[field] = v
			s.seen |= 1 << field
		}
		switch s.next() {
		case ',':
			s.pos++
		case '}':
			s.pos++
			return faultNone
		default:
			return s.or(faultComma)
		}
	}
}

// elements reads an array from behind its opening bracket.
func (s *scanner) elements(depth int) fault {
	if s.next() == ']' {
		s.pos++
		return faultNone
	}
	for {
		if _, f := s.value(depth); f != faultNone {
			return f
		}
		switch s.next() {
		case ',':
			s.pos++
		case ']':
			s.pos++
			return faultNone
		default:
			return s.or(faultComma)
		}
	}
}

// value reads one value within something that is depth deep.
func (s *scanner) value(depth int) (slot, fault) {
	c := s.next()
	start := s.pos
	v := slot{start: uint32(start)}
	f := faultNone
	switch {
	case c == '"':
		return s.text()
	case c == '-' || c-'0' <= 9:
		v.kind, f = s.number()
	case c == '{' || c == '[':
		v.kind, f = s.nested(c, depth)
	case c == 't':
		v.kind, f = kindTrue, s.literal("true")
	case c == 'f':
		v.kind, f = kindFalse, s.literal("false")
	case c == 'n':
		v.kind, f = kindNull, s.literal("null")
	default:
		return v, s.or(faultValue)
	}
	v.end = uint32(s.pos)
	return v, f
}

// nested reads an object or an array within something that is depth deep.
func (s *scanner) nested(open byte, depth int) (kind, fault) {
	if depth >= MaxDepth {
		return kindNone, faultDepth
	}
	s.pos++
	if open == '[' {
		return kindArray, s.elements(depth + 1)
	}
	s.objects++
	return kindObject, s.members(s.objects, depth+1)
}

func (s *scanner) literal(word string) fault {
	if len(s.buf)-s.pos < len(word) || string(s.buf[s.pos:s.pos+len(word)]) != word {
		return faultValue
	}
	s.pos += len(word)
	return faultNone
}

// number reads a number by JSON's grammar: no leading zeros, no bare point.
func (s *scanner) number() (kind, fault) {
	if s.buf[s.pos] == '-' {
		s.pos++
	}
	if s.pos < len(s.buf) && s.buf[s.pos] == '0' {
		s.pos++
	} else if s.digits() == 0 {
		return kindNumber, s.or(faultNumber)
	}
	k := kindInteger
	if s.pos < len(s.buf) && s.buf[s.pos] == '.' {
		k = kindNumber
		s.pos++
		if s.digits() == 0 {
			return k, s.or(faultNumber)
		}
	}
	if s.pos < len(s.buf) && s.buf[s.pos]|0x20 == 'e' {
		k = kindNumber
		s.pos++
		if s.pos < len(s.buf) && (s.buf[s.pos] == '+' || s.buf[s.pos] == '-') {
			s.pos++
		}
		if s.digits() == 0 {
			return k, s.or(faultNumber)
		}
	}
	return k, faultNone
}

func (s *scanner) digits() int {
	start := s.pos
	for s.pos < len(s.buf) && s.buf[s.pos]-'0' <= 9 {
		s.pos++
	}
	return s.pos - start
}

// text reads a string from its opening quote on.
func (s *scanner) text() (slot, fault) {
	s.pos++
	v := slot{start: uint32(s.pos), kind: kindString}
	buf, pos := s.buf, s.pos
	for {
		for pos+8 <= len(buf) {
			special := specials(word(buf[pos : pos+8]))
			if special != 0 {
				pos += bits.TrailingZeros64(special) >> 3
				break
			}
			pos += 8
		}
		if pos >= len(buf) {
			s.pos = pos
			return v, faultEnd
		}
		switch c := buf[pos]; {
		case c == '"':
			v.end = uint32(pos)
			s.pos = pos + 1
			return v, faultNone
		case c == '\\':
			v.escaped = true
			n, f := escape(buf[pos:])
			if f != faultNone {
				s.pos = pos
				return v, f
			}
			pos += n
		case c < ' ':
			s.pos = pos
			return v, faultControl
		case c < utf8.RuneSelf:
			pos++ // near the end of the frame, where words don't fit
		default:
			for pos < len(buf) && buf[pos] >= utf8.RuneSelf {
				if pos+2 < len(buf) && isWide(buf[pos], buf[pos+1], buf[pos+2]) {
					pos += 3
					continue
				}
				n := runeLen(buf[pos:])
				if n == 0 {
					s.pos = pos
					return v, faultUTF8
				}
				pos += n
			}
		}
	}
}

// bytes is the text of a string, without escapes. It lies in the frame or in
// the scratch.
func (s *scanner) bytes(v slot) []byte {
	raw := s.buf[v.start:v.end:v.end]
	if !v.escaped {
		return raw
	}
	start := len(s.scratch)
	s.scratch = unescape(s.scratch, raw)
	return s.scratch[start:len(s.scratch):len(s.scratch)]
}
