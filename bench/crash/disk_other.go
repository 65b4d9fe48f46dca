//go:build !linux

package crash

import "errors"

// disk is implemented for Linux only.
type disk struct{ path string }

func newDisk(string, int64) (*disk, error) {
	return nil, errors.New("a disk that can be filled is to be had on Linux alone")
}

func (*disk) fill() error  { return nil }
func (*disk) free() error  { return nil }
func (*disk) close() error { return nil }
