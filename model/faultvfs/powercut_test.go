package faultvfs

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// A power cut takes away nothing that was synced, may take away or keep each sector
// that wasn't, and never invents contents.
func TestCut(t *testing.T) {
	write := func(offset int64, b byte, n int) op {
		return op{kind: opWrite, offset: offset, data: bytes.Repeat([]byte{b}, n)}
	}
	dir := t.TempDir()
	d := attach(dir, newStateWith("x"))
	defer d.Detach()
	for _, o := range []op{
		write(0, 'a', 2*sector), {kind: opSync}, // 2: both sectors have a
		write(sector, 'b', sector),               // 3: the second one may have b
		{kind: opSyncFailed},                     // 4: and may never have it
		write(page, 'c', sector), {kind: opSync}, // 6: another page is synced
		write(0, 'd', sector), {kind: opSync}, // 8: this writes the whole first page
		{kind: opTruncate, offset: sector}, {kind: opSync}, // 10
	} {
		d.record(o)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for _, tc := range []struct {
		after         int
		first, second string // what the sectors may have; "." is none
	}{
		{0, "a\x00.", "a\x00."}, {1, "a\x00.", "a\x00."}, {2, "a", "ab"}, {3, "a", "ab"}, {4, "a", "ab"},
		{6, "ad", "ab"}, {8, "d", "b\x00."}, {9, "d", "b\x00."}, {10, "d", "."},
	} {
		seen := [2]map[byte]bool{{}, {}}
		replay := d.Replay()
		for range 200 {
			to := t.TempDir()
			if err := replay.Cut(to, tc.after, false, rng); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(filepath.Join(to, "x"))
			if err != nil {
				t.Fatal(err)
			}
			for i := range seen {
				if at := i * sector; at >= len(b) {
					seen[i]['.'] = true
				} else if part := b[at:min(len(b), at+sector)]; bytes.Count(part, part[:1]) == len(part) {
					seen[i][part[0]] = true
				} else {
					t.Errorf("after %d operations: sector %d is a mixture", tc.after, i)
				}
			}
		}
		for i, want := range []string{tc.first, tc.second} {
			for _, b := range []byte(want) {
				if !seen[i][b] {
					t.Errorf("after %d operations: sector %d never has %q, want one of %q", tc.after, i, b, want)
				}
				delete(seen[i], b)
			}
			for b := range seen[i] {
				t.Errorf("after %d operations: sector %d has %q, want one of %q", tc.after, i, b, want)
			}
		}
	}
}

// newStateWith returns a state with an empty file, which is synced.
func newStateWith(name string) *state {
	s := newState()
	s.names[name] = s.add(nil)
	s.syncDir()
	return s
}
