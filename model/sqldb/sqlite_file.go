package sqldb

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// makeFile creates the file unless it exists. Only its owner may read it, as it
// will contain password hashes.
func makeFile(path string) error {
	dir := filepath.Dir(path)
	switch st, err := os.Stat(dir); {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("folder %s does not exist: create it", dir)
	case err != nil:
		return reason(err)
	case !st.IsDir():
		return fmt.Errorf("%s is not a folder", dir)
	}
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		return errors.New("is a folder, not a file")
	}
	// Don't open an existing file: closing it would release the POSIX locks that
	// SQLite holds on it for another DB of this process.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("can't create the file: %w", reason(err))
	}
	return f.Close()
}

const (
	lockPatience = time.Second           // how long lockFile retries
	lockPause    = 10 * time.Millisecond // between attempts
)

// lockFile takes the lock that keeps a second chatd from using the database.
// Closing the file releases it; so does the end of the process, even a crash.
func lockFile(path string, patience time.Duration) (*os.File, error) {
	f, err := openLock(path)
	if err != nil {
		return nil, fmt.Errorf("can't open the lock file %s.lock; check who owns it: %w", path, reason(err))
	}
	// Retry: the lock of a DB that this process has just closed may last a moment
	// longer. Between fork and exec, a child process has a copy of every
	// descriptor.
	for end := time.Now().Add(patience); ; time.Sleep(lockPause) {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(end) {
			break
		}
	}
	if err != nil {
		pid, _ := io.ReadAll(io.LimitReader(f, 32))
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("in use by another process (pid %s)", strings.TrimSpace(string(pid)))
		}
		return nil, fmt.Errorf("can't lock %s.lock: %w", path, err)
	}
	// The pid is only information for operators; the lock is what counts.
	if err = f.Truncate(0); err == nil {
		_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("can't write the lock file %s.lock: %w", path, reason(err))
	}
	return f, nil
}

// openLock opens the lock file of a database, or creates it. If root creates it, for
// an operator's command, it belongs to the owner of the database all the same, as
// SQLite's own files do.
func openLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return os.OpenFile(path+".lock", os.O_RDWR|syscall.O_NOFOLLOW, 0)
	}
	if err != nil || os.Geteuid() != 0 {
		return f, err
	}
	st, err := os.Stat(path)
	if err == nil {
		owner := st.Sys().(*syscall.Stat_t)
		err = f.Chown(int(owner.Uid), int(owner.Gid))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// reason removes the path from an error, as the message already names it.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// Moved returns an error if SQLite's file was removed or replaced after it was opened.
// Connections that are open keep using the old file, which no other process can find.
// It reads the folder.
func (db *DB) Moved() error {
	if db.opened == nil {
		return nil
	}
	now, err := os.Stat(db.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: the file was removed while chatd was using it", db.Where)
	case err == nil && !os.SameFile(db.opened, now):
		return fmt.Errorf("%s: the file was replaced while chatd was using it", db.Where)
	}
	return nil
}

// rescue copies everything from SQLite's file, which was removed or replaced, to a new
// file in the same folder, and returns its path.
func (db *DB) rescue() (path string, err error) {
	f, err := os.CreateTemp(filepath.Dir(db.path), filepath.Base(db.path)+".saved-*") // mode 0600
	if err != nil {
		return "", err
	}
	_, err = db.Writer.Exec(`VACUUM INTO ?`, f.Name())
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// putBack gives the file that rescue has written the name of the one that was removed,
// unless there is another. It returns the file's path.
func (db *DB) putBack(saved string) (path string, err error) {
	if _, err := os.Lstat(db.path); !errors.Is(err, fs.ErrNotExist) {
		return saved, nil
	}
	// The log belongs to the removed file. rescue has copied what is in it.
	for _, old := range []string{db.wal, db.path + "-shm"} {
		if err := os.Remove(old); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return saved, err
		}
	}
	if err := os.Link(saved, db.path); err != nil { // unlike Rename, it replaces nothing
		return saved, err
	}
	return db.path, os.Remove(saved)
}
