package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
)

// checkTokenFile returns an error if other users of this machine can read or
// change the token file. Anyone with the token can log in without a password.
// chat creates the file with mode 0600. A missing file is no error.
func checkTokenFile(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), runtime.GOOS == "windows":
		return nil
	case err != nil:
		return fmt.Errorf("token file: %w", err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("token file %s is not a regular file", path)
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("other users can access the token file %s (mode %04o) and log in as you: "+
			"delete it and log in again, or run chmod 600 on it", path, info.Mode().Perm())
	}
	return nil
}
