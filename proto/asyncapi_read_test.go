package proto_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// object is a JSON object, or a mapping in YAML.
type object = map[string]any

// asyncAPI is docs/asyncapi.yaml.
type asyncAPI struct {
	t   *testing.T
	doc object
	set *jsonschema.Compiler // has the document as "doc"
}

// readAsyncAPI reads and parses docs/asyncapi.yaml.
func readAsyncAPI(t *testing.T) *asyncAPI {
	t.Helper()
	text, err := os.ReadFile("../docs/asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc object
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	a := &asyncAPI{t: t, doc: doc, set: jsonschema.NewCompiler()}
	a.set.DefaultDraft(jsonschema.Draft7)
	if err := a.set.AddResource("doc", likeJSON(t, doc)); err != nil {
		t.Fatal(err)
	}
	return a
}

// likeJSON converts YAML values to those that a JSON decoder would return.
func likeJSON(t *testing.T, v any) any {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	v, err = jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// at returns the value at a path; it follows references on the way.
func (a *asyncAPI) at(path ...string) any {
	a.t.Helper()
	var v any = a.doc
	for _, key := range path {
		v = a.follow(v).(object)[key]
	}
	return a.follow(v)
}

// object returns the mapping at a path.
func (a *asyncAPI) object(path ...string) object {
	a.t.Helper()
	o, ok := a.at(path...).(object)
	if !ok {
		a.t.Fatalf("docs/asyncapi.yaml has no mapping %s", strings.Join(path, "/"))
	}
	return o
}

// follow returns what v refers to, or v if it isn't a reference.
func (a *asyncAPI) follow(v any) any {
	a.t.Helper()
	o, _ := v.(object)
	ref, ok := o["$ref"].(string)
	if !ok {
		return v
	}
	path, ok := strings.CutPrefix(ref, "#/")
	if !ok {
		a.t.Fatalf("reference %s: want one within the document, starting with #/", ref)
	}
	var at any = a.doc
	for _, key := range strings.Split(path, "/") {
		o, _ := at.(object)
		if at, ok = o[key]; !ok {
			a.t.Fatalf("reference %s: the document has no %s", ref, key)
		}
	}
	return a.follow(at)
}

// schema returns the schema at a path.
func (a *asyncAPI) schema(path ...string) *jsonschema.Schema {
	a.t.Helper()
	s, err := a.set.Compile("doc#/" + strings.Join(path, "/"))
	if err != nil {
		a.t.Fatal(err)
	}
	return s
}

// words returns the elements of a list as sorted strings.
func words(v any) (all []string) {
	list, _ := v.([]any)
	for _, e := range list {
		all = append(all, fmt.Sprint(e))
	}
	slices.Sort(all)
	return all
}

// sortedKeys returns the keys of a mapping, sorted.
func sortedKeys(v any) []string {
	o, _ := v.(object)
	return slices.Sorted(maps.Keys(o))
}

// sorted sorts list and returns it.
func sorted(list ...string) []string {
	slices.Sort(list)
	return list
}

// required returns all fields that the alternatives of a schema require, sorted.
func required(v any) (all []string) {
	list, _ := v.([]any)
	for _, e := range list {
		all = append(all, words(e.(object)["required"])...)
	}
	slices.Sort(all)
	return all
}

// constants returns the constants in a file that have the named type, with their
// values; all constants if typeName is "".
func constants(t *testing.T, file, typeName string) map[string]string {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, d := range f.Decls {
		group, ok := d.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		for _, s := range group.Specs {
			spec := s.(*ast.ValueSpec)
			if name, _ := spec.Type.(*ast.Ident); typeName != "" && (name == nil || name.Name != typeName) {
				continue
			}
			value, err := types.Eval(fset, nil, token.NoPos, types.ExprString(spec.Values[0]))
			if err != nil {
				t.Fatal(err)
			}
			text := value.Value.ExactString()
			if value.Value.Kind() == constant.String {
				text = constant.StringVal(value.Value)
			}
			found[spec.Names[0].Name] = text
		}
	}
	if len(found) == 0 {
		t.Fatalf("%s has no constants of type %q, want some", file, typeName)
	}
	return found
}
