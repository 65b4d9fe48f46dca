package reactor

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Code that may block doesn't compile on a loop, and code that touches a connection
// doesn't compile off the loop. Each snippet in testdata/tokens is the body of a
// handler. Its first line names the compile error that it must cause, or "nothing".
func TestTokens(t *testing.T) {
	fset := token.NewFileSet()
	from := importer.ForCompiler(fset, "gc", exportData(t))
	files, err := filepath.Glob("testdata/tokens/*.txt")
	if err != nil || len(files) < 5 {
		t.Fatalf("found snippets %v, error %v; want at least 5", files, err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			first, body, _ := strings.Cut(string(b), "\n")
			want, ok := strings.CutPrefix(first, "// want: ")
			if !ok {
				t.Fatalf("first line of %s = %q, want \"// want: \" and the expected error", name, first)
			}
			src := `package p
				import ("context"; . "chatd/reactor"; "chatd/proto")
				type Store interface { Load(ctx context.Context, id int64) (string, error) }
				func handler(t Turn, c *Conn, r *proto.Request, s Store) error {` + body + `
				return nil }`
			f, err := parser.ParseFile(fset, name+".go", src, 0)
			if err != nil {
				t.Fatal(err)
			}
			var faults []string
			conf := types.Config{Importer: from, Error: func(err error) { faults = append(faults, err.Error()) }}
			_, _ = conf.Check("p", fset, []*ast.File{f}, nil) // errors go to conf.Error
			got := strings.Join(faults, "\n")
			if want == "nothing" {
				if got != "" {
					t.Errorf("compile errors = %q, want none", got)
				}
			} else if !strings.Contains(got, want) {
				t.Errorf("compile errors = %q, want one with %q", got, want)
			}
		})
	}
}

// exportData returns a lookup of compiled packages in the build cache. That is much
// faster than type-checking the sources.
func exportData(t *testing.T) importer.Lookup {
	t.Helper()
	out, err := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", "chatd/reactor").Output()
	if err != nil {
		t.Fatal("go list:", err)
	}
	at := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		at[path] = file
	}
	return func(path string) (io.ReadCloser, error) { return os.Open(at[path]) }
}
