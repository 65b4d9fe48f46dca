package services

import (
	"os"

	"golang.org/x/sys/unix"
)

// lockByte locks one byte of a file, until the file is closed.
func lockByte(f *os.File, at int) error {
	lock := unix.Flock_t{Type: unix.F_WRLCK, Start: int64(at), Len: 1}
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock)
}
