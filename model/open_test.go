package model

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
)

// Sync has two values; Open names a wrong one.
func TestWrongSync(t *testing.T) {
	_, err := Open(context.Background(), Options{DB: "sqlite:" + filepath.Join(t.TempDir(), "c.db"), SQLiteSync: "off"})
	if err == nil || !strings.Contains(err.Error(), `"off"`) {
		t.Errorf("sync off: %v, want an error that names it", err)
	}
}

// The epoch stays the same until an operator sets a new one, which the next
// start uses.
func TestEpoch(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		e := h.Epoch()
		if e <= 0 || e >= 1<<53 {
			t.Fatalf("epoch %d, want 1 to 2^53", e)
		}
		h.reopen()
		if h.Epoch() != e {
			t.Errorf("epoch %d after reopening, want %d", h.Epoch(), e)
		}
		other, err := Open(context.Background(), Options{DB: h.o.DB, Shared: true})
		if err != nil {
			t.Fatal(err)
		}
		n, err := other.NewEpoch(context.Background())
		if err != nil || n == e || other.Epoch() != n {
			t.Errorf("NewEpoch: %d (%v), want another one than %d, and Epoch() to return it", n, err, e)
		}
		if err := other.Close(); err != nil {
			t.Error(err)
		}
		h.reopen()
		if h.Epoch() != n {
			t.Errorf("epoch %d after the next start, want %d", h.Epoch(), n)
		}
	})
}
