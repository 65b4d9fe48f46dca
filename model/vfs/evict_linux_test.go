package vfs

import (
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// After Evict, no page of a synced file is in memory: the next read gets what the
// disk has.
func TestEvict(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil {
		t.Fatal(err)
	}
	if fs.Type == unix.TMPFS_MAGIC {
		t.Skip("a file in tmpfs is always in memory")
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	before := inMemory(t, f)
	Evict(path)
	if after := inMemory(t, f); before == 0 || after > 0 {
		t.Errorf("%d pages are in memory, then %d after Evict; want some, then none", before, after)
	}
}

// inMemory returns how many pages of a file of 1 MiB the operating system has in
// memory.
func inMemory(t *testing.T, f *os.File) (n int) {
	t.Helper()
	b, err := unix.Mmap(int(f.Fd()), 0, 1<<20, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(b)
	pages := make([]byte, (1<<20)/os.Getpagesize())
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&b[0])), 1<<20, uintptr(unsafe.Pointer(&pages[0]))); errno != 0 {
		t.Fatal(errno)
	}
	for _, p := range pages {
		n += int(p & 1)
	}
	return n
}
