package client

import (
	"strings"
	"testing"
	"time"
)

// Cids are unique, and later ones sort after earlier ones. That keeps the server's
// index of cids fast.
func TestCIDsDifferAndSortByTime(t *testing.T) {
	now := time.UnixMilli(1795448854092)
	seen := make(map[[22]byte]bool)
	last := ""
	for range 200 {
		for range 50 {
			cid := newCID(now)
			if seen[cid] {
				t.Fatalf("newCID returned %s twice", cid[:])
			}
			seen[cid] = true
			if s := string(cid[:]); strings.Compare(s[:8], last[:min(8, len(last))]) < 0 {
				t.Fatalf("cid %s sorts before the earlier cid %s", s, last)
			}
		}
		c := newCID(now)
		last = string(c[:])
		now = now.Add(37 * time.Millisecond)
	}
}
