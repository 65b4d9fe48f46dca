package turncheck

import (
	"fmt"
	"go/ast"
	"go/types"
	"strings"

	"golang.org/x/tools/go/types/typeutil"
)

// callsOnly lists packages of the standard library, whose function bodies
// aren't checked. Their functions call the functions that they are passed
// before they return, and don't keep them, except those that return a function.
var callsOnly = map[string]string{
	"slices":  "sorts, searches and deletes with a comparison or a predicate",
	"maps":    "the same for maps",
	"sort":    "the same, older",
	"strings": "maps and splits by a predicate",
	"bytes":   "the same for bytes",
}

// calledOnly is the fact about a function that other packages can read: the
// indexes of the parameters that it only calls before it returns, and doesn't
// keep.
type calledOnly struct{ Params []int }

// AFact marks calledOnly as a fact of go/analysis.
func (*calledOnly) AFact() {}

func (f *calledOnly) String() string {
	return "calls parameters " + strings.Trim(fmt.Sprint(f.Params), "[]")
}

// findEscapes finds the parameters of this package's functions that may be
// called after the function has returned. It starts with none and repeats until
// nothing new is found, because functions may pass their parameters to each
// other.
func (c *check) findEscapes() {
	type candidate struct {
		fn    *types.Func
		index int
		param *types.Var
	}
	var all []candidate
	for _, f := range c.pass.Files {
		for _, d := range f.Decls {
			d, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			fn := c.pass.TypesInfo.Defs[d.Name].(*types.Func)
			params := fn.Signature().Params()
			for i := range params.Len() {
				p := params.At(i)
				if _, ok := p.Type().Underlying().(*types.Signature); !ok {
					continue
				}
				if d.Body == nil {
					c.escapes[p] = true
					continue
				}
				all = append(all, candidate{fn, i, p})
			}
		}
	}
	for changed := true; changed; {
		changed = false
		for _, a := range all {
			if !c.escapes[a.param] && !c.usedNow(a.param, map[types.Object]bool{}) {
				c.escapes[a.param] = true
				changed = true
			}
		}
	}
	facts := map[*types.Func]*calledOnly{}
	for _, a := range all {
		if !c.escapes[a.param] {
			if facts[a.fn] == nil {
				facts[a.fn] = new(calledOnly)
			}
			facts[a.fn].Params = append(facts[a.fn].Params, a.index)
		}
	}
	for fn, fact := range facts {
		c.pass.ExportObjectFact(fn, fact)
	}
}

// nowIn reports whether the use of v at n runs before the function that declares
// v returns: whether all literals between the two do.
func (c *check) nowIn(n ast.Node, v types.Object) bool {
	return c.within(n, v, map[types.Object]bool{})
}

func (c *check) within(n ast.Node, v types.Object, seen map[types.Object]bool) bool {
	for f := c.function(n); f != nil && (v.Pos() < f.Pos() || f.End() <= v.Pos()); f = c.function(f) {
		if lit, ok := f.(*ast.FuncLit); ok && !c.runsNow(lit, seen) {
			return false
		}
	}
	return true
}

// now reports whether a function literal runs before the enclosing function
// returns.
func (c *check) now(lit *ast.FuncLit) bool { return c.runsNow(lit, map[types.Object]bool{}) }

// runsNow is now for a literal or a variable that holds one. seen has the
// variables that are being checked, so that a literal may call itself.
func (c *check) runsNow(e ast.Expr, seen map[types.Object]bool) bool {
	switch outer := c.outer(e).(type) {
	case *ast.CallExpr:
		if _, ok := c.parent[outer].(*ast.GoStmt); ok {
			return false
		}
		return ast.Unparen(outer.Fun) == e || c.onlyCalls(outer, e)
	case *ast.BinaryExpr: // can only be compared with nil
		return true
	case *ast.RangeStmt:
		return ast.Unparen(outer.X) == e
	case *ast.AssignStmt:
		for i, lhs := range outer.Lhs {
			if ast.Unparen(lhs) == e {
				return true // is assigned to
			}
			if len(outer.Rhs) == len(outer.Lhs) && ast.Unparen(outer.Rhs[i]) == e {
				id, ok := ast.Unparen(lhs).(*ast.Ident)
				return ok && (id.Name == "_" || c.localUsedNow(c.pass.TypesInfo.ObjectOf(id), seen))
			}
		}
	case *ast.ValueSpec:
		for i, v := range outer.Values {
			if ast.Unparen(v) == e {
				return len(outer.Names) == len(outer.Values) && c.localUsedNow(c.pass.TypesInfo.ObjectOf(outer.Names[i]), seen)
			}
		}
	}
	return false
}

// localUsedNow reports whether obj is a local variable that is only called,
// before its function returns.
func (c *check) localUsedNow(obj types.Object, seen map[types.Object]bool) bool {
	v, ok := obj.(*types.Var)
	if !ok || v.IsField() || v.Parent() == nil || v.Parent() == c.pass.Pkg.Scope() {
		return false
	}
	return c.usedNow(v, seen)
}

// usedNow reports whether the function that v holds is only called, and only
// before the function that declares v returns.
func (c *check) usedNow(v *types.Var, seen map[types.Object]bool) bool {
	if seen[v] {
		return true
	}
	seen[v] = true
	for _, id := range c.uses[v] {
		if !c.runsNow(id, seen) || !c.within(id, v, seen) {
			return false
		}
	}
	return true
}

// onlyCalls reports whether the called function only calls its argument arg, a
// function, before it returns.
func (c *check) onlyCalls(call *ast.CallExpr, arg ast.Expr) bool {
	fn := c.callee(call)
	if fn == nil || fn.Pkg() == nil {
		return false
	}
	if _, listed := callsOnly[fn.Pkg().Path()]; listed {
		for r := range fn.Signature().Results().Variables() {
			if _, ok := r.Type().Underlying().(*types.Signature); ok {
				return false
			}
		}
		return true
	}
	param := c.paramOf(call, arg)
	if param == nil {
		return false
	}
	if fn.Pkg() == c.pass.Pkg {
		_, isFunc := param.Type().Underlying().(*types.Signature)
		return isFunc && !isMethodOfInterface(fn) && !c.escapes[param]
	}
	var fact calledOnly
	if !c.pass.ImportObjectFact(fn, &fact) {
		return false
	}
	for _, i := range fact.Params {
		if fn.Signature().Params().At(i) == param {
			return true
		}
	}
	return false
}

// callee returns the declared function or method that call calls. It returns
// nil for a conversion, and if the callee isn't known before the program runs.
func (c *check) callee(call *ast.CallExpr) *types.Func {
	fn, _ := typeutil.Callee(c.pass.TypesInfo, call).(*types.Func)
	if fn == nil {
		return nil
	}
	return fn.Origin()
}

func isMethodOfInterface(fn *types.Func) bool {
	r := fn.Signature().Recv()
	return r != nil && types.IsInterface(r.Type())
}

// paramOf returns the declared parameter that call passes arg to. It returns
// nil for conversions and built-in functions.
func (c *check) paramOf(call *ast.CallExpr, arg ast.Expr) *types.Var {
	var sig *types.Signature
	if fn := c.callee(call); fn != nil {
		sig = fn.Signature()
	} else if tv := c.pass.TypesInfo.Types[call.Fun]; tv.IsValue() && !tv.IsBuiltin() {
		sig, _ = tv.Type.Underlying().(*types.Signature)
	}
	if sig == nil {
		return nil
	}
	for i, a := range call.Args {
		if ast.Unparen(a) != arg {
			continue
		}
		if last := sig.Params().Len() - 1; sig.Variadic() && i >= last {
			return sig.Params().At(last)
		}
		return sig.Params().At(i)
	}
	return nil
}
