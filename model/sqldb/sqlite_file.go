package sqldb

import (
	"context"
	"database/sql/driver"
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

// checkFolder returns an error if a file can't be at the path. It finds the mistakes that
// would otherwise be reported as problems of the lock file.
func checkFolder(path string) error {
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
	return nil
}

// makeFile creates the file unless it exists. Only its owner may read it, as it
// will contain password hashes. The caller has the lock: Close of another process
// may be about to put the file back.
func makeFile(path string) error {
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
		return nil, fmt.Errorf("can't create or open the lock file %s.lock; check who owns it and the folder: %w", path, reason(err))
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

// fileMoved returns an error if SQLite's file was removed or replaced after it was
// opened. where is for the error.
func fileMoved(where, path string, opened os.FileInfo) error {
	now, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: the file was removed while chatd was using it", where)
	case err == nil && !os.SameFile(opened, now):
		return fmt.Errorf("%s: the file was replaced while chatd was using it", where)
	}
	return nil
}

// Moved returns an error if SQLite's file was removed or replaced after it was opened.
// Connections that are open keep using the old file, which no other process can find;
// new ones aren't opened. It reads the folder.
func (db *DB) Moved() error {
	if db.opened == nil {
		return nil
	}
	return fileMoved(db.Where, db.path, db.opened)
}

// connector opens SQLite's connections.
type connector struct {
	driver.Connector
	moved func() error // nil: another process may serve from the file
}

// Connect opens a connection. It refuses to if the file was removed or replaced: the
// connection would use the new file with the old one's log.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	if c.moved != nil {
		if err := c.moved(); err != nil {
			return nil, err
		}
	}
	return c.Connector.Connect(ctx)
}

// logFiles returns the paths of SQLite's write-ahead log and of its index.
func (db *DB) logFiles() []string { return []string{db.wal, db.path + "-shm"} }

// rememberLog remembers which log the connections have open. It stays the same file for
// as long as there is a connection: the writer's is never closed before Close.
func (db *DB) rememberLog() {
	if db.opened == nil {
		return
	}
	for _, path := range db.logFiles() {
		st, err := os.Lstat(path)
		if err != nil {
			st = nil // no such file: Close finds none either
		}
		db.logs = append(db.logs, st)
	}
}

// dropLog calls wal with the path of the log, and removes the log's index, after all
// connections are closed. Otherwise the next process would write the log into whatever
// file is then at db.path. Files that the connections haven't used stay where they are.
func (db *DB) dropLog(wal func(path string) error) (err error) {
	for i, path := range db.logFiles() {
		now, statErr := os.Lstat(path)
		if statErr != nil || i >= len(db.logs) || db.logs[i] == nil || !os.SameFile(db.logs[i], now) {
			continue
		}
		if path == db.wal {
			err = errors.Join(err, wal(path))
		} else {
			err = errors.Join(err, os.Remove(path))
		}
	}
	return err
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
// unless there is another, or the log of another. It returns the file's path. The caller
// has the lock, and has called dropLog.
func (db *DB) putBack(saved string) (path string, err error) {
	for _, other := range []string{db.path, db.wal} {
		if _, err := os.Lstat(other); !errors.Is(err, fs.ErrNotExist) {
			return saved, nil
		}
	}
	if err := os.Link(saved, db.path); err != nil { // unlike Rename, it replaces nothing
		return saved, err
	}
	return db.path, os.Remove(saved)
}

// closeMoved is Close for a file that was removed or replaced, as the error moved says.
// The lock is released last: until then, no other process looks for a file or a log.
func (db *DB) closeMoved(moved error) error {
	saved, failed := db.rescue()
	err := db.close()
	if failed != nil {
		kept := ""
		err = errors.Join(err, db.dropLog(func(path string) (err error) {
			kept, err = setAside(path, db.path+".saved-wal")
			return err
		}), db.release())
		if kept != "" {
			moved = fmt.Errorf("%w; the newest changes are in its log, which is now %s", moved, kept)
		}
		return fmt.Errorf("%w; saving what was in it failed: %w", moved, errors.Join(failed, err))
	}
	dropErr := db.dropLog(os.Remove)
	saved, backErr := db.putBack(saved)
	if err = errors.Join(err, dropErr, backErr, db.release()); err != nil {
		return fmt.Errorf("%w; what was in it is in %s: %w", moved, saved, err)
	}
	return fmt.Errorf("%w; what was in it is in %s", moved, saved)
}

// setAside renames a file to name with a number that no file has yet, and returns its
// new path.
func setAside(path, name string) (string, error) {
	for n := 1; ; n++ {
		to := fmt.Sprintf("%s-%d", name, n)
		if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
			if err := os.Rename(path, to); err != nil {
				return "", err
			}
			return to, nil
		} else if err != nil {
			return "", err
		}
	}
}
