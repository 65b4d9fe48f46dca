// Package backup copies a SQLite database while other processes write to it.
//
// SQLite has two ways to do that, and neither fits a busy server. VACUUM INTO and a
// backup in one step keep a snapshot until they are done. Meanwhile SQLite can't
// start the write-ahead log over, so the log grows by everything that is written. A
// backup in steps starts from the beginning whenever another process has committed.
//
// This package copies the database file in slices, and everything that is appended
// to the log in the meantime. Pages of the file may be old, or be written while they
// are read. But whatever is written to the file during the backup comes from the
// log, and the copy gets all pages of the log, each of which is complete, in the
// order of the commits. So the copy ends up as the database after the last of these
// commits.
//
// For that, the log must not start over before it is copied. SQLite doesn't start
// the log over if
//   - a reader uses the log, or
//   - a reader uses the file only, and there are frames that aren't in the file yet.
//
// So the backup keeps a read transaction open. To replace it, the backup first opens
// the next one, or locks out other writers. In the latter case it copies the rest of
// the log, waits until all of that is in the file, and begins a read transaction
// that uses the file only: the next commit then starts the log over. It does so
// whenever the log has grown by rollBytes. Writers wait for it for some milliseconds
// each time.
package backup

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	driver "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"chatd/model/walwriter"
)

const (
	sliceBytes = 4 << 20  // of the database file
	rollBytes  = 16 << 20 // of the log, before it should start over
	bufferSize = 1 << 20  // for reading the log

	lockPause    = time.Millisecond       // between attempts to lock out other writers
	lockPatience = 30 * time.Second       // for all attempts
	fillPatience = 100 * time.Millisecond // while other writers are locked out
	maxLinger    = 100 * time.Millisecond // likewise
)

// SQLite copies the SQLite database in the file db to the new file to, which only
// its owner may read. The copy has everything that was committed before the call,
// and some of what is committed during it. SQLite blocks until the copy is on the
// disk and SQLite's integrity check has passed. If it fails, to doesn't exist.
//
// Now and then it calls progress with the number of bytes copied, and with the size
// of the database file at the start.
//
// No other code of this process may have the database open: when this function
// closes the file, Linux releases all of the process's locks on it.
func SQLite(ctx context.Context, db, to string, progress func(done, total int64)) (size int64, err error) {
	fail := func(err error) (int64, error) { return 0, fmt.Errorf("back up %s: %w", db, err) }
	if db, err = filepath.Abs(db); err == nil {
		db, err = filepath.EvalSymlinks(db)
	}
	name := to // as the caller wrote it
	if err == nil {
		to, err = filepath.Abs(to)
	}
	if err != nil {
		return fail(err)
	}
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return fail(fmt.Errorf("%s already exists; name a new file", name))
	}
	// The file gets its name only when it is complete.
	partial, err := os.CreateTemp(filepath.Dir(to), filepath.Base(to)+".partial-*") // mode 0600
	if err != nil {
		return fail(err)
	}
	defer func() { err = errors.Join(err, ignoreMissing(os.Remove(partial.Name()))) }()
	defer partial.Close() // again after success
	if size, err = copyTo(ctx, db, partial, progress); err != nil {
		return fail(err)
	}
	if err := errors.Join(partial.Sync(), partial.Close()); err != nil {
		return fail(err)
	}
	if err := check(ctx, partial.Name()); err != nil {
		return fail(err)
	}
	if err := publish(partial.Name(), to); err != nil {
		return fail(err)
	}
	return size, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// publish names a file. It doesn't replace another one.
func publish(partial, to string) error {
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
	defer dir.Close()
	return dir.Sync()
}

// check runs SQLite's integrity check on a file that nobody uses.
func check(ctx context.Context, path string) error {
	db, err := sql.Open("sqlite", address(path)+"?mode=ro&immutable=1&_pragma=cache_size(-65536)&_pragma=mmap_size(1073741824)")
	if err != nil {
		return err
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, `PRAGMA integrity_check(10)`)
	if err != nil {
		return fmt.Errorf("check the copy: %w", err)
	}
	defer rows.Close()
	var found []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return fmt.Errorf("check the copy: %w", err)
		}
		found = append(found, line)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("check the copy: %w", err)
	}
	if len(found) != 1 || found[0] != "ok" {
		return fmt.Errorf("the copy is damaged, and probably the database too; PRAGMA integrity_check says: %s", strings.Join(found, "; "))
	}
	return nil
}

func address(path string) string { return (&url.URL{Scheme: "file", Path: path}).String() }

// copier copies one database.
type copier struct {
	ctx     context.Context
	readers [2]*sql.Conn // the first has a read transaction open
	writer  *sql.Conn    // locks out other writers
	filler  *sql.Conn    // copies the log into the database file
	main    *os.File
	to      *os.File
	log     logReader

	page   int64    // size of a page
	copied []uint64 // a bit for each page that was copied from the log
	grown  int64    // frames read since the last roll

	rolled [headerSize]byte // header of the log at the last roll
	linger time.Duration    // how long roll waits for readers that use the log
}

func copyTo(ctx context.Context, path string, to *os.File, progress func(done, total int64)) (size int64, err error) {
	if err := walwriter.Register(); err != nil {
		return 0, err
	}
	// The VFS makes sure that what this process finds in the log is on the disk.
	// An attempt to lock must fail at once, see lock.
	db, err := sql.Open("sqlite", address(path)+"?mode=rw&vfs="+walwriter.Name+"&_pragma=busy_timeout(0)&_pragma=synchronous(FULL)&_pragma=cache_spill(0)")
	if err != nil {
		return 0, err
	}
	c := &copier{ctx: ctx, to: to}
	defer func() {
		// Close the database first: closing the file releases its locks.
		err = errors.Join(err, db.Close())
		for _, f := range []*os.File{c.main, c.log.f} {
			if f != nil {
				f.Close() // it was only read
			}
		}
	}()
	for _, conn := range []**sql.Conn{&c.readers[0], &c.readers[1], &c.writer, &c.filler} {
		if *conn, err = db.Conn(ctx); err != nil {
			return 0, err
		}
		defer (*conn).Close()
	}
	var mode string
	if err := c.get(c.filler, &mode, `PRAGMA journal_mode`); err != nil {
		return 0, err
	}
	if mode != "wal" {
		return 0, fmt.Errorf("it isn't a database of chatd: its journal mode is %q", mode)
	}
	if err := c.get(c.filler, &c.page, `PRAGMA page_size`); err != nil {
		return 0, err
	}
	if err := c.begin(c.readers[0]); err != nil {
		return 0, err
	}
	if c.main, err = os.Open(path); err != nil {
		return 0, err
	}
	if c.log.f, err = os.Open(path + "-wal"); err != nil {
		return 0, err
	}
	c.log.page = c.page
	st, err := c.main.Stat()
	if err != nil {
		return 0, err
	}
	if err := c.copyFile(st.Size(), progress); err != nil {
		return 0, err
	}
	return c.finish()
}

// get runs a query with one result.
func (c *copier) get(conn *sql.Conn, to any, query string) error {
	return conn.QueryRowContext(c.ctx, query).Scan(to)
}

// begin begins a read transaction. The read makes SQLite choose a snapshot.
func (c *copier) begin(conn *sql.Conn) error {
	if _, err := conn.ExecContext(c.ctx, `BEGIN`); err != nil {
		return err
	}
	// Another process may be recovering the log, or be starting it over.
	for end := time.Now().Add(lockPatience); ; {
		var n int64
		err := c.get(conn, &n, `SELECT COUNT(*) FROM sqlite_schema`)
		if !isBusy(err) || time.Now().After(end) {
			return err
		}
		if err := c.pause(lockPause); err != nil {
			return err
		}
	}
}

func (c *copier) end(conn *sql.Conn) error {
	_, err := conn.ExecContext(c.ctx, `ROLLBACK`)
	return err
}

func (c *copier) pause(d time.Duration) error {
	select {
	case <-c.ctx.Done():
		return c.ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func isBusy(err error) bool {
	var e *driver.Error
	return errors.As(err, &e) && e.Code()&0xff == codes.SQLITE_BUSY
}

// lock locks out other writers. A busy server is without a transaction only for
// moments, so SQLite's own attempts, which get rarer, could take many seconds.
func (c *copier) lock() error {
	for end := time.Now().Add(lockPatience); ; {
		_, err := c.writer.ExecContext(c.ctx, `BEGIN IMMEDIATE`)
		if !isBusy(err) || time.Now().After(end) {
			return err
		}
		if err := c.pause(lockPause/2 + rand.N(lockPause)); err != nil {
			return err
		}
	}
}

// copyFile copies the database file, except for pages that were copied from the log.
func (c *copier) copyFile(total int64, progress func(done, total int64)) error {
	buf := make([]byte, max(1, sliceBytes/c.page)*c.page)
	for at := int64(0); at < total; at += int64(len(buf)) {
		n, err := c.main.ReadAt(buf, at)
		if err != nil && !errors.Is(err, io.EOF) { // the file may have shrunk
			return err
		}
		first, pages := at/c.page+1, int64(n)/c.page
		for i := int64(0); i < pages; i++ {
			end := i // one write for pages next to each other
			for end < pages && !c.has(first+end) {
				end++
			}
			if _, err := c.to.WriteAt(buf[i*c.page:end*c.page], at+i*c.page); err != nil {
				return err
			}
			i = end
		}
		if err := c.catchUp(); err != nil {
			return err
		}
		if c.grown*c.page >= rollBytes {
			if err := c.roll(); err != nil {
				return err
			}
		}
		progress(min(at+int64(len(buf)), total), total)
	}
	return nil
}

// has reports whether a page was copied from the log. Pages count from 1.
func (c *copier) has(page int64) bool {
	i := page / 64
	return i < int64(len(c.copied)) && c.copied[i]&(1<<(page%64)) != 0
}

func (c *copier) writePage(page uint32, b []byte) error {
	i := int(page / 64)
	for len(c.copied) <= i {
		c.copied = append(c.copied, make([]uint64, i+1)...)
	}
	c.copied[i] |= 1 << (page % 64)
	_, err := c.to.WriteAt(b, (int64(page)-1)*c.page)
	return err
}

// fill copies frames from the log into the database file, as far as readers allow.
// It returns how many committed frames are in the log, and how many of those are in
// the file. If another process is doing the same, both are -1.
func (c *copier) fill() (frames, filled int64, err error) {
	var busy int64
	err = c.filler.QueryRowContext(c.ctx, `PRAGMA wal_checkpoint(PASSIVE)`).Scan(&busy, &frames, &filled)
	if isBusy(err) {
		return -1, -1, nil
	}
	return frames, filled, err
}

// catchUp copies the frames that are in the log now. It copies nothing if another
// process is busy with the log.
func (c *copier) catchUp() error {
	_, err := c.tryCatchUp()
	return err
}

func (c *copier) tryCatchUp() (done bool, err error) {
	before, exists, err := c.log.readHeader()
	if err != nil {
		return false, err
	}
	frames, _, err := c.fill()
	if err != nil || frames < 0 {
		return false, err
	}
	if !exists {
		return frames == 0, nil
	}
	// SQLite writes a new header before the first frame that follows it is
	// committed. So if there is still the same header, frames belong to it.
	if after, _, err := c.log.readHeader(); err != nil || after != before {
		return false, err
	}
	if before != c.log.header {
		if frames == 0 { // nothing is committed behind it
			return true, nil
		}
		if err := c.log.startOver(before); err != nil {
			return false, err
		}
	}
	if frames <= c.log.frames {
		return true, nil
	}
	c.grown += frames - c.log.frames
	return true, c.log.read(frames, c.writePage)
}

// catchUpLocked copies the rest of the log, while other writers are locked out.
func (c *copier) catchUpLocked() error {
	for end := time.Now().Add(lockPatience); ; {
		done, err := c.tryCatchUp()
		if done || err != nil {
			return err
		}
		if time.Now().After(end) {
			return errors.New("another program keeps SQLite's checkpoint lock; end it and run the backup again")
		}
		if err := c.pause(lockPause); err != nil {
			return err
		}
	}
}

// roll makes the next commit start the log over, unless other readers prevent it.
func (c *copier) roll() error {
	// Do most of the work while others can write: move the read transaction to the
	// newest commit, and the log into the file up to there.
	if err := c.begin(c.readers[1]); err != nil {
		return err
	}
	if err := c.end(c.readers[0]); err != nil {
		return err
	}
	c.readers[0], c.readers[1] = c.readers[1], c.readers[0]
	if err := c.catchUp(); err != nil {
		return err
	}
	if err := c.lock(); err != nil {
		return err
	}
	err := c.rollLocked()
	return errors.Join(err, c.end(c.writer))
}

func (c *copier) rollLocked() error {
	if err := c.catchUpLocked(); err != nil {
		return err
	}
	if err := c.end(c.readers[0]); err != nil {
		return err
	}
	for end := time.Now().Add(fillPatience); ; {
		frames, filled, err := c.fill()
		if err != nil {
			return err
		}
		if frames >= 0 && frames == filled || time.Now().After(end) {
			break
		}
		if err := c.pause(lockPause); err != nil {
			return err
		}
	}
	// Readers that began before all frames were in the file use the log, and the
	// next commit can't start it over. If that happened the last time, wait for
	// them: new readers don't use the log.
	if c.log.header == c.rolled {
		c.linger = min(max(2*c.linger, 2*time.Millisecond), maxLinger)
	} else {
		c.linger /= 2
	}
	c.rolled, c.grown = c.log.header, 0
	if err := c.pause(c.linger); err != nil {
		return err
	}
	return c.begin(c.readers[0])
}

// finish copies the rest of the log and returns the size of the copy.
func (c *copier) finish() (size int64, err error) {
	if err := c.catchUp(); err != nil {
		return 0, err
	}
	if err := c.lock(); err != nil {
		return 0, err
	}
	var pages int64
	if err = c.catchUpLocked(); err == nil {
		err = c.get(c.writer, &pages, `PRAGMA page_count`)
	}
	if err := errors.Join(err, c.end(c.writer), c.end(c.readers[0])); err != nil {
		return 0, err
	}
	return pages * c.page, c.to.Truncate(pages * c.page)
}
