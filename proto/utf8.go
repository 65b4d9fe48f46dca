package proto

// text is what strings are made from: the scanner has bytes, the encoder both.
type stringOrBytes interface{ []byte | string }

// word has the first eight bytes of s, the first lowest. The compiler makes
// one load of it.
func load64[T stringOrBytes](s T) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// specials marks, by its high bit, the first byte of w that can't simply stand
// in a JSON string: a quote, a backslash, a control character, or one that is
// not ASCII. It may mark some after the first that are none.
func maskSpecial(w uint64) uint64 {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	quote, slash := w^ones*'"', w^ones*'\\'
	return (w | (w-ones*' ')&^w | (quote-ones)&^quote | (slash-ones)&^slash) & highs
}

// runeLen is the length of the UTF-8 sequence, of two bytes or more, that s
// begins with, and 0 where it begins with none. (utf8 has no such function for
// what may be bytes or a string.)
func runeLen[T stringOrBytes](s T) int {
	n, low, high := 0, byte(0x80), byte(0xbf)
	switch c := s[0]; {
	case c < 0xc2: // a continuation, or overlong
		return 0
	case c < 0xe0:
		n = 2
	case c < 0xf0:
		n = 3
		if c == 0xe0 { // overlong
			low = 0xa0
		} else if c == 0xed { // surrogates
			high = 0x9f
		}
	case c < 0xf5:
		n = 4
		if c == 0xf0 { // overlong
			low = 0x90
		} else if c == 0xf4 { // beyond U+10FFFF
			high = 0x8f
		}
	}
	if n == 0 || len(s) < n || s[1] < low || s[1] > high {
		return 0
	}
	for i := 2; i < n; i++ {
		if s[i]&0xc0 != 0x80 {
			return 0
		}
	}
	return n
}

// isWide says whether these bytes are a character of U+1000 to U+CFFF, as all
// of Chinese, Japanese and most of Korean is. It is small enough to be inlined:
// calls for each character would cost more than all the rest of a message.
func isCommonThreeByte(a, b, c byte) bool {
	return a-0xe1 <= 0xec-0xe1 && b&0xc0 == 0x80 && c&0xc0 == 0x80
}
