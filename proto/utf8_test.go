package proto

import (
	"testing"
	"unicode/utf8"
)

// runeLen agrees with package utf8 on all sequences of up to two bytes, and on longer
// ones around each limit.
func TestRuneLen(t *testing.T) {
	check := func(s []byte) {
		want := 0
		if r, n := utf8.DecodeRune(s); r != utf8.RuneError || n > 1 {
			want = n
		}
		if got := runeLen(s); got != want {
			t.Fatalf("runeLen(% x) = %d, want %d", s, got, want)
		}
		if got := runeLen(string(s)); got != want {
			t.Fatalf("runeLen(% x) of a string = %d, want %d", s, got, want)
		}
	}
	for a := 0x80; a < 0x100; a++ {
		check([]byte{byte(a)})
		for b := range 0x100 {
			check([]byte{byte(a), byte(b)})
			for _, c := range []byte{0, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc2, 0xff} {
				check([]byte{byte(a), byte(b), c})
				if isCommonThreeByte(byte(a), byte(b), c) && runeLen([]byte{byte(a), byte(b), c}) != 3 {
					t.Fatalf("isCommonThreeByte(%02x, %02x, %02x) = true, but that is no valid character", a, b, c)
				}
				for _, d := range []byte{0, 0x41, 0x7f, 0x80, 0xbf, 0xc0, 0xff} {
					check([]byte{byte(a), byte(b), c, d})
				}
			}
		}
	}
}

// The lowest mark is at the first special byte, for every byte value at every
// position.
func TestMaskSpecial(t *testing.T) {
	for c := range 0x100 {
		special := c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf
		for at := range 8 {
			for _, other := range []byte{' ', '!', '#', '[', ']', 'a', 0x7f} {
				for _, after := range []byte{0, '"', '\\', 0x80, 0xff, other} {
					s := []byte{other, other, other, other, other, other, other, other}
					for i := at + 1; i < 8; i++ {
						s[i] = after
					}
					s[at] = byte(c)
					marks := maskSpecial(load64(s))
					first := 8
					for i := 7; i >= 0; i-- {
						if marks>>(8*i)&0x80 != 0 {
							first = i
						}
					}
					if special && first != at || !special && first <= at {
						t.Fatalf("maskSpecial(% x) marks byte %d first; want byte %d marked: %v", s, first, at, special)
					}
				}
			}
		}
	}
}
