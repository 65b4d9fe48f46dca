// Package walwriter spares SQLite most of the system calls of a commit. SQLite
// writes each page of its write-ahead log in two calls, a header of 24 bytes and
// the page, though all pages of a transaction lie one behind the other: a
// commit of twenty chat messages is over a hundred calls. Here they gather in
// memory until SQLite syncs the log, or looks at it, and are written in one, or
// in pieces of 124 KiB.
//
// That is for connections with synchronous=FULL alone: these sync the log at
// the end of a commit, and tell other connections of it afterwards. With NORMAL
// others would be told of what isn't written yet. And where several processes
// write, it is for connections with cache_spill=0: pages that were spilled by a
// transaction, gathered, and taken back with it would be written later, over
// what others have committed there.
package walwriter

import (
	"errors"
	"sync"
	"unsafe"

	"modernc.org/libc"
	sqlite "modernc.org/sqlite/lib"
)

// Name is what a DSN asks for it by: vfs=walwriter.
const Name = "walwriter"

// maxGathered is how much is written at a time, and so bounds what gathers: SQLite's
// VFS for Unix takes the size of a write modulo 128 KiB.
const maxGathered = 124 << 10

// Register makes the VFS known to SQLite, on top of its default one. Any
// goroutine may call it, again too; it doesn't block. An error says that SQLite
// can't take it.
func Register() error { return register() }

// SQLite keeps a VFS, and what it points to, as long as the process lasts.
var (
	register = sync.OnceValue(add)
	base     openFunc // of the VFS beneath
	logs     sync.Map // of file to *log: those that are open
)

func add() error {
	tls := libc.NewTLS()
	defer tls.Close()
	beneath := sqlite.Xsqlite3_vfs_find(tls, 0)
	if beneath == 0 {
		return errors.New("walwriter: SQLite has no VFS to build on")
	}
	own := libc.Xcalloc(tls, 1, libc.Tsize_t(unsafe.Sizeof(sqlite.Tsqlite3_vfs{})))
	name, err := libc.CString(Name)
	if own == 0 || err != nil {
		return errors.New("walwriter: out of memory")
	}
	v := at[sqlite.Tsqlite3_vfs](own)
	*v = *at[sqlite.Tsqlite3_vfs](beneath)
	base = function[openFunc](v.FxOpen)
	v.FpNext, v.FzName, v.FxOpen = 0, name, pointer(openFile)
	if sqlite.Xsqlite3_vfs_register(tls, own, 0) != sqlite.SQLITE_OK {
		return errors.New("walwriter: SQLite takes no other VFS")
	}
	return nil
}

// openFile opens a file with the VFS beneath, and takes it over if it is a
// write-ahead log.
func openFile(tls *libc.TLS, vfs, name, file uintptr, flags int32, outFlags uintptr) int32 {
	rc := base(tls, vfs, name, file, flags, outFlags)
	if rc != sqlite.SQLITE_OK || flags&sqlite.SQLITE_OPEN_WAL == 0 {
		return rc
	}
	methods := &at[sqlite.Tsqlite3_file](file).FpMethods
	own := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(sqlite.Tsqlite3_io_methods{})))
	if own == 0 {
		return rc // it works without
	}
	beneath := at[sqlite.Tsqlite3_io_methods](*methods)
	l := &log{
		methods:  own,
		read:     function[ioFunc](beneath.FxRead),
		write:    function[ioFunc](beneath.FxWrite),
		sync:     function[syncFunc](beneath.FxSync),
		truncate: function[truncateFunc](beneath.FxTruncate),
		size:     function[sizeFunc](beneath.FxFileSize),
		close:    function[closeFunc](beneath.FxClose),
	}
	m := at[sqlite.Tsqlite3_io_methods](own)
	*m = *beneath
	m.FxRead, m.FxWrite, m.FxSync = pointer(readLog), pointer(writeLog), pointer(syncLog)
	m.FxTruncate, m.FxFileSize, m.FxClose = pointer(truncateLog), pointer(sizeOfLog), pointer(closeLog)
	*methods = own
	logs.Store(file, l)
	return rc
}

// log is an open write-ahead log. SQLite uses it from one goroutine at a time.
type log struct {
	methods  uintptr // ours, which SQLite calls
	read     ioFunc  // these are of the VFS beneath
	write    ioFunc
	sync     syncFunc
	truncate truncateFunc
	size     sizeFunc
	close    closeFunc

	gathered []byte // not written yet
	offset   sqlite.Tsqlite3_int64
}

func logOf(file uintptr) *log {
	l, _ := logs.Load(file)
	return l.(*log)
}

// flush writes what has gathered. If that fails it is forgotten: SQLite takes
// the transaction back, and writes the next one in its place.
func (l *log) flush(tls *libc.TLS, file uintptr) int32 {
	if len(l.gathered) == 0 {
		return sqlite.SQLITE_OK
	}
	rc := l.write(tls, file, uintptr(unsafe.Pointer(&l.gathered[0])), int32(len(l.gathered)), l.offset)
	l.gathered = l.gathered[:0]
	return rc
}

func writeLog(tls *libc.TLS, file, p uintptr, n int32, offset sqlite.Tsqlite3_int64) int32 {
	l := logOf(file)
	if offset != l.offset+sqlite.Tsqlite3_int64(len(l.gathered)) || len(l.gathered)+int(n) > maxGathered {
		if rc := l.flush(tls, file); rc != sqlite.SQLITE_OK {
			return rc
		}
	}
	if len(l.gathered) == 0 {
		l.offset = offset
	}
	l.gathered = append(l.gathered, unsafe.Slice(at[byte](p), n)...)
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

// closeLog throws away what has gathered: of a commit nothing is left over.
func closeLog(tls *libc.TLS, file uintptr) int32 {
	l := logOf(file)
	logs.Delete(file)
	rc := l.close(tls, file)
	libc.Xfree(tls, l.methods)
	return rc
}

// The functions of a VFS and of its files, as SQLite calls them.
type (
	openFunc     func(tls *libc.TLS, vfs, name, file uintptr, flags int32, outFlags uintptr) int32
	ioFunc       func(tls *libc.TLS, file, p uintptr, n int32, offset sqlite.Tsqlite3_int64) int32
	syncFunc     func(tls *libc.TLS, file uintptr, flags int32) int32
	truncateFunc func(tls *libc.TLS, file uintptr, size sqlite.Tsqlite3_int64) int32
	sizeFunc     func(tls *libc.TLS, file, size uintptr) int32
	closeFunc    func(tls *libc.TLS, file uintptr) int32
)

// at is the C structure at an address. (Not a plain conversion: to go vet that
// looks like a pointer of Go's that was hidden in a number.)
func at[T any](address uintptr) *T { return *(**T)(unsafe.Pointer(&address)) }

// function is the function behind a C pointer, and pointer the other way
// round, for functions of packages: closures would be collected as garbage.
func function[F any](address uintptr) F { return *(*F)(unsafe.Pointer(&address)) }
func pointer[F any](f F) uintptr        { return *(*uintptr)(unsafe.Pointer(&f)) }
