package feed

import (
	"errors"
	"reflect"
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

// What Lane adds to the column extra, decodeExtra returns, and it skips what a newer
// release has added.
func TestExtra(t *testing.T) {
	want := Row{
		Ended: []Ended{
			{User: 7, Device: "phone 你", Before: 1 << 50, Why: Replaced},
			{User: 1 << 40, Before: 3, Keep: 2, Why: LoggedOut},
			{User: 8, Before: 4, Why: ByOperator},
		},
		Notices: Notices{
			Relations: []Relation{
				{What: Befriended, By: Party{7, 1 << 50, "anna 你"}, Other: Party{8, 2, "berta"}},
				{What: Unblocked, By: Party{1 << 40, 1, ""}, Other: Party{8, 3, ""}},
			},
			Members: []Member{
				{Group: 1 << 40, User: 7, Version: 4, Last: 9, Joined: true, Name: "anna 你"},
				{Group: 9, User: 8, Version: 5},
			},
			Reads: []Read{{Conv: 1 << 40, User: 7, Peer: 8, Seq: 1 << 50, Alone: true}, {Conv: 9, User: 7, Seq: 1}},
		},
	}
	l := Lane{}
	for i := range want.Ended {
		l.AddEnded(&want.Ended[i])
		l.extra = append(l.extra, 200, 3, 0, 0xff, 0)
	}
	l.AddNotices(&want.Notices)
	var got Row
	if err := decodeExtra(l.extra, &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("decoded %+v, %v; want %+v", got, err, want)
	}
	for _, n := range []int{1, len(l.extra) - 1} {
		if err := decodeExtra(l.extra[:n], new(Row)); !errors.Is(err, ErrBroken) {
			t.Errorf("only the first %d of %d bytes: error %v, want ErrBroken", n, len(l.extra), err)
		}
	}
}

// Earlier sessions end, on one device or on all, and later ones never do.
func TestEnds(t *testing.T) {
	for _, c := range []struct {
		e    Ended
		want [4]bool // sessions 1 and 3 of the phone, 2 and 4 of the pad
	}{
		{Ended{Device: "phone", Before: 3}, [4]bool{true, false, false, false}},
		{Ended{Before: 4}, [4]bool{true, true, true, false}},
		{Ended{Before: 5, Keep: 3}, [4]bool{true, false, true, true}},
		{Ended{Device: "pad", Before: 5, Keep: 4}, [4]bool{false, false, true, false}},
	} {
		got := [4]bool{c.e.Ends("phone", 1), c.e.Ends("phone", 3), c.e.Ends("pad", 2), c.e.Ends("pad", 4)}
		if got != c.want {
			t.Errorf("%+v ends %v of the sessions phone 1, phone 3, pad 2, pad 4; want %v", c.e, got, c.want)
		}
	}
}

// Damaged rows never crash a reader.
func FuzzExtra(f *testing.F) {
	l := Lane{}
	l.AddEnded(&Ended{User: 7, Device: "phone", Before: 3, Keep: 1, Why: LoggedOut})
	l.AddNotices(&Notices{
		Relations: []Relation{{What: Befriended, By: Party{7, 3, "anna"}, Other: Party{8, 2, "berta"}}},
		Members:   []Member{{Group: 9, User: 7, Version: 4, Last: 9, Joined: true, Name: "anna"}},
		Reads:     []Read{{Conv: 9, User: 7, Seq: 1}},
	})
	f.Add(l.extra)
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := decodeExtra(b, new(Row)); err != nil && !errors.Is(err, ErrBroken) {
			t.Errorf("decodeExtra: error %v, want none or ErrBroken", err)
		}
	})
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
