package model

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"chatd/model/walwriter"
)

// Backup copies the SQLite store at db ("sqlite:PATH") to the new file to, which only
// its owner may read, while chatd may be using the store. The copy has everything
// that was committed before the call. It doesn't need the schema of this release.
//
// Backup blocks until the copy is on the disk and SQLite's integrity check has
// passed. Meanwhile SQLite can't start its write-ahead log over, so the log grows by
// everything that is written. If Backup fails, to doesn't exist.
func Backup(ctx context.Context, db, to string) (size int64, err error) {
	path, ok := strings.CutPrefix(db, "sqlite:")
	if !ok {
		return 0, errors.New("only SQLite databases can be copied to a file")
	}
	fail := func(err error) (int64, error) { return 0, fmt.Errorf("back up %s: %w", path, err) }
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return fail(fmt.Errorf("%s already exists; name a new file", to))
	}
	// The file gets its name only when it is complete.
	partial, err := os.CreateTemp(filepath.Dir(to), filepath.Base(to)+".partial-*") // mode 0600
	if err != nil {
		return fail(err)
	}
	defer func() {
		partial.Close() // again after success
		if removed := os.Remove(partial.Name()); !errors.Is(removed, fs.ErrNotExist) {
			err = errors.Join(err, removed)
		}
	}()
	if err := vacuumInto(ctx, path, partial.Name()); err != nil {
		return fail(fmt.Errorf("copy it to %s: %w", to, err))
	}
	if err := checkCopy(ctx, partial.Name()); err != nil {
		return fail(err)
	}
	st, err := partial.Stat()
	if err == nil {
		err = errors.Join(partial.Sync(), partial.Close())
	}
	if err == nil {
		err = publishCopy(partial.Name(), to)
	}
	if err != nil {
		return fail(err)
	}
	return st.Size(), nil
}

// vacuumInto copies a database into an empty file.
func vacuumInto(ctx context.Context, path, to string) error {
	if err := walwriter.Register(); err != nil {
		return err
	}
	// The VFS makes sure that what this process finds in the log is on the disk.
	db, err := sql.Open("sqlite", fileURL(path)+"?mode=rw&vfs="+walwriter.Name+"&_pragma=busy_timeout(5000)")
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, `VACUUM INTO ?`, to)
	return errors.Join(err, db.Close())
}

// checkCopy runs SQLite's integrity check on a file that nobody uses.
func checkCopy(ctx context.Context, path string) error {
	db, err := sql.Open("sqlite", fileURL(path)+"?mode=ro&immutable=1")
	if err != nil {
		return err
	}
	var found string
	err = db.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&found)
	if err == nil && found != "ok" {
		err = fmt.Errorf("the copy is damaged, and probably the database too; PRAGMA integrity_check says: %s", found)
	}
	return errors.Join(err, db.Close())
}

// publishCopy names a file. It doesn't replace another one.
func publishCopy(partial, to string) error {
	err := os.Link(partial, to)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		// Some file systems have no links.
		if _, missing := os.Lstat(to); errors.Is(missing, fs.ErrNotExist) {
			err = os.Rename(partial, to)
		}
	}
	if err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func fileURL(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	return (&url.URL{Scheme: "file", Path: path}).String()
}
