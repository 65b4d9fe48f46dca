package proto

// stringOrBytes is what the scanner ([]byte) and the encoder (both) process.
type stringOrBytes interface{ []byte | string }

// load64 returns the first eight bytes of s, little-endian. The compiler turns
// it into one load.
func load64[T stringOrBytes](s T) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// maskSpecial finds the bytes of w that a JSON string can't contain unchecked: quotes,
// backslashes, control characters and bytes that aren't ASCII. The high bit of a
// byte in the result marks it. The lowest mark is right; those above it may be
// false positives.
func maskSpecial(w uint64) uint64 {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	quote, slash := w^ones*'"', w^ones*'\\'
	return (w | (w-ones*' ')&^w | (quote-ones)&^quote | (slash-ones)&^slash) & highs
}

// runeLen returns the length of the multi-byte UTF-8 sequence at the start of s,
// 0 if there is no valid one. Package utf8 has no such function for both bytes
// and strings.
func runeLen[T stringOrBytes](s T) int {
	n, low, high := 0, byte(0x80), byte(0xbf)
	switch c := s[0]; {
	case c < 0xc2: // continuation byte, or overlong
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

// isCommonThreeByte reports whether a, b and c encode a character from U+1000 to
// U+CFFF, which includes all of Chinese, Japanese and most of Korean. It is
// small enough to be inlined: a call per character would cost more than the rest
// of the message.
func isCommonThreeByte(a, b, c byte) bool {
	return a-0xe1 <= 0xec-0xe1 && b&0xc0 == 0x80 && c&0xc0 == 0x80
}
