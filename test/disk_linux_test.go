package test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"chatd/internal/realservice"
)

// smallDisk is a disk in memory that a test fills up.
type smallDisk struct {
	t    *testing.T
	path string
}

// newSmallDisk mounts an empty disk. It skips the test if this user may not mount.
func newSmallDisk(t *testing.T, size int) *smallDisk {
	t.Helper()
	d := &smallDisk{t, filepath.Join(t.TempDir(), "disk")}
	if err := os.Mkdir(d.path, 0o700); err != nil {
		t.Fatal(err)
	}
	switch err := unix.Mount("tmpfs", d.path, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", size)); {
	case errors.Is(err, unix.EPERM):
		t.Skip("only root may mount a small disk")
	case err != nil:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(d.path, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return d
}

// fill leaves this many bytes of the disk free.
func (d *smallDisk) fill(left int) {
	d.t.Helper()
	var s unix.Statfs_t
	if err := unix.Statfs(d.path, &s); err != nil {
		d.t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(d.path, "filler"))
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	if n := int64(s.Bavail)*s.Bsize - int64(left); n > 0 {
		if err := unix.Fallocate(int(f.Fd()), 0, 0, n); err != nil {
			d.t.Fatal(err)
		}
	}
}

// free gives back what fill took.
func (d *smallDisk) free() {
	d.t.Helper()
	if err := os.Remove(filepath.Join(d.path, "filler")); err != nil {
		d.t.Fatal(err)
	}
}

// startsOrSaysWhy starts a node while the disk of its database is full. It must either
// serve, or exit with one error that says that the disk is full.
func startsOrSaysWhy(t *testing.T, what, db string) (served bool) {
	t.Helper()
	d := startDaemon(t, t.TempDir(), append(quick, "127.0.0.1", "0", "--wait=0", "--db", db)...)
	var log []string
	for d.lines.Scan() {
		log = append(log, d.lines.Text())
		if strings.Contains(d.lines.Text(), "chatd listening") {
			if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			d.exit(t)
			return true
		}
	}
	code, _ := d.exit(t)
	text := strings.Join(log, "\n")
	if code != exitError || strings.Count(text, "level=ERROR") != 1 || !strings.Contains(text, "disk is probably full") {
		t.Errorf("%s: exit code %d, want %d and one error with \"disk is probably full\"; log:\n%s", what, code, exitError, text)
	}
	return false
}

// A node whose database has no room says so when it starts, and damages nothing:
// once there is room, it starts, and what was stored before is still there. The disk
// gets full at different points of the start.
func TestFullDiskAtStart(t *testing.T) {
	disk := newSmallDisk(t, 16<<20)
	then := func(db, name string, known bool) {
		t.Helper()
		d := startDaemon(t, t.TempDir(), append(quick, "127.0.0.1", "0", "--db", db)...)
		addr := d.until(t, `chatd listening.* address=(\S+)`)
		if known {
			dialRaw(t, addr).login(name)
		} else {
			works(t, addr, name)
		}
		d.drains(t)
	}
	failed := 0
	for i, left := range []int{0, 16 << 10, 128 << 10, 256 << 10} {
		db := "sqlite:" + filepath.Join(disk.path, fmt.Sprint(i, ".db"))
		what := fmt.Sprintf("a new database with %d bytes of room", left)
		disk.fill(left)
		if !startsOrSaysWhy(t, what, db) {
			failed++
		}
		disk.free()
		then(db, "anna", false)

		what = fmt.Sprintf("a database with %d bytes of room", left)
		disk.fill(left)
		if !startsOrSaysWhy(t, what, db) {
			failed++
		}
		disk.free()
		then(db, "anna", true)
	}
	if failed < 2 {
		t.Errorf("%d starts failed, want at least those without any room", failed)
	}
}

// The same with MariaDB, whose disk gets full while the node creates its tables.
func TestFullDiskOfMariaDBAtStart(t *testing.T) {
	disk := newSmallDisk(t, 512<<20)
	t.Setenv("TMPDIR", disk.path)
	m := realservice.NewMariaDB(t)
	failed := 0
	for _, left := range []int{0, 300 << 10, 900 << 10} {
		disk.fill(left)
		if !startsOrSaysWhy(t, fmt.Sprintf("a server with %d bytes of room", left), m.URL) {
			failed++
		}
		disk.free()
		d := startDaemon(t, t.TempDir(), append(quick, "127.0.0.1", "0", "--db", m.URL)...)
		works(t, d.until(t, `chatd listening.* address=(\S+)`), "anna")
		d.drains(t)
		m.SQL(t, "DROP DATABASE chatd; CREATE DATABASE chatd")
	}
	if failed == 0 {
		t.Error("each start succeeded, want at least the one without any room to fail")
	}
}
