package model

import (
	"context"
	"fmt"
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
// from its next start. A new epoch ends all tokens: after a restore, some may be back
// that had ended.
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
		const many = maxStarts + 7 // more than one transaction ends
		for i := range int64(many) {
			if _, err := other.sql.Writer.Exec(`INSERT INTO devices (user_id, device, token_hash, last_used) VALUES (?, 'phone', ?, 0), (?, 'pad', ?, 0), (?, 'tv', NULL, 0)`,
				i+1, fmt.Append(nil, "a", i), i+1, fmt.Append(nil, "b", i), i+1); err != nil {
				t.Fatal(err)
			}
		}
		n, tokens, err := other.NewEpoch(context.Background())
		if err != nil || n == e || other.Epoch() != n || tokens != 2*many {
			t.Errorf("NewEpoch = %d, %d (error %v), Epoch = %d; want the same epoch, and not %d, and %d tokens", n, tokens, err, other.Epoch(), e, 2*many)
		}
		var left int
		if err := other.sql.Reader.Get(&left, `SELECT COUNT(*) FROM devices WHERE token_hash IS NOT NULL`); err != nil || left != 0 {
			t.Errorf("%d tokens are left (error %v), want none", left, err)
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
