package recent

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// The Index finds each row by its key and by its seq until it is removed, also if
// hashes clash.
func TestIndex(t *testing.T) {
	for _, mask := range []uint64{1<<64 - 1, 7} {
		x := NewIndex()
		x.mask = mask
		rnd := rand.New(rand.NewPCG(1, mask))
		var all []Row // in recent
		last, seqs := int64(0), make(map[int64]int64)
		for step := range 2000 {
			if rnd.IntN(3) > 0 {
				var rows []Row
				for range 1 + rnd.IntN(5) {
					last++
					conv := rnd.Int64N(5)
					seqs[conv]++
					rows = append(rows, Row{ID: last, Conv: conv, Seq: seqs[conv], Sender: rnd.Int64N(2), CID: fmt.Append(nil, last%7, "-", seqs[conv]), Size: rnd.IntN(100)})
				}
				x.Add(rows)
				all = append(all, rows...)
			} else if conv := rnd.Int64N(5); len(x.convs[conv]) > 0 {
				n := 1 + rnd.IntN(len(x.convs[conv]))
				x.remove(conv, n)
				all = slices.DeleteFunc(all, func(r Row) bool {
					n-- // counts only rows of conv
					if r.Conv != conv {
						n++
					}
					return r.Conv == conv && n >= 0
				})
			}
			check(t, x, all, seqs, step)
			if t.Failed() {
				return
			}
		}
		if x.Last() != last {
			t.Errorf("Last = %d, want %d", x.Last(), last)
		}
	}
}

func check(t *testing.T, x *Index, all []Row, seqs map[int64]int64, step int) {
	t.Helper()
	if x.Len() != len(all) || len(x.ids) > len(all) || len(x.clashes) > len(all) {
		t.Errorf("step %d: Len = %d, %d hashes, %d clashes; want %d rows", step, x.Len(), len(x.ids), len(x.clashes), len(all))
	}
	bytes := 0
	of := make(map[int64][]Row)
	for _, r := range all {
		of[r.Conv] = append(of[r.Conv], r)
		bytes += r.Size
		if ids := x.Find(nil, r.Conv, r.Sender, r.CID); !slices.Contains(ids, r.ID) {
			t.Errorf("step %d: Find(%v) = %v, want row %d in it", step, r, ids, r.ID)
		}
	}
	if got := x.used(); got.bytes != bytes {
		t.Errorf("step %d: %d bytes, want %d", step, got.bytes, bytes)
	}
	for conv := range seqs {
		rows := of[conv]
		if got, want := x.Complete(conv), len(rows) > 0 && rows[0].Seq == 1; got != want {
			t.Errorf("step %d: Complete(%d) = %t, want %t", step, conv, got, want)
		}
		if len(rows) == 0 {
			if ids, _ := x.After(conv, 0, 10); len(ids) > 0 {
				t.Errorf("step %d: After(%d, 0) = %v, want none", step, conv, ids)
			}
			continue
		}
		for _, seq := range []int64{0, rows[0].Seq - 1, rows[0].Seq, rows[len(rows)/2].Seq, rows[len(rows)-1].Seq, 1 << 62} {
			var after, before []int64
			for _, r := range rows {
				if r.Seq > seq && len(after) < 3 {
					after = append(after, r.ID)
				}
				if r.Seq < seq {
					before = append(before, r.ID)
				}
			}
			before = before[max(0, len(before)-3):]
			if got, _ := x.After(conv, seq, 3); !slices.Equal(got, after) {
				t.Errorf("step %d: After(%d, %d) = %v, want %v", step, conv, seq, got, after)
			}
			if got, _ := x.Before(conv, seq, 3); !slices.Equal(got, before) {
				t.Errorf("step %d: Before(%d, %d) = %v, want %v", step, conv, seq, got, before)
			}
		}
	}
}

// Slices approach the target, and a single slow one doesn't shrink the next too
// much.
func TestAdapt(t *testing.T) {
	for _, c := range []struct {
		n    int
		took time.Duration
		want int
	}{{128, target, 128}, {4000, target, 4000}, {1000, 100 * target, 500}, {100, 0, 126}, {sliceRows, 0, sliceRows}, {70, 100 * target, minSlice}} {
		if got := adapt(c.n, c.took); got != c.want {
			t.Errorf("after a slice of %d rows that took %s: %d rows, want %d", c.n, c.took, got, c.want)
		}
	}
}
