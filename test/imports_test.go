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

// mayImport lists which packages of this module each package may import, in tests
// too. Every package must be listed.
var mayImport = map[string][]string{
	".":                 {"internal/daemon"},
	"internal/daemon":   {"proto", "internal/names", "internal/setting", "reactor", "model", "service", "service/audit", "service/bus", "service/login", "service/trace", "service/ops"},
	"test":              {"internal/daemon", "client", "proto", "service/trace"},
	"proto":             {"internal/names"},
	"internal/names":    {},
	"internal/limit":    {},
	"internal/setting":  {},
	"reactor":           {"proto", "internal/limit", "internal/setting"},
	"model":             {"internal/names", "internal/setting", "model/feed", "model/groupcommit", "model/recent", "model/sqldb", "model/walwriter"},
	"model/groupcommit": {}, // no SQL: its caller runs the transactions
	"model/feed":        {"model/sqldb"},
	"model/recent":      {"model/sqldb"},
	"model/sqldb":       {"model/walwriter"},
	"model/walwriter":   {"model/vfs"},
	"model/faultvfs":    {"model/vfs"},
	"model/vfs":         {},
	// A package of the service may import only those below it in this list.
	"service": {"proto", "internal/setting", "reactor", "model", "model/feed", "service/audit", "service/bus", "service/limits", "service/session", "service/cluster", "service/presence",
		"service/delivery", "service/messages", "service/people", "service/groups", "service/login", "service/trace"},
	"service/login": {"proto", "internal/names", "internal/setting", "reactor", "model", "model/feed", "service/audit", "service/bus", "service/limits", "service/session", "service/presence",
		"service/delivery", "service/messages", "service/people", "service/groups"},
	"service/trace": {"proto", "model", "service/session", "service/presence", "service/delivery"},
	"service/people": {"proto", "internal/setting", "reactor", "model", "model/feed", "service/bus", "service/session", "service/presence",
		"service/delivery"},
	"service/groups":      {"proto", "internal/setting", "reactor", "model", "service/audit", "service/session", "service/presence", "service/delivery"},
	"service/messages":    {"proto", "reactor", "model", "model/feed", "service/bus", "service/limits", "service/session", "service/delivery"},
	"service/delivery":    {"proto", "internal/setting", "reactor", "model", "model/feed", "service/bus", "service/limits", "service/session", "service/presence"},
	"service/presence":    {"proto", "reactor", "model", "service/bus", "service/session", "service/cluster"},
	"service/cluster":     {"reactor", "service/bus"},
	"service/session":     {"proto", "internal/setting", "reactor", "model", "model/feed", "service/audit", "service/bus", "service/limits"},
	"service/audit":       {"internal/limit"},
	"service/limits":      {"proto", "internal/limit", "internal/setting"},
	"service/bus":         {"proto", "internal/setting"},
	"service/ops":         {"client/web", "internal/limit", "internal/setting"}, // serves the files of client/web
	"client":              {"internal/names", "proto"},
	"client/chat":         {"client", "client/chat/text", "client/chat/tui", "proto"},
	"client/chat/text":    {"internal/names"},
	"client/chat/tui":     {"client", "client/chat/text", "client/chat/widget", "proto"},
	"client/chat/widget":  {"client/chat/text"},
	"client/demo":         {"client", "proto", "internal/services"}, // starts a server
	"client/web":          {},
	"client/web/sdk":      {"internal/services"}, // only its tests: the rest is JavaScript
	"bench":               {"proto", "bench/scenario", "bench/target", "bench/report", "bench/crash", "internal/services"},
	"bench/scenario":      {"proto", "bench/load", "bench/target", "bench/report", "bench/floor"},
	"bench/load":          {"proto", "bench/target", "bench/report", "bench/floor"}, // uses the frames of floor's clients
	"bench/target":        {"bench/report", "bench/floor", "internal/services"},
	"bench/report":        {"proto", "bench/report/plot"}, // not load or scenario
	"bench/report/plot":   {},
	"bench/benchtest":     {"proto", "internal/testbuild"},
	"bench/crash":         {"client", "proto", "model", "internal/services", "internal/testbuild"}, // its checker reads the stored messages
	"bench/floor":         {},
	"docs/examples":       {},        // clients without an SDK
	"docs/examples/first": {},        // short clients without an SDK
	"proto/prototest":     {"proto"}, // test cases for both the codec and the server

	"internal/turncheck":        {}, // a static check that reads packages without importing them
	"internal/services":         {}, // starts services for tests and benchmarks
	"internal/realservice":      {"internal/services"},
	"internal/testbuild":        {},
	"internal/testbuild/clockd": {"internal/testbuild"},

	"client/web/browsertest": {"client", "internal/services"},
}

// forAnyTest lists packages that all tests may import, and only tests.
var forAnyTest = []string{"model/faultvfs", "proto/prototest", "internal/realservice", "internal/testbuild", "bench/benchtest"}

// onlyIn lists which packages may import a library (an import path and everything
// below it). testsOnly lists further packages that may do so in tests. Libraries that
// aren't listed may be imported anywhere.
var onlyIn = map[string][]string{
	"github.com/panjf2000/gnet":  {"reactor", "bench/floor"},
	"github.com/jmoiron/sqlx":    {"model", "model/feed", "model/recent", "model/sqldb"},
	"github.com/pressly/goose":   {"model/sqldb"},
	"modernc.org/sqlite":         {"model/sqldb", "model/walwriter", "model/vfs", "model/faultvfs"},
	"modernc.org/libc":           {"model/walwriter", "model/vfs", "model/faultvfs"}, // the driver's C library
	"github.com/go-sql-driver":   {"model/sqldb"},
	"database/sql":               {"model", "model/feed", "model/recent", "model/sqldb", "model/walwriter"},
	"github.com/gomodule/redigo": {"service/bus"},
	"github.com/mna/redisc":      {"service/bus"},
	"github.com/gobwas/ws":       {"reactor", "client"},
	"github.com/coreos":          {"internal/daemon"}, // notifies systemd
	"golang.org/x/tools":         {"internal/turncheck"},
	"golang.org/x/perf":          {"bench/report"},
	"github.com/aclements":       {"bench/report"}, // the statistics of x/perf
	"charm.land":                 {"client/chat/tui", "client/chat/widget"},
	"github.com/charmbracelet":   {"client/chat/text", "client/chat/tui", "client/chat/widget"},
	"net/http":                   {"service/ops", "client", "bench/target", "bench/crash", "internal/services"},
}

// nowhere lists packages that only tests may import, with the reason.
var nowhere = map[string]string{
	"log":    "it uses a global logger; use a *slog.Logger",
	"expvar": "it adds a handler to http.DefaultServeMux",

	"testing": "helpers for tests belong in internal/realservice",
}

// testsOnly lists the exceptions to onlyIn for tests, with the reason.
var testsOnly = map[string][]string{
	"github.com/charmbracelet": {
		"client/chat", // runs the terminal client in a virtual terminal
	},
	"net/http": {
		"test",                   // requests /readyz and /metrics of a running node
		"reactor",                // tests what a browser gets from the chat port
		"client/web/browsertest", // controls browsers with WebDriver, which uses HTTP
	},
	"github.com/santhosh-tekuri": {
		"proto", // validates docs/asyncapi.yaml, and messages against it
	},
}

// goFile is a Go file of this module.
type goFile struct {
	name    string // path in the repository
	pkg     string // folder; "." for package main
	test    bool
	imports []string
}

// files returns all Go files of the module, including those that build constraints
// exclude here.
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
				t.Errorf("cannot parse %s: %v", path.Join(pkg, name), err)
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

// TestInnerImports checks that the packages import each other only as mayImport
// allows, which keeps the layers apart: for example, model must not depend on the
// protocol.
func TestInnerImports(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range files(t) {
		allowed, listed := mayImport[f.pkg]
		if !listed {
			if !seen[f.pkg] {
				t.Errorf("package %s isn't listed in mayImport: add it with the packages that it may import", f.pkg)
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
				t.Errorf("%s imports %s, which mayImport doesn't allow for %s", f.name, imported, f.pkg)
			}
		}
	}
}

// TestOuterImports checks that a library is imported only by the packages in onlyIn,
// so that replacing it affects few packages.
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
				t.Errorf("%s imports %s, which onlyIn allows only for %v", f.name, imported, homes)
			}
		}
	}
}
