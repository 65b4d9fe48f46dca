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

// SQL injection is impossible: queries are concatenated only from literals,
// constants of this package, the pieces of a dialect, and numbers of placeholders.
// Values are passed as arguments.
func TestSQLHasNoValues(t *testing.T) {
	var names []string
	for _, dir := range []string{"", "backup/", "sqldb/", "recent/"} {
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
						t.Errorf("%s: SQL is concatenated with something that isn't a constant; pass values as arguments", fset.Position(bad.Pos()))
					}
					return false
				}
			case *ast.AssignStmt:
				if n.Tok == token.ADD_ASSIGN && c.isSQL(n.Rhs[0]) {
					t.Errorf("%s: SQL is appended with +=; use one expression of constants", fset.Position(n.Pos()))
				}
			case *ast.CallExpr:
				if s, ok := n.Fun.(*ast.SelectorExpr); ok && strings.HasPrefix(s.Sel.Name, "Sprintf") || ok && strings.HasPrefix(s.Sel.Name, "Append") {
					for _, a := range n.Args {
						if c.isSQL(a) && !numbersOnly(a) {
							t.Errorf("%s: SQL is formatted with a verb other than %%d; pass values as arguments", fset.Position(n.Pos()))
						}
					}
				}
				if s, ok := n.Fun.(*ast.SelectorExpr); ok && (s.Sel.Name == "WriteString" || s.Sel.Name == "Replace" || s.Sel.Name == "ReplaceAll") && slices.ContainsFunc(n.Args, c.isSQL) {
					t.Errorf("%s: SQL is built with %s; use one expression of constants", fset.Position(n.Pos()), s.Sel.Name)
				}
			}
			return true
		})
	}
	if queries < 10 {
		t.Errorf("found %d concatenated queries, want at least 10, or the test proves nothing", queries)
	}
}

// exceptions lists, by file, names that are allowed in SQL although they aren't
// constants, and why: none of them can hold a value from outside.
var exceptions = map[string]map[string]string{
	"copystore.go":   {"t": "tables() lists tables and columns as constants", "columns": "the columns of such a table"},
	"appendstmts.go": {"lock": "the callers pass pieces of a dialect"},
	"mysql.go":       {"first": "union's parameter, checked where union is called"},

	"sqldb/mysql.go":   {"query": "Operand's parameter, checked where Operand is called"},
	"sqldb/sqlite.go":  {"query": "Operand's parameter, checked where Operand is called"},
	"sqldb/migrate.go": {"db": "the dialect's query of tables"},
}

// The check of TestSQLHasNoValues finds concatenated values, and accepts constants.
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
			t.Errorf("%s: refused = %t, want %t", code, got, want)
		}
	}
}

type sqlCheck struct {
	consts  map[string]bool   // constants of the package and of its functions
	dialect map[string]bool   // fields of a dialect, which are all constant
	here    map[string]string // exceptions for the current file
}

// declarations records the constants and the dialect fields that a file declares.
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

// outside returns the part of an expression that could be a value from outside, or
// nil.
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
		if name(e) == "recent.Columns" {
			return nil
		}
		if d, ok := e.X.(*ast.Ident); ok && (d.Name == "d" && c.dialect[e.Sel.Name] || c.here[d.Name] != "") {
			return nil
		}
		if d, ok := e.X.(*ast.SelectorExpr); ok && d.Sel.Name == "d" && c.dialect[e.Sel.Name] {
			return nil
		}
	case *ast.CallExpr:
		if f := name(e.Fun); f == "sqldb.Repeated" || f == "sqldb.AnyOf" || f == "union" {
			for _, a := range e.Args[:len(e.Args)-1] { // the last one is a number
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
			return nil // in union, whose callers pass literals
		}
	}
	return e
}

// name returns the name of a function, qualified with its package if it is from
// another one.
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

// numbersOnly reports whether a format has no verbs other than %d.
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
