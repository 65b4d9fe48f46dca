package sqldb

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A child process has a copy of every descriptor between fork and exec, that of
// the lock file too. lockFile waits for the copy to be closed before it says
// that another process has the lock.
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
		t.Fatal("the lock could be taken while a copy of its descriptor is open")
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
			t.Fatalf("lockFile didn't wait for the copy to be closed: %v", o.err)
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
