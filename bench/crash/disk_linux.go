package crash

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// disk is a small disk in memory that can be filled up.
type disk struct{ path string }

// newDisk mounts an empty disk of size bytes. That needs the right to mount.
func newDisk(path string, size int64) (*disk, error) {
	if err := os.Mkdir(path, 0o700); err != nil {
		return nil, err
	}
	if err := unix.Mount("tmpfs", path, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", size)); err != nil {
		return nil, errors.Join(fmt.Errorf("mount a tmpfs to fill up: %w", err), os.Remove(path))
	}
	return &disk{path}, nil
}

func (d *disk) filler() string { return filepath.Join(d.path, "filler") }

// fill takes up all free space.
func (d *disk) fill() error {
	f, err := os.OpenFile(d.filler(), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only its size counts
	for at, piece := int64(0), int64(64<<20); piece >= 4096; {
		err := unix.Fallocate(int(f.Fd()), 0, at, piece)
		switch {
		case err == nil:
			at += piece
		case errors.Is(err, unix.ENOSPC):
			piece /= 2
		case !errors.Is(err, unix.EINTR):
			return fmt.Errorf("fill the disk: %w", err)
		}
	}
	return nil
}

// free gives the space back.
func (d *disk) free() error {
	err := os.Remove(d.filler())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// close unmounts the disk and deletes its data.
func (d *disk) close() error {
	err := unix.Unmount(d.path, unix.MNT_DETACH)
	return errors.Join(err, os.Remove(d.path))
}
