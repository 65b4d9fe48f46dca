package proto_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"chatd/proto"
	"chatd/proto/prototest"
)

// docs/asyncapi.yaml is a valid AsyncAPI document.
func TestAsyncAPIIsValid(t *testing.T) {
	a := readAsyncAPI(t)
	packed, err := os.ReadFile("testdata/asyncapi/3.0.0.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	rules, err := jsonschema.UnmarshalJSON(r)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("asyncapi", rules); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("asyncapi")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(likeJSON(t, a.doc)); err != nil {
		t.Errorf("docs/asyncapi.yaml is not valid AsyncAPI 3.0.0: %#v", err)
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case object:
			a.follow(v)
			for _, e := range v {
				walk(e)
			}
		case []any:
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(a.doc)
	// Every schema is used.
	text := fmt.Sprint(a.doc)
	for _, name := range sortedKeys(a.object("components", "schemas")) {
		if !strings.Contains(text, "$ref:#/components/schemas/"+name+"]") {
			t.Errorf("components/schemas/%s is not used, want a reference to it", name)
		}
	}
}

// The document has every op in each of its directions, and no others. Requests have
// the same answers as in the code.
func TestAsyncAPIHasEveryOp(t *testing.T) {
	a := readAsyncAPI(t)
	var messages, operations, pushes []string
	answers := map[proto.Op]bool{proto.PONG: true}
	for op := range proto.Op(proto.OpCount) {
		answers[op.Ack()] = answers[op.Ack()] || op.Ack() != proto.ERROR
	}
	ops := constants(t, "ops.go", "Op")
	for name, number := range ops {
		var op proto.Op
		if _, err := fmt.Sscan(number, &op); err != nil || op.String() != name {
			t.Errorf("op %s = %s: String() = %s, %v; want its name", name, number, op, err)
		}
		if _, _, _, ok := proto.RequestFields(op); ok {
			messages, operations = append(messages, "client."+name), append(operations, name)
			a.operation(op)
		}
		if _, _, _, ok := proto.ResponseFields(op); ok {
			messages = append(messages, "server."+name)
			if !answers[op] {
				pushes = append(pushes, "server."+name)
			}
		}
	}
	if got, want := sortedKeys(a.object("components", "messages")), sorted(messages...); !slices.Equal(got, want) {
		t.Errorf("components/messages\n got %v\nwant %v", got, want)
	}
	if got, want := sortedKeys(a.object("operations")), sorted(append(operations, "push")...); !slices.Equal(got, want) {
		t.Errorf("operations\n got %v\nwant %v", got, want)
	}
	if got, want := a.messages("operations", "push"), sorted(pushes...); !slices.Equal(got, want) || a.at("operations", "push", "action") != "send" {
		t.Errorf("messages of the operation push, which the server sends\n got %v\nwant %v", got, want)
	}
	for name, ref := range a.doc["channels"].(object)["connection"].(object)["messages"].(object) {
		if got := ref.(object)["$ref"]; got != "#/components/messages/"+name {
			t.Errorf("message %s of the channel refers to %v, want the message of the same name", name, got)
		}
	}
	if got, want := sortedKeys(a.object("channels", "connection", "messages")), sorted(messages...); !slices.Equal(got, want) {
		t.Errorf("messages of the channel\n got %v\nwant %v", got, want)
	}
}

// operation checks the operation of a request: its messages and its answers.
func (a *asyncAPI) operation(op proto.Op) {
	a.t.Helper()
	o := a.object("operations", op.String())
	if got := a.messages("operations", op.String()); !slices.Equal(got, []string{"client." + op.String()}) || o["action"] != "receive" {
		a.t.Errorf("operation %s: action %v, messages %v; want receive of client.%s", op, o["action"], got, op)
	}
	var want []string
	if op.Ack() != 0 {
		want = slices.Compact(sorted("server."+op.Ack().String(), "server.ERROR"))
	}
	if got := a.messages("operations", op.String(), "reply"); !slices.Equal(got, want) {
		a.t.Errorf("answers to %s: got %v, want %v", op, got, want)
	}
}

// messages returns the names of the messages in a list of an operation or its
// reply.
func (a *asyncAPI) messages(path ...string) (names []string) {
	a.t.Helper()
	o, _ := a.at(path...).(object)
	list, _ := o["messages"].([]any)
	for _, e := range list {
		names = append(names, strings.TrimPrefix(e.(object)["$ref"].(string), "#/channels/connection/messages/"))
	}
	slices.Sort(names)
	return names
}

// Each message has the same required and optional fields as the codec's tables. Each
// field has the decoder's type and bounds.
func TestAsyncAPIFields(t *testing.T) {
	a := readAsyncAPI(t)
	for op := proto.Op(1); op < proto.OpCount; op++ {
		if need, may, oneOf, ok := proto.RequestFields(op); ok {
			name := "client." + op.String()
			payload := a.payload(name, op, need|may|oneOf|1<<proto.FRID, need)
			if got := required(payload["oneOf"]); op != proto.LOGIN && !slices.Equal(got, sorted(oneOf.Names()...)) {
				t.Errorf("%s: exactly one required of: got %v, want %v", name, got, oneOf.Names())
			}
			for _, key := range sortedKeys(payload["properties"]) {
				if key != "msgid" {
					a.field(name, key, true)
				}
			}
		}
		if always, success, may, ok := proto.ResponseFields(op); ok {
			name := "server." + op.String()
			has := always | success | may | 1<<proto.FRID
			if always.Has(proto.FErrno) {
				has |= 1<<proto.FErrMsg | 1<<proto.FRetryAfter
			}
			payload := a.payload(name, op, has, always)
			then, _ := payload["then"].(object)
			if got := words(then["required"]); !slices.Equal(got, sorted(success.Names()...)) {
				t.Errorf("%s: required on success: got %v, want %v", name, got, success.Names())
			}
			_, refuses := payload["else"]
			if always.Has(proto.FErrno) != (refuses || op == proto.ERROR) {
				t.Errorf("%s: has a schema for refusals: %v, want %v", name, refuses, !refuses)
			}
			for _, key := range sortedKeys(payload["properties"]) {
				if key != "msgid" {
					a.field(name, key, false)
				}
			}
		}
	}
}

// payload checks which fields a message has and requires, besides msgid.
func (a *asyncAPI) payload(name string, op proto.Op, has, need proto.Fields) object {
	a.t.Helper()
	m := a.object("components", "messages", name)
	if m["name"] != op.String() {
		a.t.Errorf("%s: name %v, want %s", name, m["name"], op)
	}
	payload := a.object("components", "messages", name, "payload")
	if got := a.at("components", "messages", name, "payload", "properties", "msgid", "const"); got != int(op) {
		a.t.Errorf("%s: msgid %v, want %d", name, got, int(op))
	}
	if got, want := sortedKeys(payload["properties"]), sorted(append(has.Names(), "msgid")...); !slices.Equal(got, want) {
		a.t.Errorf("%s: fields %v, want %v", name, got, want)
	}
	if got, want := words(payload["required"]), sorted(append(need.Names(), "msgid")...); !slices.Equal(got, want) {
		a.t.Errorf("%s: required %v, want %v", name, got, want)
	}
	return payload
}

// field checks the type of a field and, in a client's message, its bounds.
func (a *asyncAPI) field(name, key string, client bool) {
	a.t.Helper()
	s := a.object("components", "messages", name, "payload", "properties", key)
	kind, least, most, chars, ok := proto.FieldRule(key)
	if !ok || s["type"] != kind {
		a.t.Errorf("%s: type of %s is %v, want %s", name, key, s["type"], kind)
	}
	switch {
	case !client:
		return
	case key == "limit": // the service checks its bounds
		least, most = 1, proto.MaxConversations
		if strings.HasSuffix(name, "SYNC") {
			most = proto.MaxSyncMessages
		}
		fallthrough
	case kind == "integer":
		if s["minimum"] != int(least) || s["maximum"] != int(most) {
			a.t.Errorf("%s: range of %s is %v to %v, want %d to %d", name, key, s["minimum"], s["maximum"], least, most)
		}
	case kind == "string":
		if s["minLength"] != int(least) || s["maxLength"] != int(most) {
			a.t.Errorf("%s: length of %s is %v to %v, want %d to %d", name, key, s["minLength"], s["maxLength"], least, most)
		}
		if bytes, counted := s["x-max-bytes"]; counted == chars || counted && bytes != int(most) {
			a.t.Errorf("%s: x-max-bytes of %s is %v; want %d if its length counts bytes (characters: %v)", name, key, bytes, most, chars)
		}
	}
}

// The elements of lists have the same fields as the Go structs.
func TestAsyncAPILists(t *testing.T) {
	a := readAsyncAPI(t)
	kinds := map[reflect.Kind]string{reflect.Int32: "integer", reflect.Int64: "integer", reflect.String: "string", reflect.Bool: "boolean", reflect.Slice: "array", reflect.Pointer: "object"}
	for _, entry := range []any{proto.Friend{}, proto.Group{}, proto.Member{}, proto.Chat{}, proto.Conversation{}} {
		goType := reflect.TypeOf(entry)
		s := a.object("components", "schemas", goType.Name())
		var has, need []string
		for i := range goType.NumField() {
			f := goType.Field(i)
			key, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			has = append(has, key)
			if options == "" {
				need = append(need, key)
			}
			if got, want := a.object("components", "schemas", goType.Name(), "properties", key)["type"], kinds[f.Type.Kind()]; got != want {
				t.Errorf("%s: type of %s is %v, want %s", goType.Name(), key, got, want)
			}
		}
		if got := sortedKeys(s["properties"]); !slices.Equal(got, sorted(has...)) {
			t.Errorf("%s: fields %v, want %v", goType.Name(), got, has)
		}
		if got := words(s["required"]); !slices.Equal(got, sorted(need...)) {
			t.Errorf("%s: required %v, want %v", goType.Name(), got, need)
		}
	}
	r := reflect.TypeOf(proto.Response{})
	for field, list := range map[string]string{"Friends": "friends", "Groups": "groups", "Users": "users", "Offline": "offlinemsg", "Messages": "messages", "Conversations": "conversations"} {
		f, ok := r.FieldByName(field)
		if !ok {
			t.Fatalf("proto.Response has no field %s", field)
		}
		items := a.object("components", "schemas", list)["items"].(object)["$ref"]
		if want := "#/components/schemas/" + f.Type.Elem().Name(); items != want {
			t.Errorf("elements of %s: got %v, want %s", list, items, want)
		}
	}
}

// Errnos, limits, states, roles, reasons and features are the same as in the code.
func TestAsyncAPIConstants(t *testing.T) {
	a := readAsyncAPI(t)
	errnos := map[string]string{}
	for _, e := range a.object("components", "schemas", "errno")["oneOf"].([]any) {
		errnos[fmt.Sprint(e.(object)["title"])] = fmt.Sprint(e.(object)["const"])
	}
	if want := constants(t, "errors.go", "Errno"); !maps.Equal(errnos, want) {
		t.Errorf("errnos\n got %v\nwant %v", errnos, want)
	}
	limits := map[string]string{}
	for name, v := range a.object("x-limits") {
		limits[name] = fmt.Sprint(v)
	}
	if want := constants(t, "limits.go", ""); !maps.Equal(limits, want) {
		t.Errorf("x-limits\n got %v\nwant %v", limits, want)
	}
	var said, ours []string
	for _, name := range []string{"state", "role", "reason"} {
		said = append(said, words(a.object("components", "schemas", name)["enum"])...)
	}
	said = append(said, words(a.object("components", "schemas", "features")["x-values"])...)
	for _, value := range constants(t, "response.go", "") {
		ours = append(ours, value)
	}
	if !slices.Equal(sorted(said...), sorted(ours...)) {
		t.Errorf("states, roles, reasons and features\n got %v\nwant %v", said, ours)
	}
	for list, most := range map[string]int{"users": proto.MaxPageUsers, "offlinemsg": proto.MaxOffline, "messages": proto.MaxSyncMessages, "conversations": proto.MaxConversations} {
		if got := a.object("components", "schemas", list)["maxItems"]; got != most {
			t.Errorf("maxItems of %s is %v, want %d", list, got, most)
		}
	}
}

// The codec accepts the examples and knows all of their fields, and the examples
// match their schemas.
func TestAsyncAPIExamples(t *testing.T) {
	a := readAsyncAPI(t)
	var d proto.Decoder
	for name := range a.object("components", "messages") {
		list, _ := a.object("components", "messages", name)["examples"].([]any)
		if len(list) == 0 {
			t.Errorf("%s has no examples, want some", name)
		}
		schema := a.schema("components", "messages", name, "payload")
		for _, e := range list {
			payload := e.(object)["payload"]
			text, err := json.Marshal(payload)
			if err != nil {
				t.Fatal(err)
			}
			var op proto.Op
			var fields proto.Fields
			if strings.HasPrefix(name, "client.") {
				r, bad := d.Decode(text)
				if bad != nil {
					t.Errorf("example of %s: the codec refuses %s: %v", name, text, bad)
					continue
				}
				op, fields = r.Op, r.Fields
			} else {
				r, err := d.DecodeResponse(text)
				if err != nil {
					t.Errorf("example of %s: the codec refuses %s: %v", name, text, err)
					continue
				}
				op, fields = r.Op, r.Fields
			}
			if _, n, _ := strings.Cut(name, "."); op.String() != n {
				t.Errorf("example of %s: %s is a %s", name, text, op)
			}
			if got, want := sorted(append(fields.Names(), "msgid")...), sortedKeys(payload); !slices.Equal(got, want) {
				t.Errorf("example of %s: the codec reads the fields %v, want %v", name, got, want)
			}
			if err := schema.Validate(likeJSON(t, payload)); err != nil {
				t.Errorf("example of %s doesn't match its schema: %s: %v", name, text, err)
			}
		}
	}
}

// What the codec writes matches the schemas, for every message in all its forms.
// Messages that the codec refuses because of a field don't match.
func TestAsyncAPISchemas(t *testing.T) {
	a := readAsyncAPI(t)
	schemas := map[string]*jsonschema.Schema{}
	check := func(name, wire string) error {
		if schemas[name] == nil {
			schemas[name] = a.schema("components", "messages", name, "payload")
		}
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(wire))
		if err != nil {
			t.Fatalf("invalid JSON %s: %v", wire, err)
		}
		return schemas[name].Validate(v)
	}
	for _, c := range prototest.Requests() {
		if c.Request.Limit < 0 {
			continue // the codec accepts it, the service refuses it
		}
		if err := check("client."+c.Request.Op.String(), c.Wire); err != nil {
			t.Errorf("%s doesn't match its schema: %v", c.Wire, err)
		}
	}
	for _, c := range prototest.Responses() {
		if err := check("server."+c.Response.Op.String(), c.Wire); err != nil {
			t.Errorf("%s doesn't match its schema: %v", c.Wire, err)
		}
	}
	refused := 0
	for _, r := range prototest.Refusals() {
		if _, _, _, sent := proto.RequestFields(r.Op); !sent || strings.HasPrefix(r.Message, "invalid JSON") {
			continue
		}
		err := check("client."+r.Op.String(), r.Wire)
		switch {
		case err != nil:
			refused++
		case strings.Contains(r.Message, " bytes, got "): // a schema can't count bytes
		case strings.HasSuffix(r.Message, "invisible"): // nor list invisible characters, which differ between versions of Unicode
		case strings.Contains(r.Wire, ".0") || strings.Contains(r.Wire, "e0"): // an integer in JSON Schema
		default:
			t.Errorf("%.80s matches its schema, but the codec refuses it: %s", r.Wire, r.Message)
		}
	}
	if refused == 0 {
		t.Error("no message was refused by its schema, want some")
	}
}
