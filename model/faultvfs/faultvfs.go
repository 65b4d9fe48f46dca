// Package faultvfs is a SQLite VFS for tests. It records what SQLite does to the
// files of a folder, makes the files that a power cut could have left at any point
// of the record, and makes calls fail.
//
// Register makes it the default VFS, on top of SQLite's own, so it lies below a VFS
// that is registered afterwards. It passes on all calls, and ignores files in
// folders without a Disk. The wal-index (-shm) isn't recorded: it doesn't survive a
// power cut.
package faultvfs

import (
	"os"
	"path/filepath"
	"sync"
	"unsafe"

	"modernc.org/libc"
	sqlite "modernc.org/sqlite/lib"

	"chatd/model/vfs"
)

// Register makes this VFS the default one. Call it before any database is opened.
// Any goroutine may call it, and more than once.
func Register() error { return register() }

var (
	register    = sync.OnceValue(add)
	belowOpen   vfs.OpenFunc
	belowDelete vfs.DeleteFunc
	disks       sync.Map // folder to *Disk
	files       sync.Map // address of an open file to *file
)

func add() error {
	evict := vfs.Evict
	vfs.Evict = func(path string) {
		evict(path)
		if v, ok := disks.Load(filepath.Dir(path)); ok {
			v.(*Disk).evicted(path)
		}
	}
	return vfs.Register("faultvfs", true, func(v *sqlite.Tsqlite3_vfs) {
		belowOpen = vfs.Function[vfs.OpenFunc](v.FxOpen)
		belowDelete = vfs.Function[vfs.DeleteFunc](v.FxDelete)
		v.FxOpen = vfs.Pointer(vfs.OpenFunc(openFile))
		v.FxDelete = vfs.Pointer(vfs.DeleteFunc(deleteFile))
	})
}

// file is an open file. SQLite uses it from one goroutine at a time.
type file struct {
	disk    *Disk
	inode   int
	path    string
	syncDir bool // the next sync also syncs the folder: SQLite's VFS does that for new journals

	methods  uintptr    // the method table that SQLite uses
	read     vfs.IOFunc // this and the following are methods of the VFS below
	write    vfs.IOFunc
	sync     vfs.SyncFunc
	truncate vfs.TruncateFunc
	close    vfs.CloseFunc
}

func fileOf(p uintptr) *file {
	f, _ := files.Load(p)
	return f.(*file)
}

// diskOf returns the Disk of a file, or nil.
func diskOf(name uintptr) (d *Disk, path string) {
	if name == 0 {
		return nil, "" // a temporary file
	}
	path = libc.GoString(name)
	if v, ok := disks.Load(filepath.Dir(path)); ok {
		d = v.(*Disk)
	}
	return d, path
}

func openFile(tls *libc.TLS, v, name, p uintptr, flags int32, outFlags uintptr) int32 {
	d, path := diskOf(name)
	if d == nil {
		return belowOpen(tls, v, name, p, flags, outFlags)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	rc := belowOpen(tls, v, name, p, flags, outFlags)
	if rc != sqlite.SQLITE_OK {
		return rc
	}
	const journals = sqlite.SQLITE_OPEN_WAL | sqlite.SQLITE_OPEN_MAIN_JOURNAL
	f := &file{disk: d, inode: d.opened(path), path: path, syncDir: flags&sqlite.SQLITE_OPEN_CREATE != 0 && flags&journals != 0}
	f.methods = vfs.Replace(tls, p, func(m *sqlite.Tsqlite3_io_methods) {
		f.read, m.FxRead = vfs.Function[vfs.IOFunc](m.FxRead), vfs.Pointer(vfs.IOFunc(readFile))
		f.write, m.FxWrite = vfs.Function[vfs.IOFunc](m.FxWrite), vfs.Pointer(vfs.IOFunc(writeFile))
		f.sync, m.FxSync = vfs.Function[vfs.SyncFunc](m.FxSync), vfs.Pointer(vfs.SyncFunc(syncFile))
		f.truncate, m.FxTruncate = vfs.Function[vfs.TruncateFunc](m.FxTruncate), vfs.Pointer(vfs.TruncateFunc(truncateFile))
		f.close, m.FxClose = vfs.Function[vfs.CloseFunc](m.FxClose), vfs.Pointer(vfs.CloseFunc(closeFile))
	})
	if f.methods == 0 {
		panic("faultvfs: out of memory")
	}
	files.Store(p, f)
	return rc
}

func deleteFile(tls *libc.TLS, v, name uintptr, syncDir int32) int32 {
	d, path := diskOf(name)
	if d == nil {
		return belowDelete(tls, v, name, syncDir)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	rc := belowDelete(tls, v, name, syncDir)
	if rc == sqlite.SQLITE_OK {
		d.record(op{kind: opDelete, name: filepath.Base(path)})
		if syncDir != 0 {
			d.record(op{kind: opSyncDir})
		}
	}
	return rc
}

func readFile(tls *libc.TLS, p, to uintptr, n int32, offset sqlite.Tsqlite3_int64) int32 {
	f := fileOf(p)
	f.disk.mu.Lock()
	fault := f.disk.fails(Read, f.path)
	f.disk.mu.Unlock()
	if fault != nil && !fault.Silent {
		return fault.code()
	}
	return f.read(tls, p, to, n, offset)
}

func writeFile(tls *libc.TLS, p, from uintptr, n int32, offset sqlite.Tsqlite3_int64) int32 {
	f := fileOf(p)
	d := f.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	fault := d.fails(Write, f.path)
	if fault != nil {
		if n = n / 2; !fault.Torn || n == 0 {
			return fault.code()
		}
	}
	rc := f.write(tls, p, from, n, offset)
	if rc == sqlite.SQLITE_OK {
		d.wrote(f, op{kind: opWrite, inode: f.inode, offset: offset, data: append([]byte(nil), unsafe.Slice(vfs.At[byte](from), n)...)})
	}
	if fault != nil {
		return fault.code()
	}
	return rc
}

func syncFile(tls *libc.TLS, p uintptr, flags int32) int32 {
	f := fileOf(p)
	d := f.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if fault := d.fails(Sync, f.path); fault != nil {
		d.record(op{kind: opSyncFailed, inode: f.inode})
		if fault.Drop {
			d.drop(f.inode, func(offset int64, b []byte) bool {
				return f.write(tls, p, uintptr(unsafe.Pointer(&b[0])), int32(len(b)), offset) == sqlite.SQLITE_OK
			})
		}
		return fault.code()
	}
	if d.bug == SkipsSync && isLog(f.path) {
		return sqlite.SQLITE_OK
	}
	rc := f.sync(tls, p, flags)
	if rc == sqlite.SQLITE_OK {
		d.synced(f)
	}
	return rc
}

func truncateFile(tls *libc.TLS, p uintptr, size sqlite.Tsqlite3_int64) int32 {
	f := fileOf(p)
	d := f.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if fault := d.fails(Truncate, f.path); fault != nil {
		return fault.code()
	}
	rc := f.truncate(tls, p, size)
	if rc == sqlite.SQLITE_OK {
		d.record(op{kind: opTruncate, inode: f.inode, offset: size})
	}
	return rc
}

func closeFile(tls *libc.TLS, p uintptr) int32 {
	f := fileOf(p)
	files.Delete(p)
	rc := f.close(tls, p)
	libc.Xfree(tls, f.methods)
	return rc
}

// contents returns what a file has, and nothing if it doesn't exist.
func contents(path string) []byte {
	b, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		panic(err)
	}
	return b
}
