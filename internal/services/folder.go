package services

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
)

// Folder is where services lie that belong together, each in a folder of its
// own beneath it. When this process is gone without having removed it, what
// was started there is killed, and the folder removed: a guard sees to that.
// It may be used by several goroutines.
type Folder struct {
	Path string

	*guard
}

// guard is the process that tidies up after this one.
type guard struct {
	mu    sync.Mutex
	cmd   *exec.Cmd
	stdin io.WriteCloser
}

// The guard notices the end of this process because a pipe from here ends. (A
// death signal would be tied to the thread that started a program, and would
// leave the folder.) It knows the processes by what it is told, and finds by
// itself what is mounted in the folder.
const cleanerScript = `
folder=$1 all=
while read -r word pid; do
	case $word in
	began) all="$all $pid" ;;
	ended)
		left=
		for p in $all; do [ "$p" = "$pid" ] || left="$left $p"; done
		all=$left
		;;
	done) exit 0 ;;
	esac
done
for p in $all; do kill -KILL "-$p" 2>/dev/null; done
while read -r _ at _; do
	case $at in "$folder"/*) umount -l "$at" ;; esac
done </proc/mounts
while [ -e "$folder" ]; do rm -rf "$folder"; sleep 0.1; done
`

// guardPath is where the guard finds rm and sleep, whatever PATH is here.
const cleanerPath = "PATH=/usr/bin:/bin"

// NewFolder makes a guarded folder in dir ("": the system's for temporary
// files), whose name begins with prefix. Its path is absolute.
func NewFolder(dir, prefix string) (*Folder, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	path, err := filepath.Abs(filepath.Join(dir, prefix+strconv.FormatUint(rand.Uint64(), 36)))
	if err != nil {
		return nil, err
	}
	f := &Folder{Path: path, guard: &guard{cmd: exec.Command("/bin/sh", "-c", cleanerScript, "guard", path)}}
	f.cmd.Env = []string{cleanerPath}
	f.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C isn't for it
	if f.stdin, err = f.cmd.StdinPipe(); err == nil {
		err = f.cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start a guard: %w", err)
	}
	// Only now, or who is killed in between leaves it behind.
	if err := os.Mkdir(path, 0o700); err != nil {
		return nil, errors.Join(err, f.stop())
	}
	return f, nil
}

// Beneath is a folder in this one, by its name, with the same guard; it must
// be there before something is made in it. Only the one on top is removed.
func (f *Folder) Beneath(name string) *Folder {
	return &Folder{Path: filepath.Join(f.Path, name), guard: f.guard}
}

// tell has the guard know what has become of a process.
func (g *guard) notify(word string, pid int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, err := fmt.Fprintln(g.stdin, word, pid)
	return err
}

// Remove removes the folder, whose services must have ended, and dismisses
// the guard. It may be called once.
func (f *Folder) Remove() error {
	if err := os.RemoveAll(f.Path); err != nil {
		return err // the guard tries again at the end
	}
	return f.stop()
}

func (g *guard) stop() error {
	err := g.notify("done", 0)
	return errors.Join(err, g.stdin.Close(), g.cmd.Wait())
}
