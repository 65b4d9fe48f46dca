package turncheck

import (
	"go/ast"
	"go/token"
	"go/types"
	"strings"
)

// checkField reports a field of an OnLoop struct that is used where there
// is no Turn.
func (c *check) checkField(sel *ast.SelectorExpr) {
	s := c.pass.TypesInfo.Selections[sel]
	if s == nil {
		return
	}
	owner := ownerOf(s)
	if owner == nil || c.hasTurn(sel) {
		return
	}
	c.pass.Reportf(sel.Sel.Pos(), "%s belongs to an event loop (%s): use it only in a function that has a Turn",
		sel.Sel.Name, types.TypeString(owner, types.RelativeTo(c.pass.Pkg)))
}

// ownerOf returns the OnLoop struct whose field a selection uses, directly
// or through embedding, or nil if there is none. Selecting the struct itself
// uses none.
func ownerOf(s *types.Selection) types.Type {
	path := s.Index()
	if s.Kind() != types.FieldVal {
		path = path[:len(path)-1] // the last is a method, which takes a Turn
	}
	t := s.Recv()
	for _, i := range path {
		if isOwned(t) {
			return t
		}
		if p, ok := types.Unalias(t).Underlying().(*types.Pointer); ok {
			t = p.Elem()
		}
		st, ok := t.Underlying().(*types.Struct)
		if !ok {
			return nil
		}
		t = st.Field(i).Type()
	}
	return nil
}

// hasTurn reports whether the code at n may use the state of a loop: whether
// its function has a Turn, or runs within one that has.
func (c *check) hasTurn(n ast.Node) bool {
	for f := c.function(n); f != nil; f = c.function(f) {
		switch f := f.(type) {
		case *ast.FuncLit:
			if c.takesTurns(f.Type.Params) {
				return true
			}
			if !c.now(f) {
				return false
			}
		case *ast.FuncDecl:
			return c.takesTurns(f.Recv) || c.takesTurns(f.Type.Params) || isConstructor(f.Name.Name) ||
				c.pass.Pkg.Path() == reactorPath && turnCreators[f.Name.Name]
		}
	}
	return false
}

func (c *check) takesTurns(list *ast.FieldList) bool {
	if list == nil {
		return false
	}
	for _, f := range list.List {
		if isReactor(c.pass.TypesInfo.TypeOf(f.Type), "Turn") {
			return true
		}
	}
	return false
}

func isConstructor(name string) bool {
	return strings.HasPrefix(name, "new") || strings.HasPrefix(name, "New")
}

// checkCopy reports an OnLoop struct that is copied or assigned where there is no
// Turn.
func (c *check) checkCopy(e ast.Expr) {
	tv, ok := c.pass.TypesInfo.Types[e]
	if !ok || !tv.Addressable() || !isOwned(tv.Type) {
		return
	}
	if _, ok := types.Unalias(tv.Type).(*types.Pointer); ok {
		return
	}
	switch outer := c.parent[e].(type) {
	case *ast.ParenExpr, *ast.SelectorExpr:
		return
	case *ast.UnaryExpr:
		if outer.Op == token.AND {
			return
		}
	}
	if !c.hasTurn(e) {
		c.pass.Reportf(e.Pos(), "%s belongs to an event loop: copy or assign it only in a function that has a Turn",
			types.TypeString(tv.Type, types.RelativeTo(c.pass.Pkg)))
	}
}

// checkOwned reports a type whose name ends in OnLoop but that isn't a struct.
func (c *check) checkOwned(s *ast.TypeSpec) {
	obj := c.pass.TypesInfo.Defs[s.Name]
	if strings.HasSuffix(s.Name.Name, ownedSuffix) && !isOwned(obj.Type()) {
		c.pass.Reportf(s.Name.Pos(), "%s isn't a struct: a type that ends in OnLoop must be one, as only fields are checked", s.Name.Name)
	}
}

// checkMethod reports a method of an OnLoop struct whose first parameter isn't
// a Turn.
func (c *check) checkMethod(d *ast.FuncDecl) {
	if d.Recv == nil || !isOwned(c.pass.TypesInfo.TypeOf(d.Recv.List[0].Type)) {
		return
	}
	params := c.pass.TypesInfo.Defs[d.Name].(*types.Func).Signature().Params()
	if params.Len() == 0 || !isReactor(params.At(0).Type(), "Turn") {
		c.pass.Reportf(d.Name.Pos(), "%s is a method of a type that belongs to an event loop: its first parameter must be a Turn", d.Name.Name)
	}
}
