// Package walwriter is an SQLite VFS that writes a commit in few system calls.
// SQLite writes each page of its write-ahead log (WAL) in two calls: a header of
// 24 bytes, and the page. A commit of twenty chat messages takes over a hundred
// calls, although its pages are contiguous. This VFS buffers them until SQLite
// syncs or reads the log, and writes up to 124 KiB per call.
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
	"errors"
	"sync"
	"unsafe"

	"modernc.org/libc"
	sqlite "modernc.org/sqlite/lib"
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
	base     openFunc // xOpen of the default VFS
	logs     sync.Map // open logs: the file's address to *log
)

func add() error {
	tls := libc.NewTLS()
	defer tls.Close()
	below := sqlite.Xsqlite3_vfs_find(tls, 0)
	if below == 0 {
		return errors.New("walwriter: SQLite has no default VFS")
	}
	own := libc.Xcalloc(tls, 1, libc.Tsize_t(unsafe.Sizeof(sqlite.Tsqlite3_vfs{})))
	name, err := libc.CString(Name)
	if own == 0 || err != nil {
		return errors.New("walwriter: out of memory")
	}
	v := at[sqlite.Tsqlite3_vfs](own)
	*v = *at[sqlite.Tsqlite3_vfs](below)
	base = function[openFunc](v.FxOpen)
	v.FpNext, v.FzName, v.FxOpen = 0, name, pointer(openFile)
	if sqlite.Xsqlite3_vfs_register(tls, own, 0) != sqlite.SQLITE_OK {
		return errors.New("walwriter: sqlite3_vfs_register failed")
	}
	return nil
}

// openFile opens a file with the default VFS. If it is a write-ahead log, it replaces
// the file's methods.
func openFile(tls *libc.TLS, vfs, name, file uintptr, flags int32, outFlags uintptr) int32 {
	rc := base(tls, vfs, name, file, flags, outFlags)
	if rc != sqlite.SQLITE_OK || flags&sqlite.SQLITE_OPEN_WAL == 0 {
		return rc
	}
	methods := &at[sqlite.Tsqlite3_file](file).FpMethods
	own := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(sqlite.Tsqlite3_io_methods{})))
	if own == 0 {
		return rc // the log works without walwriter
	}
	below := at[sqlite.Tsqlite3_io_methods](*methods)
	l := &log{
		methods:  own,
		read:     function[ioFunc](below.FxRead),
		write:    function[ioFunc](below.FxWrite),
		sync:     function[syncFunc](below.FxSync),
		truncate: function[truncateFunc](below.FxTruncate),
		size:     function[sizeFunc](below.FxFileSize),
		close:    function[closeFunc](below.FxClose),
	}
	m := at[sqlite.Tsqlite3_io_methods](own)
	*m = *below
	m.FxRead, m.FxWrite, m.FxSync = pointer(readLog), pointer(writeLog), pointer(syncLog)
	m.FxTruncate, m.FxFileSize, m.FxClose = pointer(truncateLog), pointer(sizeOfLog), pointer(closeLog)
	*methods = own
	logs.Store(file, l)
	return rc
}

// log is an open write-ahead log. SQLite uses it from one goroutine at a time.
type log struct {
	methods  uintptr // the method table that SQLite uses
	read     ioFunc  // this and the following are methods of the default VFS
	write    ioFunc
	sync     syncFunc
	truncate truncateFunc
	size     sizeFunc
	close    closeFunc

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
	l.buffered = append(l.buffered, unsafe.Slice(at[byte](p), n)...)
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

// The types of SQLite's functions, as modernc.org/sqlite translates them.
type (
	openFunc     func(tls *libc.TLS, vfs, name, file uintptr, flags int32, outFlags uintptr) int32
	ioFunc       func(tls *libc.TLS, file, p uintptr, n int32, offset sqlite.Tsqlite3_int64) int32
	syncFunc     func(tls *libc.TLS, file uintptr, flags int32) int32
	truncateFunc func(tls *libc.TLS, file uintptr, size sqlite.Tsqlite3_int64) int32
	sizeFunc     func(tls *libc.TLS, file, size uintptr) int32
	closeFunc    func(tls *libc.TLS, file uintptr) int32
)

// at returns a pointer to the C structure at address. A plain conversion would do
// the same, but go vet reports it as a misuse of unsafe.Pointer.
func at[T any](address uintptr) *T { return *(**T)(unsafe.Pointer(&address)) }

// function converts a C function pointer to a Go function, and pointer a Go function
// to a C function pointer. pointer takes only top-level functions: the garbage
// collector would free a closure.
func function[F any](address uintptr) F { return *(*F)(unsafe.Pointer(&address)) }
func pointer[F any](f F) uintptr        { return *(*uintptr)(unsafe.Pointer(&f)) }
