package model

import (
	"strings"
	"testing"
)

// The size of the store is known on both databases, for alerts before a disk is
// full. The free space of its disk is known only if the disk is this machine's.
func TestSize(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		size, err := h.Size(t.Context())
		if err != nil || size.Bytes < 4096 {
			t.Fatalf("Size = %+v, %v; want at least a page", size, err)
		}
		if local := strings.HasPrefix(h.DB.o.DB, "sqlite:"); local != (size.Free > 0) || !local && size.Free != -1 {
			t.Errorf("%s: free space %d, want it for SQLite and otherwise -1", h.DB.o.DB, size.Free)
		}
	})
}
