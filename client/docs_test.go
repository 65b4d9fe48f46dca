package client

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// exported is an exported name. Of is the type if it is a method or field, otherwise
// empty.
type exported struct {
	Of, Name   string
	documented bool
	inner      bool // a field, or a method of an interface: it needs no example
}

// exportedNames returns the exported names of a file.
func exportedNames(f *ast.File) (all []exported) {
	says := func(groups ...*ast.CommentGroup) bool {
		return slices.ContainsFunc(groups, func(g *ast.CommentGroup) bool { return g != nil && g.Text() != "" })
	}
	fields := func(of string, list *ast.FieldList) {
		for _, field := range list.List {
			for _, name := range field.Names {
				if name.IsExported() {
					all = append(all, exported{Of: of, Name: name.Name, documented: says(field.Doc, field.Comment), inner: true})
				}
			}
		}
	}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			e := exported{Name: d.Name.Name, documented: says(d.Doc)}
			if d.Recv != nil {
				of := d.Recv.List[0].Type
				if star, ok := of.(*ast.StarExpr); ok {
					of = star.X
				}
				e.Of = of.(*ast.Ident).Name
			}
			if d.Name.IsExported() && (e.Of == "" || ast.IsExported(e.Of)) {
				all = append(all, e)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					if !spec.Name.IsExported() {
						continue
					}
					all = append(all, exported{Name: spec.Name.Name, documented: says(d.Doc, spec.Doc)})
					switch t := spec.Type.(type) {
					case *ast.StructType:
						fields(spec.Name.Name, t.Fields)
					case *ast.InterfaceType:
						fields(spec.Name.Name, t.Methods)
					}
				case *ast.ValueSpec:
					for _, name := range spec.Names {
						if name.IsExported() {
							all = append(all, exported{Name: name.Name, documented: says(spec.Doc, spec.Comment) || !d.Lparen.IsValid() && says(d.Doc)})
						}
					}
				}
			}
		}
	}
	return all
}

// parsed parses the files that match pattern, except those that match but.
func parsed(t *testing.T, pattern, but string) (files []*ast.File) {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if out, err := filepath.Match(but, name); err != nil || out {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

// Every exported name has a doc comment. Every function, method and type is used in
// an example, and every example is run, except those that need a real server.
func TestEverythingIsDocumented(t *testing.T) {
	examples := doc.Examples(parsed(t, "*_test.go", "")...)
	used := map[string]bool{} // "client.New", or ".Send" for a method of any value
	silent := map[string]bool{}
	for _, e := range examples {
		ast.Inspect(e.Code, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				used["."+s.Sel.Name] = true
				if x, ok := s.X.(*ast.Ident); ok {
					used[x.Name+"."+s.Sel.Name] = true
				}
			}
			return true
		})
		if e.Output == "" {
			silent[e.Name] = true
		}
	}
	// These need a real server, so they are only compiled.
	if want := map[string]bool{"": true, "New": true, "_short": true}; !maps.Equal(silent, want) {
		t.Errorf("examples without output: %v, want %v", slices.Sorted(maps.Keys(silent)), slices.Sorted(maps.Keys(want)))
	}

	names := 0
	for _, f := range parsed(t, "*.go", "*_test.go") {
		for _, e := range exportedNames(f) {
			names++
			whole := strings.TrimPrefix(e.Of+"."+e.Name, ".")
			if !e.documented {
				t.Errorf("%s has no doc comment, want one", whole)
			}
			use := "client." + e.Name
			if e.Of != "" {
				use = "." + e.Name
			}
			if !e.inner && !used[use] {
				t.Errorf("%s is used in no example, want one", whole)
			}
		}
	}
	if names == 0 {
		t.Error("found no exported names, want some")
	}
}
