// Package turncheck is a static check for loop affinity: the state of an event
// loop is touched only on that loop.
//
// A reactor.Turn is the right to touch the state of one loop. It is valid until
// the callback that received it returns. The compiler makes a function that
// needs a Turn take one as a parameter. This check makes sure that nobody keeps
// one. Its rules, for every package of the module:
//
//   - Turn may be used only as the type of a parameter or a receiver. No field,
//     variable, element or result has this type, so a Turn can't be stored or
//     returned. Only the gnet callbacks of the package that declares Turn (see
//     turnCreators) create Turns.
//   - The only uses of a Turn are passing it on as an argument of type Turn,
//     calling its methods, and reading its fields. It isn't passed to another
//     goroutine.
//   - A function literal uses the Turn of the enclosing function only if it runs
//     before that function returns. A function literal that runs later, or on
//     another goroutine, uses only a Turn from its own parameters.
//   - State that belongs to a loop is in a struct type whose name ends in
//     OnLoop. Only functions that have a Turn touch its fields or copy it. Each
//     of its methods takes a Turn as its first parameter.
//   - Parameters of type Turn and of type Off are both named t. So inside a job,
//     the parameter of type Off shadows the Turn of the enclosing function.
//
// A constructor (a function whose name begins with new or New) may set the fields
// of the value that it creates, because no loop has that value yet.
//
// A function literal runs before the enclosing function returns if it is called
// immediately, deferred, or passed to a function that only calls it. The check
// finds those functions by looking at their bodies, in all packages; for the
// standard library there is a list (see callsOnly). If a function literal is
// assigned to a local variable, the uses of the variable decide.
//
// The check has limits. It doesn't know which loop a Turn belongs to. It doesn't
// follow values that a function reads from a field and passes on. It doesn't look
// at tests. The race detector does the rest.
package turncheck

import (
	"go/ast"
	"go/types"
	"strings"

	"golang.org/x/tools/go/analysis"
)

// Analyzer checks one package.
var Analyzer = &analysis.Analyzer{
	Name:      "turncheck",
	Doc:       "check that the state of an event loop is touched only on that loop",
	Run:       run,
	FactTypes: []analysis.Fact{new(calledOnly)},
}

// reactorPath is the package that declares Turn and Off.
const reactorPath = "chatd/reactor"

// ownedSuffix ends the name of a struct type that belongs to an event loop.
const ownedSuffix = "OnLoop"

// turnCreators are gnet's callbacks. They begin a turn, and create its Turn.
var turnCreators = map[string]bool{"OnOpen": true, "OnTraffic": true, "OnClose": true}

// check is the state of a run over one package.
type check struct {
	pass   *analysis.Pass
	parent map[ast.Node]ast.Node
	uses   map[types.Object][]*ast.Ident
	// escapes has the parameters of this package's functions that may be
	// called after their function has returned.
	escapes map[*types.Var]bool
}

func run(pass *analysis.Pass) (any, error) {
	c := &check{pass: pass, parent: map[ast.Node]ast.Node{}, uses: map[types.Object][]*ast.Ident{},
		escapes: map[*types.Var]bool{}}
	for _, f := range pass.Files {
		c.index(f)
	}
	c.findEscapes()
	for _, f := range pass.Files {
		ast.Inspect(f, c.node)
	}
	return nil, nil
}

// index records the parent of each node of a file, and the uses of each object.
func (c *check) index(f *ast.File) {
	var stack []ast.Node
	ast.Inspect(f, func(n ast.Node) bool {
		if n == nil {
			stack = stack[:len(stack)-1]
			return true
		}
		if len(stack) > 0 {
			c.parent[n] = stack[len(stack)-1]
		}
		stack = append(stack, n)
		if id, ok := n.(*ast.Ident); ok {
			if obj := c.pass.TypesInfo.Uses[id]; obj != nil {
				c.uses[obj] = append(c.uses[obj], id)
			}
		}
		return true
	})
}

// node checks one node of the syntax tree.
func (c *check) node(n ast.Node) bool {
	if e, ok := n.(ast.Expr); ok {
		c.checkCopy(e)
	}
	switch n := n.(type) {
	case *ast.Ident:
		c.checkType(n)
		c.checkValue(n)
	case *ast.SelectorExpr:
		c.checkField(n)
	case *ast.FuncType:
		c.checkNames(n)
	case *ast.FuncDecl:
		c.checkMethod(n)
	case *ast.TypeSpec:
		c.checkOwned(n)
	}
	return true
}

// outer returns the node around n, without parentheses.
func (c *check) outer(n ast.Node) ast.Node {
	n = c.parent[n]
	for {
		p, ok := n.(*ast.ParenExpr)
		if !ok {
			return n
		}
		n = c.parent[p]
	}
}

// function returns the innermost function declaration or literal around n, or
// nil at package level.
func (c *check) function(n ast.Node) ast.Node {
	for n = c.parent[n]; n != nil; n = c.parent[n] {
		switch n.(type) {
		case *ast.FuncDecl, *ast.FuncLit:
			return n
		}
	}
	return nil
}

// isReactor reports whether t is the named type of the reactor.
func isReactor(t types.Type, name string) bool {
	n, ok := types.Unalias(t).(*types.Named)
	return ok && n.Obj().Name() == name && n.Obj().Pkg() != nil && n.Obj().Pkg().Path() == reactorPath
}

// isOwned reports whether t, or what it points to, belongs to an event loop.
func isOwned(t types.Type) bool {
	t = types.Unalias(t)
	if p, ok := t.(*types.Pointer); ok {
		t = types.Unalias(p.Elem())
	}
	n, ok := t.(*types.Named)
	if !ok || !strings.HasSuffix(n.Obj().Name(), ownedSuffix) {
		return false
	}
	_, ok = n.Underlying().(*types.Struct)
	return ok
}

// checkType reports the name of the type Turn where it isn't the type of a
// parameter.
func (c *check) checkType(id *ast.Ident) {
	obj, ok := c.pass.TypesInfo.Uses[id].(*types.TypeName)
	if !ok || !isReactor(obj.Type(), "Turn") {
		return
	}
	var expr ast.Node = id
	if sel, ok := c.parent[id].(*ast.SelectorExpr); ok { // reactor.Turn
		expr = sel
	}
	switch outer := c.outer(expr).(type) {
	case *ast.Field:
		list := c.parent[outer]
		switch f := c.parent[list].(type) {
		case *ast.FuncType:
			if f.Params == list {
				return
			}
			c.pass.Reportf(id.Pos(), "a Turn is returned: it is valid only until its callback returns")
			return
		case *ast.FuncDecl: // the receiver
			return
		}
	case *ast.TypeSpec:
		if outer.Assign.IsValid() {
			return // an alias, which is checked like the type
		}
	case *ast.CompositeLit:
		if d, ok := c.function(outer).(*ast.FuncDecl); ok && c.pass.Pkg.Path() == reactorPath && turnCreators[d.Name.Name] {
			return
		}
		c.pass.Reportf(id.Pos(), "a Turn is created: only the reactor's gnet callbacks may do that")
		return
	}
	c.pass.Reportf(id.Pos(), "a Turn is kept or created: Turn may only be the type of a parameter")
}

// checkValue reports a Turn that is used in a way that isn't allowed.
func (c *check) checkValue(id *ast.Ident) {
	v, ok := c.pass.TypesInfo.Uses[id].(*types.Var)
	if !ok || v.IsField() || !isReactor(v.Type(), "Turn") {
		return
	}
	if !c.nowIn(id, v) {
		c.pass.Reportf(id.Pos(), "%s is captured by a function that may run later, which needs its own Turn", id.Name)
		return
	}
	var call *ast.CallExpr
	switch outer := c.outer(id).(type) {
	case *ast.SelectorExpr:
		if _, ok := c.pass.TypesInfo.Uses[outer.Sel].(*types.Var); ok {
			return // a field, within the reactor
		}
		call, _ = c.outer(outer).(*ast.CallExpr)
		if call == nil || ast.Unparen(call.Fun) != outer {
			c.pass.Reportf(id.Pos(), "%s is kept in a method value: call the method here", id.Name)
			return
		}
	case *ast.CallExpr:
		if !c.takesTurn(outer, id) {
			c.pass.Reportf(id.Pos(), "%s is converted: a Turn may only be passed to a parameter of type Turn", id.Name)
			return
		}
		call = outer
	case *ast.AssignStmt:
		if allBlank(outer.Lhs) {
			return
		}
		c.pass.Reportf(id.Pos(), "%s is stored: a Turn may only be passed to a parameter of type Turn", id.Name)
		return
	case *ast.ReturnStmt:
		c.pass.Reportf(id.Pos(), "%s is returned: a Turn is valid only until its callback returns", id.Name)
		return
	default:
		c.pass.Reportf(id.Pos(), "%s is stored: a Turn may only be passed to a parameter of type Turn", id.Name)
		return
	}
	if _, ok := c.parent[call].(*ast.GoStmt); ok {
		c.pass.Reportf(id.Pos(), "%s is passed to another goroutine", id.Name)
	}
}

// takesTurn reports whether arg is passed to a parameter that is declared as a
// Turn: not to an interface or a type parameter.
func (c *check) takesTurn(call *ast.CallExpr, arg ast.Expr) bool {
	param := c.paramOf(call, arg)
	return param != nil && isReactor(param.Type(), "Turn")
}

func allBlank(list []ast.Expr) bool {
	for _, e := range list {
		if id, ok := e.(*ast.Ident); !ok || id.Name != "_" {
			return false
		}
	}
	return true
}

// checkNames reports parameters of type Turn and Off that aren't named t.
func (c *check) checkNames(f *ast.FuncType) {
	for _, field := range f.Params.List {
		typ := c.pass.TypesInfo.TypeOf(field.Type)
		if !isReactor(typ, "Turn") && !isReactor(typ, "Off") {
			continue
		}
		for _, name := range field.Names {
			if name.Name != "t" && name.Name != "_" {
				c.pass.Reportf(name.Pos(), "%s should be t, so that an Off hides the Turn around it", name.Name)
			}
		}
	}
}
