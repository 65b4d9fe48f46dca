//go:build !linux

package services

import "os"

// lockByte does nothing: other locks belong to a process, and would not keep
// two of its own services apart.
func lockByte(*os.File, int) error { return nil }
