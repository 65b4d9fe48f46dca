package client

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"
)

// FileStore restores what it saved, in a file that only the owner can read,
// without leftovers. An unreadable file is an error, not an empty state.
func TestFileStore(t *testing.T) {
	dir := t.TempDir()
	f := FileStore{filepath.Join(dir, "state")}
	if s, err := f.Load(); s != nil || err != nil {
		t.Fatalf("nothing saved: %v, %v", s, err)
	}
	want := Saved{User: 1, Name: "alice", Device: "d", Token: "t", Epoch: 7,
		Last: map[Conv]int64{User(2): 5, Group(3): 9}}
	for range 2 {
		if err := f.Save(&want); err != nil {
			t.Fatal(err)
		}
	}
	got, err := f.Load()
	if err != nil || got.Token != "t" || !maps.Equal(got.Last, want.Last) {
		t.Errorf("loaded %+v, %v", got, err)
	}
	info, err := os.Stat(f.Path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Errorf("files left: %v", names)
	}
	for _, bad := range []string{"{", `{"last":{"x7":1}}`, `{"last":{"u":1}}`, `{"last":{"u-7":1}}`} {
		if err := os.WriteFile(f.Path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Load(); !errors.Is(err, ErrBadState) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
