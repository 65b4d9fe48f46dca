package walwriter

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	gotypes "go/types"
	"os"
	osexec "os/exec"
	"path"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	sqlite "modernc.org/sqlite/lib"

	"chatd/model/vfs"
)

// The versions that walwriter was last checked with. checkedLibc must be the one
// that go.mod of modernc.org/sqlite requires.
const (
	checkedSQLite = "v1.62.0"
	checkedLibc   = "v1.80.1"
)

// whatToDo ends the message of each failure in this file.
const whatToDo = `
walwriter relies on internals of modernc.org/sqlite. If you upgrade that library:
  1. Pin modernc.org/libc to the version in the new go.mod of modernc.org/sqlite.
  2. Read its CHANGELOG.md, and SQLite's, for changes of the VFS, of
     sqlite3_io_methods, and of how the write-ahead log is written and synced.
  3. If a test here reports that a structure or a function has changed, change
     walwriter.go, model/vfs and model/faultvfs, and then the test. A new method in
     sqlite3_io_methods that reads or writes the file must flush first, as readLog
     does.
  4. Set checkedSQLite and checkedLibc, and run: go test -race ./model/...
To go back instead, restore both versions in go.mod.`

// goList returns the output of go list, without the final newline.
func goList(t *testing.T, args ...string) string {
	t.Helper()
	out, err := osexec.Command("go", append([]string{"list"}, args...)...).Output()
	if err != nil {
		t.Fatalf("go list %v: %v", args, err)
	}
	return strings.TrimSpace(string(out))
}

// The libraries have the versions that walwriter was checked with. An upgrade needs
// the steps of whatToDo, even if all other tests pass.
func TestVersions(t *testing.T) {
	for module, want := range map[string]string{"modernc.org/sqlite": checkedSQLite, "modernc.org/libc": checkedLibc} {
		if got := goList(t, "-m", "-f", "{{.Version}}{{with .Replace}} replaced by {{.Path}}{{end}}", module); got != want {
			t.Errorf("version of %s = %s, want %s.%s", module, got, want, whatToDo)
		}
	}
	mod, err := os.ReadFile(goList(t, "-m", "-f", "{{.GoMod}}", "modernc.org/sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(mod, []byte("modernc.org/libc "+checkedLibc+"\n")) {
		t.Errorf("go.mod of modernc.org/sqlite, want it to require modernc.org/libc %s:\n%s%s", checkedLibc, mod, whatToDo)
	}
}

// The structures have the fields of SQLite's C headers, at the same offsets.
func TestLayout(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("only checks 64-bit systems")
	}
	for _, tc := range []struct {
		name string
		of   any
		want string // name, type and offset of each field, then the size
	}{
		{"sqlite3_file", sqlite.Tsqlite3_file{}, "FpMethods uintptr 0, size 8"},
		{"sqlite3_io_methods", sqlite.Tsqlite3_io_methods{}, "FiVersion int32 0, FxClose uintptr 8, FxRead uintptr 16, FxWrite uintptr 24, FxTruncate uintptr 32, " +
			"FxSync uintptr 40, FxFileSize uintptr 48, FxLock uintptr 56, FxUnlock uintptr 64, FxCheckReservedLock uintptr 72, " +
			"FxFileControl uintptr 80, FxSectorSize uintptr 88, FxDeviceCharacteristics uintptr 96, FxShmMap uintptr 104, FxShmLock uintptr 112, " +
			"FxShmBarrier uintptr 120, FxShmUnmap uintptr 128, FxFetch uintptr 136, FxUnfetch uintptr 144, size 152"},
		{"sqlite3_vfs", sqlite.Tsqlite3_vfs{}, "FiVersion int32 0, FszOsFile int32 4, FmxPathname int32 8, FpNext uintptr 16, FzName uintptr 24, " +
			"FpAppData uintptr 32, FxOpen uintptr 40, FxDelete uintptr 48, FxAccess uintptr 56, FxFullPathname uintptr 64, FxDlOpen uintptr 72, " +
			"FxDlError uintptr 80, FxDlSym uintptr 88, FxDlClose uintptr 96, FxRandomness uintptr 104, FxSleep uintptr 112, " +
			"FxCurrentTime uintptr 120, FxGetLastError uintptr 128, FxCurrentTimeInt64 uintptr 136, FxSetSystemCall uintptr 144, " +
			"FxGetSystemCall uintptr 152, FxNextSystemCall uintptr 160, size 168"},
	} {
		s := reflect.TypeOf(tc.of)
		var got strings.Builder
		for i := range s.NumField() {
			f := s.Field(i)
			fmt.Fprintf(&got, "%s %s %d, ", f.Name, f.Type, f.Offset)
		}
		fmt.Fprintf(&got, "size %d", s.Size())
		if got.String() != tc.want {
			t.Errorf("%s =\n%s\nwant\n%s.%s", tc.name, &got, tc.want, whatToDo)
		}
	}
}

// wantMethods is the method table of an open write-ahead log. Methods that read or
// write the log are walwriter's, the others SQLite's. (Methods for shared memory and
// mapping aren't called for the log, only for the database file.)
var wantMethods = map[string]string{
	"FxClose":                 "walwriter.closeLog",
	"FxRead":                  "walwriter.readLog",
	"FxWrite":                 "walwriter.writeLog",
	"FxTruncate":              "walwriter.truncateLog",
	"FxSync":                  "walwriter.syncLog",
	"FxFileSize":              "walwriter.sizeOfLog",
	"FxLock":                  "lib._nolockLock",
	"FxUnlock":                "lib._nolockUnlock",
	"FxCheckReservedLock":     "lib._nolockCheckReservedLock",
	"FxFileControl":           "lib._unixFileControl",
	"FxSectorSize":            "lib._unixSectorSize",
	"FxDeviceCharacteristics": "lib._unixDeviceCharacteristics",
	"FxShmMap":                "",
	"FxShmLock":               "lib._unixShmLock",
	"FxShmBarrier":            "lib._unixShmBarrier",
	"FxShmUnmap":              "lib._unixShmUnmap",
	"FxFetch":                 "lib._unixFetch",
	"FxUnfetch":               "lib._unixUnfetch",
}

// A C function pointer is the address of a word that holds the address of a Go
// function. The functions that walwriter calls are the expected ones, and have the
// types with which it calls them.
func TestFunctions(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("only checks the VFS for Unix")
	}
	db := open(t, filepath.Join(t.TempDir(), "x.db"), "&vfs="+Name)
	exec(t, db, `CREATE TABLE t (id INTEGER PRIMARY KEY)`)
	var l *log
	logs.Range(func(_, v any) bool { l = v.(*log); return false })
	if l == nil {
		t.Fatalf("SQLite has opened no write-ahead log through walwriter, want one.%s", whatToDo)
	}
	methods := reflect.ValueOf(*vfs.At[sqlite.Tsqlite3_io_methods](l.methods))
	for i := range methods.NumField() {
		field := methods.Type().Field(i).Name
		if field == "FiVersion" {
			if v := methods.Field(i).Int(); v != 3 {
				t.Errorf("version of sqlite3_io_methods = %d, want 3.%s", v, whatToDo)
			}
			continue
		}
		var got string
		if p := uintptr(methods.Field(i).Uint()); p != 0 {
			got = path.Base(runtime.FuncForPC(*vfs.At[uintptr](p)).Name())
		}
		if want, known := wantMethods[field]; !known {
			t.Errorf("sqlite3_io_methods has the unknown method %s.%s", field, whatToDo)
		} else if got != want {
			t.Errorf("%s of a write-ahead log = %q, want %q.%s", field, got, want, whatToDo)
		}
	}
	lib := goList(t, "-f", "{{.Dir}}", "modernc.org/sqlite/lib")
	for want, f := range map[string]any{
		"_unixOpen": base, "_unixRead": l.read, "_unixWrite": l.write, "_unixSync": l.sync,
		"_unixTruncate": l.truncate, "_unixFileSize": l.size, "_nolockClose": l.close,
	} {
		pc := reflect.ValueOf(f).Pointer()
		fn := runtime.FuncForPC(pc)
		if got := path.Base(fn.Name()); got != "lib."+want {
			t.Errorf("walwriter calls %s, want lib.%s.%s", got, want, whatToDo)
			continue
		}
		file, _ := fn.FileLine(pc)
		declared := declaration(t, filepath.Join(lib, filepath.Base(file)), want)
		declared = aliases.Replace(declared) // as reflect does
		in := reflect.TypeOf(f)
		var called strings.Builder
		for i := range in.NumIn() {
			fmt.Fprintf(&called, "%s ", in.In(i))
		}
		if fmt.Fprintf(&called, "-> %s", in.Out(0)); called.String() != declared {
			t.Errorf("walwriter calls %s with the type %s, want %s.%s", want, &called, declared, whatToDo)
		}
	}
}

// aliases are names of int64 in SQLite's sources. The blank variable makes the
// compiler check that.
var (
	aliases = strings.NewReplacer("Tsqlite3_int64", "int64", "Ti64", "int64")

	_ = []int64{sqlite.Tsqlite3_int64(0), sqlite.Ti64(0)}
)

// declaration returns the types of a function's parameters and result, as written
// in its source file.
func declaration(t *testing.T, file, name string) string {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := bytes.Cut(src, []byte("\nfunc "+name+"("))
	line, _, _ := bytes.Cut(rest, []byte(" {\n"))
	parsed, err := parser.ParseExpr("func(" + string(line))
	if !found || err != nil {
		t.Fatalf("%s: declaration of %s is missing or can't be parsed (error %v).%s", file, name, err, whatToDo)
	}
	f := parsed.(*ast.FuncType)
	var types strings.Builder
	for _, p := range f.Params.List {
		for range max(1, len(p.Names)) {
			types.WriteString(gotypes.ExprString(p.Type) + " ")
		}
	}
	for _, r := range f.Results.List {
		types.WriteString("-> " + gotypes.ExprString(r.Type))
	}
	return types.String()
}
