package turncheck

import (
	"os"
	"testing"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/analysistest"
	"golang.org/x/tools/go/analysis/checker"
	"golang.org/x/tools/go/packages"
)

// checked lists the packages that must follow the rules: all that handle Turns.
var checked = []string{"chatd/..."}

// All packages in checked follow the rules.
func TestModule(t *testing.T) {
	pkgs, err := packages.Load(&packages.Config{Mode: packages.LoadSyntax | packages.NeedModule, Dir: "../.."}, checked...)
	if err != nil {
		t.Fatal("load packages: ", err)
	}
	if len(pkgs) == 0 {
		t.Fatal("no packages to check")
	}
	if packages.PrintErrors(pkgs) > 0 {
		t.Fatal("the packages to check must compile")
	}
	for _, p := range pkgs {
		// go test caches results by the files that the test opened. Open the
		// directory too, so that a new file invalidates the cached result.
		if _, err := os.ReadDir(p.Dir); err != nil {
			t.Fatal(err)
		}
	}
	graph, err := checker.Analyze([]*analysis.Analyzer{Analyzer}, pkgs, nil)
	if err != nil {
		t.Fatal("analyze: ", err)
	}
	for _, act := range graph.Roots {
		if act.Err != nil {
			t.Errorf("%s: %v", act.Package, act.Err)
		}
		for _, d := range act.Diagnostics {
			t.Errorf("%s: %s", act.Package.Fset.Position(d.Pos), d.Message)
		}
	}
}

// The check reports exactly what the comments in testdata expect.
func TestRules(t *testing.T) {
	analysistest.Run(t, analysistest.TestData(), Analyzer, "chatd/reactor", "escape", "capture", "onloop")
}
