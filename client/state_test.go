package client

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"
)

// FileStore restores what it saved. Only the owner can read the file, and no
// temporary files remain. An invalid file is an error, not an empty state.
func TestFileStore(t *testing.T) {
	dir := t.TempDir()
	f := FileStore{filepath.Join(dir, "state")}
	if s, err := f.Load(); s != nil || err != nil {
		t.Fatalf("Load before Save = %v, %v; want nil, nil", s, err)
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
		t.Errorf("Load = %+v, %v; want %+v", got, err, want)
	}
	info, err := os.Stat(f.Path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the file = %v, %v; want 0600", info.Mode(), err)
	}
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Errorf("files in the directory: %v, want only state", names)
	}
	for _, bad := range []string{"{", `{"last":{"x7":1}}`, `{"last":{"u":1}}`, `{"last":{"u-7":1}}`} {
		if err := os.WriteFile(f.Path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Load(); !errors.Is(err, ErrBadState) {
			t.Errorf("Load of %s = %v, want ErrBadState", bad, err)
		}
	}
}
