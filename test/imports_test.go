package test

import (
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "chatd"

// mayImport lists what each package of ours may import of ours, in its tests
// as well. A package that isn't listed is an error: it has to be given a place.
var mayImport = map[string][]string{
	".":                 {"internal/daemon"},
	"internal/daemon":   {"proto", "internal/setting", "reactor", "model", "service", "service/bus", "service/login", "service/trace", "service/ops"},
	"test":              {"internal/daemon", "client", "proto", "service/trace"}, // the whole project
	"proto":             {},
	"internal/limit":    {},
	"internal/setting":  {},
	"reactor":           {"proto", "internal/limit", "internal/setting"},
	"model":             {"internal/setting", "model/groupcommit", "model/sqldb"},
	"model/groupcommit": {}, // no SQL: a step that it declares runs the transactions
	"model/sqldb":       {"model/walwriter"},
	"model/walwriter":   {},
	// Imports among the packages of the service point down this list only.
	"service": {"proto", "internal/setting", "reactor", "model", "service/bus", "service/limits", "service/session", "service/presence",
		"service/delivery", "service/messages", "service/people", "service/groups", "service/login", "service/trace"},
	"service/login": {"proto", "internal/setting", "reactor", "model", "service/bus", "service/limits", "service/session", "service/presence",
		"service/delivery", "service/messages", "service/people", "service/groups"},
	"service/trace": {"proto", "model", "service/bus", "service/session", "service/presence", "service/delivery"},
	"service/people": {"proto", "internal/setting", "reactor", "model", "service/bus", "service/session", "service/presence",
		"service/delivery"},
	"service/groups":     {"proto", "internal/setting", "reactor", "model", "service/session", "service/presence", "service/delivery"},
	"service/messages":   {"proto", "reactor", "model", "service/bus", "service/limits", "service/session", "service/delivery"},
	"service/delivery":   {"proto", "internal/setting", "reactor", "model", "service/bus", "service/limits", "service/session", "service/presence"},
	"service/presence":   {"proto", "reactor", "model", "service/bus", "service/session"},
	"service/session":    {"proto", "internal/setting", "reactor", "model", "service/bus", "service/limits"},
	"service/limits":     {"proto", "internal/limit", "internal/setting"},
	"service/bus":        {"proto", "internal/setting"},
	"service/ops":        {"client/web", "internal/setting"}, // the files that it serves, once they are there
	"client":             {"proto"},
	"client/chat":        {"client", "client/chat/text", "client/chat/tui", "proto"},
	"client/chat/text":   {},
	"client/chat/tui":    {"client", "client/chat/text", "client/chat/widget", "proto"},
	"client/chat/widget": {"client/chat/text"},
	"client/demo":        {"client", "proto", "internal/services"}, // it starts a server of its own
	"client/web":         {},
	"client/web/sdk":     {"internal/services"}, // tests alone: the rest of it is JavaScript
	// The command line. Its tests run the whole program.
	"bench":               {"proto", "bench/scenario", "bench/target", "bench/report", "bench/crash", "internal/services"},
	"bench/scenario":      {"proto", "bench/load", "bench/target", "bench/report", "bench/floor"},
	"bench/load":          {"proto", "bench/target", "bench/report", "bench/floor"}, // of floor the frames its clients send
	"bench/target":        {"bench/report", "bench/floor", "internal/services"},
	"bench/report":        {"proto", "bench/report/plot"}, // neither load nor scenario
	"bench/report/plot":   {},
	"bench/benchtest":     {"proto"},
	"bench/crash":         {"client", "proto", "model", "internal/services"}, // the checker reads the log
	"bench/floor":         {},
	"docs/examples":       {},        // clients on the protocol alone
	"docs/examples/first": {},        // the same, short
	"proto/prototest":     {"proto"}, // the cases that drive the tests of codec and server

	"internal/turncheck":   {}, // a static check; it reads packages, it doesn't import them
	"internal/services":    {}, // started for tests and for measuring alike
	"internal/realservice": {"internal/services"},

	"client/web/browsertest": {"client", "internal/services"},
}

// forAnyTest is what tests of every package may import besides, and nothing
// else may.
var forAnyTest = []string{"proto/prototest", "internal/realservice", "bench/benchtest"}

// onlyIn lists who may import what is not ours: a path, and all beneath it.
// In tests so may testsOnly.
var onlyIn = map[string][]string{
	"github.com/panjf2000/gnet":  {"reactor", "bench/floor"},
	"github.com/jmoiron/sqlx":    {"model", "model/sqldb"},
	"github.com/pressly/goose":   {"model/sqldb"},
	"modernc.org/sqlite":         {"model/sqldb", "model/walwriter"},
	"modernc.org/libc":           {"model/walwriter"}, // what the driver's C calls
	"github.com/go-sql-driver":   {"model/sqldb"},
	"database/sql":               {"model", "model/sqldb", "model/walwriter"},
	"github.com/gomodule/redigo": {"service/bus"},
	"github.com/mna/redisc":      {"service/bus"},
	"github.com/gobwas/ws":       {"reactor", "client"},
	"golang.org/x/tools":         {"internal/turncheck"},
	"golang.org/x/perf":          {"bench/report"},
	"github.com/aclements":       {"bench/report"}, // what x/perf computes with
	"charm.land":                 {"client/chat/tui", "client/chat/widget"},
	"github.com/charmbracelet":   {"client/chat/text", "client/chat/tui", "client/chat/widget"},
	"net/http":                   {"service/ops", "client", "bench/target", "bench/crash", "internal/services"},
}

// nowhere lists what no file of ours imports, tests and examples aside.
var nowhere = map[string]string{
	"log":    "it writes through a global: take a *slog.Logger",
	"expvar": "it puts a handler into http.DefaultServeMux",

	"testing": "what is for tests alone is in internal/realservice",
}

// testsOnly lists the exceptions for tests, each with its reason.
var testsOnly = map[string][]string{
	"github.com/charmbracelet": {
		"client/chat", // gives the terminal client a terminal
	},
	"net/http": {
		"test",                   // asks a running node for /readyz and /metrics
		"reactor",                // an ordinary HTTP client shows what a browser gets from the chat port
		"client/web/browsertest", // WebDriver is HTTP
	},
	"github.com/santhosh-tekuri": {
		"proto", // holds docs/asyncapi.yaml against the schema of such documents, and messages against it
	},
}

// goFile is one file of ours and what it imports.
type goFile struct {
	name    string // from the top of the repository
	pkg     string // folder, "." for package main
	test    bool
	imports []string
}

// files lists every Go file of the module that go list knows, whatever its
// build constraints say.
func files(t *testing.T) []goFile {
	t.Helper()
	out, err := exec.Command("go", "list", "-e", "-json=ImportPath,Dir,GoFiles,IgnoredGoFiles,TestGoFiles,XTestGoFiles", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goFile
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath, Dir                                    string
			GoFiles, IgnoredGoFiles, TestGoFiles, XTestGoFiles []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		pkg := "."
		if p.ImportPath != module {
			pkg = strings.TrimPrefix(p.ImportPath, module+"/")
		}
		for _, name := range slices.Concat(p.GoFiles, p.IgnoredGoFiles, p.TestGoFiles, p.XTestGoFiles) {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.ImportsOnly)
			if err != nil {
				t.Errorf("%v", err)
				continue
			}
			file := goFile{name: path.Join(pkg, name), pkg: pkg, test: strings.HasSuffix(name, "_test.go")}
			for _, spec := range f.Imports {
				imported, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				file.imports = append(file.imports, imported)
			}
			all = append(all, file)
		}
	}
	return all
}

// The layers stay layers: who may import whom of our packages. A chat that
// knows its transport, or a store that knows the wire, starts with one import.
func TestInnerImports(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range files(t) {
		allowed, listed := mayImport[f.pkg]
		if !listed {
			if !seen[f.pkg] {
				t.Errorf("package %s has no line in mayImport: give it a place in the house", f.pkg)
			}
			seen[f.pkg] = true
			continue
		}
		for _, imported := range f.imports {
			inner, ours := strings.CutPrefix(imported, module+"/")
			if imported == module {
				inner, ours = ".", true
			}
			if f.test && slices.Contains(forAnyTest, inner) {
				continue
			}
			if ours && inner != f.pkg && !slices.Contains(allowed, inner) {
				t.Errorf("%s imports %s, which %s may not", f.name, imported, f.pkg)
			}
		}
	}
}

// Each library has one home: replacing it, or fencing off its traps, stays
// the work of one package.
func TestOuterImports(t *testing.T) {
	for _, f := range files(t) {
		for _, imported := range f.imports {
			if why, banned := nowhere[imported]; banned && !f.test && !slices.Contains(forAnyTest, f.pkg) {
				t.Errorf("%s imports %s: %s", f.name, imported, why)
			}
			for library, homes := range onlyIn {
				if imported != library && !strings.HasPrefix(imported, library+"/") {
					continue
				}
				if slices.Contains(homes, f.pkg) || f.test && slices.Contains(testsOnly[library], f.pkg) {
					continue
				}
				t.Errorf("%s imports %s, which only %v may", f.name, imported, homes)
			}
		}
	}
}
