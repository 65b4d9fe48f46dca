package model

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// What a store is made of belongs to its owner alone, whatever the umask; one
// that others can read is warned of, and served from all the same.
func TestFileModes(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "chat.db")
	var log bytes.Buffer
	o := Options{URL: "sqlite:" + path, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	old := syscall.Umask(0)
	h := newHarness(t, o)
	h.store(toPeer(h.user("a"), h.user("b"), "x"))
	syscall.Umask(old)
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Name())
		if info, err := f.Info(); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", f.Name(), info.Mode(), err)
		}
	}
	if got := strings.Join(names, " "); got != "chat.db chat.db-shm chat.db-wal chat.db.lock" {
		t.Errorf("the files are %s", got)
	}
	if log.Len() > 0 {
		t.Errorf("warned of: %s", &log)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	h.reopen()
	if got := log.String(); !strings.Contains(got, "chmod 600") || !strings.Contains(got, "rw-r-----") {
		t.Errorf("not warned of: %q", got)
	}
}
