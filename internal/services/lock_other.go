//go:build !linux

package services

import "os"

// lockByte does nothing. Other systems have only locks per process, which
// wouldn't keep two services of one process apart.
func lockByte(*os.File, int) error { return nil }
