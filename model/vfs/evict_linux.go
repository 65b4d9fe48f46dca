package vfs

import (
	"os"

	"golang.org/x/sys/unix"
)

// evict ignores errors: fadvise is only a hint, but Linux follows it for pages that
// nobody else uses and that are not to be written.
func evict(path string) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
}
