package model

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// SQL is made of constants, and values go beside it: no text that came from
// outside can get into it. A query is put together, if at all, from literals,
// the constants of this package, the pieces of a dialect, and numbers of
// placeholders.
func TestSQLTakesParameters(t *testing.T) {
	var names []string
	for _, dir := range []string{"", "sqldb/"} {
		found, err := filepath.Glob(dir + "*.go")
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, found...)
	}
	fset := token.NewFileSet()
	var parsed []*ast.File
	for _, name := range names {
		if !strings.HasSuffix(name, "_test.go") {
			f, err := parser.ParseFile(fset, name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			parsed = append(parsed, f)
		}
	}
	c := sqlCheck{consts: make(map[string]bool), dialect: make(map[string]bool)}
	for _, f := range parsed {
		c.declarations(f)
	}
	queries := 0
	for _, f := range parsed {
		c.here = exceptions[fset.Position(f.Pos()).Filename]
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BinaryExpr:
				if n.Op == token.ADD && c.isSQL(n) {
					queries++
					if bad := c.outside(n); bad != nil {
						t.Errorf("%s: SQL is put together with what is no constant", fset.Position(bad.Pos()))
					}
					return false
				}
			case *ast.AssignStmt:
				if n.Tok == token.ADD_ASSIGN && c.isSQL(n.Rhs[0]) {
					t.Errorf("%s: SQL grows", fset.Position(n.Pos()))
				}
			case *ast.CallExpr:
				if s, ok := n.Fun.(*ast.SelectorExpr); ok && strings.HasPrefix(s.Sel.Name, "Sprintf") || ok && strings.HasPrefix(s.Sel.Name, "Append") {
					for _, a := range n.Args {
						if c.isSQL(a) && !numbersOnly(a) {
							t.Errorf("%s: SQL is formatted with more than numbers", fset.Position(n.Pos()))
						}
					}
				}
				if s, ok := n.Fun.(*ast.SelectorExpr); ok && (s.Sel.Name == "WriteString" || s.Sel.Name == "Replace" || s.Sel.Name == "ReplaceAll") && slices.ContainsFunc(n.Args, c.isSQL) {
					t.Errorf("%s: SQL is written piece by piece", fset.Position(n.Pos()))
				}
			}
			return true
		})
	}
	if queries < 10 {
		t.Errorf("only %d queries were found that are put together: the test looks at nothing", queries)
	}
}

// exceptions are, by file, names that hold no value from outside, and why.
var exceptions = map[string]map[string]string{
	"copystore.go":   {"t": "tables() lists tables and their columns as constants", "columns": "of these"},
	"appendstmts.go": {"lock": "heads is called with a dialect's pieces"},
	"mysql.go":       {"first": "the caller's literal, seen where union is called"},

	"pages.go":         {"page": "the literal in the line above it"},
	"sqldb/mysql.go":   {"query": "Operand's parameter: checked where Operand is called"},
	"sqldb/sqlite.go":  {"query": "Operand's parameter: checked where Operand is called"},
	"sqldb/migrate.go": {"db": "the dialect's query of tables"},
}

// The check finds what it is there for.
func TestSQLCheckFinds(t *testing.T) {
	for code, want := range map[string]bool{
		`"SELECT id FROM users WHERE name = '" + name + "'"`:                  true,
		`"DELETE FROM users WHERE id = " + strconv.Itoa(id)`:                  true,
		`"SELECT id FROM users WHERE id = ?" + db.d.ForUpdate`:                false,
		`"SELECT id FROM users WHERE id IN (" + sqldb.Repeated("?", 3) + ")"`: false,
		`"SELECT " + columns + " FROM users"`:                                 false,
		`"SELECT id FROM " + table`:                                           true,
	} {
		c := sqlCheck{consts: map[string]bool{"columns": true}, dialect: map[string]bool{"ForUpdate": true}}
		e, err := parser.ParseExpr(code)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.isSQL(e) && c.outside(e) != nil; got != want {
			t.Errorf("%s: %v", code, got)
		}
	}
}

type sqlCheck struct {
	consts  map[string]bool // of the package, and of its functions
	dialect map[string]bool // fields of a dialect, which are constants all
	here    map[string]string
}

func (c *sqlCheck) declarations(f *ast.File) {
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GenDecl:
			if n.Tok == token.CONST {
				for _, s := range n.Specs {
					for _, name := range s.(*ast.ValueSpec).Names {
						c.consts[name.Name] = true
					}
				}
			}
		case *ast.TypeSpec:
			if s, ok := n.Type.(*ast.StructType); ok && strings.EqualFold(n.Name.Name, "dialect") {
				for _, field := range s.Fields.List {
					for _, name := range field.Names {
						c.dialect[name.Name] = true
					}
				}
			}
		}
		return true
	})
}

var sqlWords = regexp.MustCompile(`\b(SELECT|INSERT|UPDATE|DELETE|PRAGMA|CREATE|DROP|ALTER|UNION|FROM|WHERE|VALUES|SET SESSION)\b`)

// isSQL reports whether a literal in the expression looks like SQL.
func (c *sqlCheck) isSQL(e ast.Expr) bool {
	found := false
	ast.Inspect(e, func(n ast.Node) bool {
		if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
			text, err := strconv.Unquote(l.Value)
			found = found || err == nil && sqlWords.MatchString(text)
		}
		return !found
	})
	return found
}

// outside is the part of the expression that could bring in a value, or nil.
func (c *sqlCheck) outside(e ast.Expr) ast.Expr {
	switch e := e.(type) {
	case *ast.BasicLit:
		return nil
	case *ast.ParenExpr:
		return c.outside(e.X)
	case *ast.BinaryExpr:
		if bad := c.outside(e.X); bad != nil {
			return bad
		}
		return c.outside(e.Y)
	case *ast.Ident:
		if c.consts[e.Name] || c.here[e.Name] != "" {
			return nil
		}
	case *ast.SelectorExpr:
		if d, ok := e.X.(*ast.Ident); ok && (d.Name == "d" && c.dialect[e.Sel.Name] || c.here[d.Name] != "") {
			return nil
		}
		if d, ok := e.X.(*ast.SelectorExpr); ok && d.Sel.Name == "d" && c.dialect[e.Sel.Name] {
			return nil
		}
	case *ast.CallExpr:
		if f := name(e.Fun); f == "sqldb.Repeated" || f == "sqldb.AnyOf" || f == "union" {
			for _, a := range e.Args[:len(e.Args)-1] { // the last is how many
				if bad := c.outside(a); bad != nil {
					return bad
				}
			}
			return nil
		}
		if s, ok := e.Fun.(*ast.SelectorExpr); ok && c.dialect[s.Sel.Name] && c.outside(s) == nil {
			for _, a := range e.Args {
				if bad := c.outside(a); bad != nil {
					return bad
				}
			}
			return nil
		}
		if s, ok := e.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "Repeat" && c.here["first"] != "" {
			return nil // union's: of a literal of its caller's
		}
	}
	return e
}

// name is a function's, with its package's.
func name(f ast.Expr) string {
	switch f := f.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		if p, ok := f.X.(*ast.Ident); ok {
			return p.Name + "." + f.Sel.Name
		}
	}
	return ""
}

// numbersOnly reports whether a format takes nothing but numbers.
func numbersOnly(e ast.Expr) bool {
	ok := true
	ast.Inspect(e, func(n ast.Node) bool {
		if l, is := n.(*ast.BasicLit); is && l.Kind == token.STRING {
			for _, verb := range regexp.MustCompile(`%.`).FindAllString(l.Value, -1) {
				ok = ok && (verb == "%d" || verb == "%%")
			}
		}
		return true
	})
	return ok
}
