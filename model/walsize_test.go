package model

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// A write-ahead log that grows causes a warning at a threshold and whenever it has
// doubled, not at each look.
func TestWALWarning(t *testing.T) {
	var out bytes.Buffer
	w := walWatch{log: slog.New(slog.NewTextHandler(&out, nil))}
	for _, c := range []struct {
		size  int64
		level string // of the log line; empty: none
	}{
		{0, ""}, {64 << 20, ""}, {walWarning - 1, ""}, {walWarning, "WARN"}, {walWarning + 1, ""}, {2*walWarning - 1, ""},
		{2 * walWarning, "WARN"}, {3 * walWarning, ""}, {walWarning - 1, "INFO"}, {0, ""}, {walWarning, "WARN"},
	} {
		out.Reset()
		w.check(c.size)
		if got := out.String(); (c.level == "") != (got == "") || !strings.Contains(got, c.level) {
			t.Errorf("at %d bytes the log says %q, want level %q", c.size, got, c.level)
		}
	}
}

// The metric is the size of the file.
func TestWALMetric(t *testing.T) {
	onSQLite(t, func(t *testing.T, h *harness) {
		u := h.users(2)
		h.store(toPeer(u[0], u[1], "1"))
		var out bytes.Buffer
		h.DB.m.set.WritePrometheus(&out)
		if !strings.Contains(out.String(), "\nchatd_model_wal_bytes ") || strings.Contains(out.String(), "\nchatd_model_wal_bytes 0\n") {
			t.Errorf("metrics after a commit, want chatd_model_wal_bytes above 0:\n%s", &out)
		}
	})
}
