package sqldb

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Between fork and exec, a child process has a copy of every descriptor, including
// that of the lock file. lockFile waits until the copy is closed, and doesn't
// report that another process has the lock.
func TestLockFileWaitsForExec(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chat.db")
	first, err := lockFile(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	copied, err := syscall.Dup(int(first.Fd())) // as fork does
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if f, err := lockFile(path, 0); err == nil {
		f.Close()
		t.Fatal("lockFile succeeded while a copy of the descriptor was open, want an error")
	}
	type outcome struct {
		f   *os.File
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		f, err := lockFile(path, time.Minute)
		done <- outcome{f, err}
	}()
	for opened := 1; opened < 2; { // until the goroutine has opened the file
		opened = 0
		fds, err := filepath.Glob("/proc/self/fd/*")
		if err != nil {
			t.Fatal(err)
		}
		for _, fd := range fds {
			if to, err := os.Readlink(fd); err == nil && to == path+".lock" {
				opened++
			}
		}
		select {
		case o := <-done:
			t.Fatalf("lockFile returned (error %v) while a copy of the descriptor was open, want it to wait", o.err)
		default:
		}
	}
	if err := syscall.Close(copied); err != nil { // as exec does
		t.Fatal(err)
	}
	o := <-done
	if o.err != nil {
		t.Fatal(o.err)
	}
	if err := o.f.Close(); err != nil {
		t.Fatal(err)
	}
}

// A lock file that root creates belongs to the owner of the database: otherwise chatd
// couldn't open it after an operator has run a command as root.
func TestLockFileOfRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can test this")
	}
	path := filepath.Join(t.TempDir(), "chat.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const owner = 65534
	if err := os.Chown(path, owner, owner); err != nil {
		t.Fatal(err)
	}
	f, err := lockFile(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if got := st.Sys().(*syscall.Stat_t); got.Uid != owner || got.Gid != owner {
		t.Errorf("the lock file belongs to %d:%d, want the owner of the database, %d:%d", got.Uid, got.Gid, owner, owner)
	}
}

// A lock file isn't opened through a symbolic link: root would write to its target.
func TestLockFileIsNoLink(t *testing.T) {
	dir := t.TempDir()
	path, target := filepath.Join(dir, "chat.db"), filepath.Join(dir, "target")
	if err := os.WriteFile(target, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, path+".lock"); err != nil {
		t.Fatal(err)
	}
	if f, err := lockFile(path, 0); err == nil {
		f.Close()
		t.Error("lockFile follows a symbolic link, want an error")
	}
	if text, err := os.ReadFile(target); err != nil || string(text) != "text" {
		t.Errorf("the target contains %q, %v; want it unchanged", text, err)
	}
}
