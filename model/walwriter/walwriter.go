// Package walwriter is a SQLite VFS that writes a commit in few system calls.
// SQLite writes each page of its write-ahead log (WAL) in two calls: a header of
// 24 bytes, and the page. A commit takes many calls, although its pages are
// contiguous. This VFS buffers them until SQLite syncs or reads the log, and writes
// up to 124 KiB per call.
//
// Use it only with synchronous=FULL: SQLite then syncs the log at the end of each
// commit, before other connections can see it. With NORMAL they would see pages
// that aren't written yet. If several processes write, use it only with
// cache_spill=0: otherwise pages of a transaction that was rolled back could be
// written late, over what another process has committed there.
//
// The package casts to internal structures and functions of modernc.org/sqlite.
// layout_test.go checks them, and says what to do after an upgrade of that library.
package walwriter

import (
	"sync"
	"unsafe"

	"modernc.org/libc"
	sqlite "modernc.org/sqlite/lib"

	"chatd/model/vfs"
)

// Name is the name of the VFS in a DSN: vfs=walwriter.
const Name = "walwriter"

// maxBuffered limits the buffer, and so the size of a write, in bytes. SQLite's VFS
// for Unix takes the size of a write modulo 128 KiB.
const maxBuffered = 124 << 10

// Register registers the VFS with SQLite, on top of the default VFS. Any goroutine
// may call it, and more than once; it doesn't block.
func Register() error { return register() }

// A VFS and what it points to stay allocated as long as the process lives.
var (
	register = sync.OnceValue(add)
	base     vfs.OpenFunc // xOpen of the default VFS
	logs     sync.Map     // open logs: the file's address to *log
)

func add() error {
	return vfs.Register(Name, false, func(v *sqlite.Tsqlite3_vfs) {
		base = vfs.Function[vfs.OpenFunc](v.FxOpen)
		v.FxOpen = vfs.Pointer(vfs.OpenFunc(openFile))
	})
}

// openFile opens a file with the default VFS. If it is a write-ahead log, it replaces
// the file's methods, and makes sure that everything this process will read from it is
// on the disk. Otherwise a power cut could take away commits that this process has
// found and acknowledged, with everything behind them:
//   - Another process may have been killed between writing a commit and syncing it.
//   - Its sync may have failed before it was killed. Then Linux keeps the pages in
//     memory but never writes them, even if later syncs succeed.
func openFile(tls *libc.TLS, v, name, file uintptr, flags int32, outFlags uintptr) int32 {
	rc := base(tls, v, name, file, flags, outFlags)
	if rc != sqlite.SQLITE_OK || flags&sqlite.SQLITE_OPEN_WAL == 0 {
		return rc
	}
	l := new(log)
	l.methods = vfs.Replace(tls, file, func(m *sqlite.Tsqlite3_io_methods) {
		l.read, m.FxRead = vfs.Function[vfs.IOFunc](m.FxRead), vfs.Pointer(vfs.IOFunc(readLog))
		l.write, m.FxWrite = vfs.Function[vfs.IOFunc](m.FxWrite), vfs.Pointer(vfs.IOFunc(writeLog))
		l.sync, m.FxSync = vfs.Function[vfs.SyncFunc](m.FxSync), vfs.Pointer(vfs.SyncFunc(syncLog))
		l.truncate, m.FxTruncate = vfs.Function[vfs.TruncateFunc](m.FxTruncate), vfs.Pointer(vfs.TruncateFunc(truncateLog))
		l.size, m.FxFileSize = vfs.Function[vfs.SizeFunc](m.FxFileSize), vfs.Pointer(vfs.SizeFunc(sizeOfLog))
		l.close, m.FxClose = vfs.Function[vfs.CloseFunc](m.FxClose), vfs.Pointer(vfs.CloseFunc(closeLog))
	})
	if l.methods == 0 {
		return rc // the log works without walwriter
	}
	logs.Store(file, l)
	if rc = l.sync(tls, file, sqlite.SQLITE_SYNC_NORMAL); rc == sqlite.SQLITE_OK {
		vfs.Evict(libc.GoString(name))
	}
	return rc // after an error, SQLite closes the file
}

// log is an open write-ahead log. SQLite uses it from one goroutine at a time.
type log struct {
	methods  uintptr    // the method table that SQLite uses
	read     vfs.IOFunc // this and the following are methods of the default VFS
	write    vfs.IOFunc
	sync     vfs.SyncFunc
	truncate vfs.TruncateFunc
	size     vfs.SizeFunc
	close    vfs.CloseFunc

	buffered []byte                // not written yet
	offset   sqlite.Tsqlite3_int64 // of buffered in the file
}

func logOf(file uintptr) *log {
	l, _ := logs.Load(file)
	return l.(*log)
}

// flush writes the buffer. It discards the buffer even if the write fails: SQLite
// then rolls the transaction back and writes the next one to the same offset.
func (l *log) flush(tls *libc.TLS, file uintptr) int32 {
	if len(l.buffered) == 0 {
		return sqlite.SQLITE_OK
	}
	rc := l.write(tls, file, uintptr(unsafe.Pointer(&l.buffered[0])), int32(len(l.buffered)), l.offset)
	l.buffered = l.buffered[:0]
	return rc
}

func writeLog(tls *libc.TLS, file, p uintptr, n int32, offset sqlite.Tsqlite3_int64) int32 {
	l := logOf(file)
	if offset != l.offset+sqlite.Tsqlite3_int64(len(l.buffered)) || len(l.buffered)+int(n) > maxBuffered {
		if rc := l.flush(tls, file); rc != sqlite.SQLITE_OK {
			return rc
		}
	}
	if len(l.buffered) == 0 {
		l.offset = offset
	}
	l.buffered = append(l.buffered, unsafe.Slice(vfs.At[byte](p), n)...)
	return sqlite.SQLITE_OK
}

func readLog(tls *libc.TLS, file, p uintptr, n int32, offset sqlite.Tsqlite3_int64) int32 {
	l := logOf(file)
	if rc := l.flush(tls, file); rc != sqlite.SQLITE_OK {
		return rc
	}
	return l.read(tls, file, p, n, offset)
}

func syncLog(tls *libc.TLS, file uintptr, flags int32) int32 {
	l := logOf(file)
	if rc := l.flush(tls, file); rc != sqlite.SQLITE_OK {
		return rc
	}
	return l.sync(tls, file, flags)
}

func truncateLog(tls *libc.TLS, file uintptr, size sqlite.Tsqlite3_int64) int32 {
	l := logOf(file)
	if rc := l.flush(tls, file); rc != sqlite.SQLITE_OK {
		return rc
	}
	return l.truncate(tls, file, size)
}

func sizeOfLog(tls *libc.TLS, file, size uintptr) int32 {
	l := logOf(file)
	if rc := l.flush(tls, file); rc != sqlite.SQLITE_OK {
		return rc
	}
	return l.size(tls, file, size)
}

// closeLog discards the buffer. Nothing is lost: a commit ends with a sync, which
// writes the buffer.
func closeLog(tls *libc.TLS, file uintptr) int32 {
	l := logOf(file)
	logs.Delete(file)
	rc := l.close(tls, file)
	libc.Xfree(tls, l.methods)
	return rc
}
