//go:build !linux

package crash

import "errors"

// disk is implemented for Linux only.
type disk struct{ path string }

func newDisk(string, int64) (*disk, error) {
	return nil, errors.New("filling a disk is supported only on Linux")
}

func (*disk) fill() error  { return nil }
func (*disk) free() error  { return nil }
func (*disk) close() error { return nil }
