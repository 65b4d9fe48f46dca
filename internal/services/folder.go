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

// Folder is a directory that contains the directories of services. If this
// process ends without calling Remove, however it ends, a cleaner process kills
// the services and removes the directory. A Folder is safe for concurrent use.
type Folder struct {
	Path string

	*cleaner
}

// cleaner is the process that cleans up if this one dies.
type cleaner struct {
	mu    sync.Mutex
	cmd   *exec.Cmd
	stdin io.WriteCloser
}

// The cleaner notices the end of this process by the end of its standard input,
// a pipe. (A parent-death signal would depend on the thread that started a
// program, and would leave the directory behind.) It learns the process groups
// to kill from "started PID" and "ended PID" lines, and finds mounts in the
// directory by itself.
const cleanerScript = `
folder=$1 all=
while read -r word pid; do
	case $word in
	started) all="$all $pid" ;;
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

// cleanerPath is the cleaner's environment: it must find rm and sleep whatever
// PATH is here.
const cleanerPath = "PATH=/usr/bin:/bin"

// NewFolder creates a directory in dir, with a cleaner. "" means the system's
// directory for temporary files. The directory's name starts with prefix.
// Folder.Path is absolute.
func NewFolder(dir, prefix string) (*Folder, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	path, err := filepath.Abs(filepath.Join(dir, prefix+strconv.FormatUint(rand.Uint64(), 36)))
	if err != nil {
		return nil, err
	}
	f := &Folder{Path: path, cleaner: &cleaner{cmd: exec.Command("/bin/sh", "-c", cleanerScript, "cleaner", path)}}
	f.cmd.Env = []string{cleanerPath}
	f.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // don't let Ctrl-C reach it
	if f.stdin, err = f.cmd.StdinPipe(); err == nil {
		err = f.cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start a cleaner: %w", err)
	}
	// Create the directory after the cleaner runs. Otherwise, a kill in between
	// would leave it behind.
	if err := os.Mkdir(path, 0o700); err != nil {
		return nil, errors.Join(err, f.stop())
	}
	return f, nil
}

// Beneath returns the subdirectory with this name, with the same cleaner. It
// must exist before services are created in it. Don't call Remove on it.
func (f *Folder) Beneath(name string) *Folder {
	return &Folder{Path: filepath.Join(f.Path, name), cleaner: f.cleaner}
}

// notify tells the cleaner that a process has started or ended.
func (g *cleaner) notify(word string, pid int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, err := fmt.Fprintln(g.stdin, word, pid)
	return err
}

// Remove removes the directory and stops the cleaner. The services must have
// ended. It may be called once.
func (f *Folder) Remove() error {
	if err := os.RemoveAll(f.Path); err != nil {
		return err // the cleaner tries again when this process ends
	}
	return f.stop()
}

// stop stops the cleaner without cleaning up.
func (g *cleaner) stop() error {
	err := g.notify("done", 0)
	return errors.Join(err, g.stdin.Close(), g.cmd.Wait())
}
