package faultvfs

import (
	"os"
	"path/filepath"
	"strings"
	"sync"

	sqlite "modernc.org/sqlite/lib"
)

// Disk records the calls for the database files in a folder. Any goroutine may call
// its methods.
type Disk struct {
	dir string

	mu     sync.Mutex
	start  *state // before the first operation
	now    *state // after the last one
	ops    []op
	faults []*Fault
	fired  int
	bug    Bug
	held   []op // writes that the record doesn't have yet, because of bug
	late   bool // held is due at the next write
}

// Attach records everything that happens to the files in dir from now on. What they
// have now counts as synced. No file in dir may be open. Call Detach at the end.
func Attach(dir string) (*Disk, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	s := newState()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if skip(e.Name()) {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		s.names[e.Name()] = s.add(b)
	}
	s.syncDir()
	return attach(dir, s), nil
}

func attach(dir string, s *state) *Disk {
	d := &Disk{dir: dir, start: s.clone(), now: s}
	disks.Store(dir, d)
	return d
}

// skip reports whether a file doesn't matter for the contents of the database.
func skip(name string) bool {
	return strings.HasSuffix(name, "-shm") || strings.HasSuffix(name, ".lock")
}

func isLog(path string) bool { return strings.HasSuffix(path, "-wal") }

// Detach ends the recording of files that are opened from now on.
func (d *Disk) Detach() { disks.Delete(d.dir) }

// Len returns the number of operations in the record.
func (d *Disk) Len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.ops)
}

// record adds an operation to the record. The caller holds the lock.
func (d *Disk) record(o op) {
	d.ops = append(d.ops, o)
	d.now.apply(o)
}

// opened returns the inode of a file that was just opened. The caller holds the lock.
func (d *Disk) opened(path string) int {
	name := filepath.Base(path)
	if i, ok := d.now.names[name]; ok {
		return i
	}
	d.record(op{kind: opCreate, name: name, data: contents(path)})
	return d.now.names[name]
}

// wrote records a write, and synced a successful sync. The caller holds the lock.
func (d *Disk) wrote(f *file, o op) {
	switch {
	case d.bug != SyncsFirst && d.bug != WritesLate || !isLog(f.path):
		d.record(o)
	case d.late:
		d.release()
		fallthrough
	default:
		d.held = append(d.held, o)
	}
}

func (d *Disk) synced(f *file) {
	d.record(op{kind: opSync, inode: f.inode})
	if f.syncDir {
		f.syncDir = false
		d.record(op{kind: opSyncDir})
	}
	switch {
	case !isLog(f.path):
	case d.bug == SyncsFirst:
		d.release()
	case d.bug == WritesLate:
		d.late = true
	}
}

func (d *Disk) release() {
	for _, o := range d.held {
		d.record(o)
	}
	d.held, d.late = nil, false
}

// drop makes the operating system forget the writes that were not synced and will not
// be: reads get what the disk has. The caller holds the lock.
func (d *Disk) drop(inode int, write func(offset int64, b []byte) bool) {
	n := d.now.inodes[inode]
	for s := range n.maybe {
		size := min(sector, int64(len(n.cache))-s*sector)
		if size > 0 && !n.dirty[s*sector/page] && !write(s*sector, n.maybe[s][0][:size]) {
			panic("faultvfs: can't restore what the disk has")
		}
	}
	d.record(op{kind: opDrop, inode: inode})
}

// evicted drops a file that is in no program's memory.
func (d *Disk) evicted(path string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i, ok := d.now.names[filepath.Base(path)]
	if !ok || d.bug == NeverEvicts {
		return
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	d.drop(i, func(offset int64, b []byte) bool {
		_, err := f.WriteAt(b, offset)
		return err == nil
	})
}

// Call is a method of SQLite's VFS that can fail.
type Call int

// The calls.
const (
	Read Call = iota
	Write
	Sync
	Truncate
)

func (c Call) String() string { return [...]string{"read", "write", "sync", "truncate"}[c] }

// Fault makes calls fail.
type Fault struct {
	On     Call
	File   string // end of the file's name; "": any file
	After  int    // how many such calls succeed first
	Times  int    // how many fail then; 0: all
	Full   bool   // a write fails because the disk is full, not because it is broken
	Torn   bool   // half of a write is done before it fails
	Drop   bool   // after a failed sync, reads no longer get what was not synced
	Silent bool   // a bug: the call fails, but SQLite is told that it succeeded
}

// code returns SQLite's result code.
func (f *Fault) code() int32 {
	switch {
	case f.Silent:
		return sqlite.SQLITE_OK
	case f.Full:
		return sqlite.SQLITE_FULL
	}
	switch f.On {
	case Read:
		return sqlite.SQLITE_IOERR | 1<<8
	case Write:
		return sqlite.SQLITE_IOERR | 3<<8
	case Sync:
		return sqlite.SQLITE_IOERR | 4<<8
	default:
		return sqlite.SQLITE_IOERR | 6<<8
	}
}

// Inject adds a fault.
func (d *Disk) Inject(f Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = append(d.faults, &f)
}

// Repair removes all faults, and returns how many calls have failed since the last
// Repair.
func (d *Disk) Repair() (failed int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	failed = d.fired
	d.faults, d.fired = nil, 0
	return failed
}

// fails returns the fault that the call has, or nil. The caller holds the lock.
func (d *Disk) fails(on Call, path string) *Fault {
	for _, f := range d.faults {
		if f.On != on || !strings.HasSuffix(path, f.File) {
			continue
		}
		if f.After--; f.After >= 0 || f.Times > 0 && f.After < -f.Times {
			continue
		}
		d.fired++
		return f
	}
	return nil
}

// Bug is a mistake of a VFS above this one. It concerns the write-ahead log.
type Bug int

// The bugs. All but None lose acknowledged commits in a power cut.
const (
	None        Bug = iota
	SkipsSync       // reports a sync as successful without syncing
	SyncsFirst      // syncs, and then writes what it has buffered
	WritesLate      // doesn't write what it has buffered before the next commit
	NeverEvicts     // opens a log without vfs.Evict
)

// Break makes the record look as if the VFS above had a bug. Call it before a
// database is opened.
func (d *Disk) Break(b Bug) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bug = b
}
