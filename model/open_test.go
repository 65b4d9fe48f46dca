package model

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
)

// Open's error about an invalid SQLiteSync quotes the value.
func TestInvalidSync(t *testing.T) {
	_, err := Open(context.Background(), Options{DB: "sqlite:" + filepath.Join(t.TempDir(), "c.db"), SQLiteSync: "off"})
	if err == nil || !strings.Contains(err.Error(), `"off"`) {
		t.Errorf("Open with SQLiteSync off: error %v, want one that quotes it", err)
	}
}

// The epoch stays the same until an operator sets a new one. A node uses that
// from its next start.
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
			t.Errorf("NewEpoch = %d (error %v), Epoch = %d; want the same, and not %d", n, err, other.Epoch(), e)
		}
		if err := other.Close(); err != nil {
			t.Error(err)
		}
		h.reopen()
		if h.Epoch() != n {
			t.Errorf("epoch %d after the next start, want the new one, %d", h.Epoch(), n)
		}
	})
}
