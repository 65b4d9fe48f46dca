package proto

import "unicode/utf8"

// checkEscape checks the escape sequence at the start of b and returns its
// length. A surrogate pair counts as one sequence.
func checkEscape(b []byte) (int, syntaxError) {
	if len(b) < 2 {
		return 0, errTruncated
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2, syntaxOK
	case 'u':
		r, ok := parseHexEscape(b)
		switch {
		case !ok:
			return 0, errEscape
		case r < 0xd800 || r > 0xdfff:
			return 6, syntaxOK
		case r >= 0xdc00:
			return 0, errSurrogate
		}
		if low, ok := parseHexEscape(b[6:]); !ok || low < 0xdc00 || low > 0xdfff {
			return 0, errSurrogate
		}
		return 12, syntaxOK
	}
	return 0, errEscape
}

// parseHexEscape returns the code unit of the \uXXXX escape at the start of b.
func parseHexEscape(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range b[2:6] {
		switch {
		case c-'0' <= 9:
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// unescape appends raw, the content of a scanned string, with its escapes
// replaced. The result is never longer than raw, so the frame's size bounds it.
func unescape(dst, raw []byte) []byte {
	for i := 0; i < len(raw); {
		if raw[i] != '\\' {
			dst = append(dst, raw[i])
			i++
			continue
		}
		c := raw[i+1]
		i += 2
		switch c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r, _ := parseHexEscape(raw[i-2:])
			i += 4
			if r >= 0xd800 && r <= 0xdfff {
				low, _ := parseHexEscape(raw[i:])
				r = (r-0xd800)<<10 + (low - 0xdc00) + 0x10000
				i += 6
			}
			dst = utf8.AppendRune(dst, r)
			continue
		}
		dst = append(dst, c)
	}
	return dst
}

// appendEscape appends the escape sequence for c, an ASCII character that a JSON
// string can't contain.
func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}
