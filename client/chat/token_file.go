package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
)

// checkTokenFile returns an error if other users of this machine can read or
// change the token file, because a token logs in without a password. chat
// creates the file with mode 0600. A missing file is no error.
func checkTokenFile(path string) error {
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
