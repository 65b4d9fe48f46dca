// Package vfs lets Go functions stand between SQLite and the operating system. It
// registers a VFS that is a copy of SQLite's default one with some functions
// replaced, and replaces methods of open files.
//
// The package casts to internal structures of modernc.org/sqlite. The tests of
// walwriter check them, and say what to do after an upgrade of that library.
package vfs

import (
	"fmt"
	"unsafe"

	"modernc.org/libc"
	sqlite "modernc.org/sqlite/lib"
)

// The types of SQLite's functions, as modernc.org/sqlite translates them.
type (
	OpenFunc     func(tls *libc.TLS, vfs, name, file uintptr, flags int32, outFlags uintptr) int32
	DeleteFunc   func(tls *libc.TLS, vfs, name uintptr, syncDir int32) int32
	IOFunc       func(tls *libc.TLS, file, p uintptr, n int32, offset sqlite.Tsqlite3_int64) int32
	SyncFunc     func(tls *libc.TLS, file uintptr, flags int32) int32
	TruncateFunc func(tls *libc.TLS, file uintptr, size sqlite.Tsqlite3_int64) int32
	SizeFunc     func(tls *libc.TLS, file, size uintptr) int32
	CloseFunc    func(tls *libc.TLS, file uintptr) int32
)

// Register registers a VFS on top of the default one. change gets a copy of the
// default VFS and replaces functions in it; it can keep the previous ones. With
// isDefault, the new VFS becomes the default. A VFS can't be removed. Any goroutine
// may call Register; it doesn't block.
func Register(name string, isDefault bool, change func(v *sqlite.Tsqlite3_vfs)) error {
	tls := libc.NewTLS()
	defer tls.Close()
	below := sqlite.Xsqlite3_vfs_find(tls, 0)
	if below == 0 {
		return fmt.Errorf("VFS %s: SQLite has no default VFS", name)
	}
	own := libc.Xcalloc(tls, 1, libc.Tsize_t(unsafe.Sizeof(sqlite.Tsqlite3_vfs{})))
	zName, err := libc.CString(name)
	if own == 0 || err != nil {
		return fmt.Errorf("VFS %s: out of memory", name)
	}
	v := At[sqlite.Tsqlite3_vfs](own)
	*v = *At[sqlite.Tsqlite3_vfs](below)
	v.FpNext, v.FzName = 0, zName
	change(v)
	if sqlite.Xsqlite3_vfs_register(tls, own, libc.BoolInt32(isDefault)) != sqlite.SQLITE_OK {
		return fmt.Errorf("VFS %s: sqlite3_vfs_register failed", name)
	}
	return nil
}

// Replace gives an open file a method table of its own: a copy of the current one,
// in which change replaces methods. Free the table with libc.Xfree once the file is
// closed. It returns 0, and changes nothing, if memory is short.
func Replace(tls *libc.TLS, file uintptr, change func(m *sqlite.Tsqlite3_io_methods)) (table uintptr) {
	methods := &At[sqlite.Tsqlite3_file](file).FpMethods
	own := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(sqlite.Tsqlite3_io_methods{})))
	if own == 0 {
		return 0
	}
	m := At[sqlite.Tsqlite3_io_methods](own)
	*m = *At[sqlite.Tsqlite3_io_methods](*methods)
	change(m)
	*methods = own
	return own
}

// Evict makes the operating system forget what it keeps of a file in memory, so that
// reads get what the disk has. Sync the file first. It must not be the database file:
// closing it releases SQLite's locks. It does nothing on systems other than Linux.
// Tests of power cuts replace it.
var Evict = evict

// At returns a pointer to the C structure at address. A plain conversion would do
// the same, but go vet reports it as a misuse of unsafe.Pointer.
func At[T any](address uintptr) *T { return *(**T)(unsafe.Pointer(&address)) }

// Function converts a C function pointer to a Go function, and Pointer a Go function
// to a C function pointer. Pointer takes only top-level functions: the garbage
// collector would free a closure.
func Function[F any](address uintptr) F { return *(*F)(unsafe.Pointer(&address)) }
func Pointer[F any](f F) uintptr        { return *(*uintptr)(unsafe.Pointer(&f)) }
