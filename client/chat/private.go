package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
)

// private refuses a token file that others on this machine can read or change:
// what is in it logs in without a password, so it may be known to them. We
// write it for its owner alone; one that is not was copied, or made by hand.
// That it isn't there is no error.
func private(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), runtime.GOOS == "windows":
		return nil
	case err != nil:
		return fmt.Errorf("the token file: %w", err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("the token file %s is no file", path)
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("the token file %s can be used by others (mode %04o), and whoever reads it is logged in as you: "+
			"remove it and log in again, or chmod 600 it", path, info.Mode().Perm())
	}
	return nil
}
