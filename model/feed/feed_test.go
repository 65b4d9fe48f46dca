package feed

import (
	"errors"
	"slices"
	"testing"
)

// What appendSpan encodes, decodeSpans returns.
func TestSpans(t *testing.T) {
	want := []Span{
		{Conv: 7, Lo: 3, Hi: 9, First: 1, Last: 1},
		{Conv: 8, Lo: 5, Hi: 5, First: 100, Last: 163}, // a user's notes
		{Conv: 1 << 40, Version: 1 << 30, First: 12, Last: 1 << 50},
		{Conv: 9, Version: 4, First: 6, Last: 5},
		{Conv: 9, Version: 5, Joined: 77, First: 6, Last: 5},
	}
	var b []byte
	for i := range want {
		b = appendSpan(b, &want[i])
	}
	got, err := decodeSpans(b)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("decoded %+v, %v; want %+v", got, err, want)
	}
	if _, err := decodeSpans(b[:len(b)-1]); !errors.Is(err, ErrBroken) {
		t.Errorf("the last byte is missing: error %v, want ErrBroken", err)
	}
	if g := []int64{want[0].Group(), want[2].Group()}; !slices.Equal(g, []int64{0, 1 << 40}) {
		t.Errorf("Group of a pair and of a group = %v, want 0 and %d", g, int64(1<<40))
	}
}

// Damaged rows never crash a reader.
func FuzzSpans(f *testing.F) {
	f.Add(appendSpan(nil, &Span{Conv: 7, Lo: 3, Hi: 9, First: 1, Last: 2}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if spans, err := decodeSpans(b); err != nil && (!errors.Is(err, ErrBroken) || spans != nil) {
			t.Errorf("decodeSpans = %v, %v; want spans or ErrBroken", spans, err)
		}
	})
}
