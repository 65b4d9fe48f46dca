package proto_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"chatd/proto"
	"chatd/proto/prototest"
)

// Third-party clients depend on the wire format. Every message that a client sends,
// in every form, is encoded to exactly the bytes of its case, and decoded to the same
// values whatever the order, spacing and escaping of its fields.
func TestRequests(t *testing.T) {
	var d proto.Decoder
	sent := map[proto.Op]bool{}
	for _, c := range prototest.Requests() {
		t.Run(c.Name, func(t *testing.T) {
			sent[c.Request.Op] = true
			if got := string(proto.AppendRequest(nil, &c.Request)); got != c.Wire {
				t.Errorf("AppendRequest\n got %s\nwant %s", got, c.Wire)
			}
			for _, wire := range []string{c.Wire, disturbed(t, c.Wire)} {
				got, err := d.Decode([]byte(wire))
				if err != nil {
					t.Fatalf("Decode(%s) = %v, want no error", wire, err)
				}
				want := c.Request
				want.Plain = got.Plain // depends on the escapes; FuzzPush checks it
				if !reflect.DeepEqual(*got, want) {
					t.Errorf("Decode(%s)\n got %+v\nwant %+v", wire, *got, want)
				}
				if got := string(proto.AppendRequest(nil, got.Clone())); got != c.Wire {
					t.Errorf("decoded and encoded again\n got %s\nwant %s", got, c.Wire)
				}
			}
		})
	}
	for op := proto.Op(1); op < proto.OpCount; op++ {
		if (op.Ack() != 0 || op == proto.PONG) != sent[op] {
			t.Errorf("%s: has a case: %v, want %v", op, sent[op], op.Ack() != 0 || op == proto.PONG)
		}
	}
}

// TestResponses checks the same for every message that a server sends, with success
// and refusals.
func TestResponses(t *testing.T) {
	var d proto.Decoder
	sent := map[proto.Op]bool{}
	for _, c := range prototest.Responses() {
		t.Run(c.Name, func(t *testing.T) {
			sent[c.Response.Op] = true
			if got := string(proto.AppendResponse([]byte("x"), &c.Response)); got != "x"+c.Wire {
				t.Errorf("AppendResponse\n got %s\nwant x%s", got, c.Wire)
			}
			for _, wire := range []string{c.Wire, disturbed(t, c.Wire)} {
				got, err := d.DecodeResponse([]byte(wire))
				if err != nil {
					t.Fatalf("DecodeResponse(%s) = %v, want no error", wire, err)
				}
				if again := string(proto.AppendResponse(nil, got)); again != c.Wire {
					t.Errorf("decoded %s and encoded again\n got %s\nwant %s", wire, again, c.Wire)
				}
				for key := range members(t, c.Wire) {
					if f := fieldNamed(t, key); f != proto.FMsgID && !got.Has(f) {
						t.Errorf("DecodeResponse(%s): Fields lacks %s", wire, key)
					}
				}
			}
		})
	}
	for op := proto.Op(2); op < proto.OpCount; op++ {
		asked := map[proto.Op]bool{proto.LOGOUT: true, proto.REG: true, proto.CREATE_GROUP: true, proto.SYNC: true, proto.KICK_MEMBER: true,
			proto.FIND_USER: true, proto.PASSWORD: true, proto.GROUP_USERS: true, proto.CONVERSATIONS: true}
		if sent[op] == asked[op] {
			t.Errorf("prototest.Cases has %s: %v, want %v, as only responses that a server sends need a case", op, sent[op], !asked[op])
		}
	}
}

// TestResponseValues compares decoded values directly, because encoding them again,
// as TestResponses does, could hide a loss.
func TestResponseValues(t *testing.T) {
	var d proto.Decoder
	for _, c := range prototest.Responses() {
		if c.Response.Errno != proto.Done {
			continue // a refusal has fewer fields than the case sets
		}
		got, err := d.DecodeResponse([]byte(c.Wire))
		if err != nil {
			t.Fatalf("DecodeResponse(%s) = %v, want no error", c.Wire, err)
		}
		want := c.Response
		want.Fields = got.Fields
		// A required list that is empty is decoded as an empty list, not nil.
		for _, p := range []*[]proto.Chat{&want.Offline, &want.Messages} {
			if *p == nil && (got.Has(proto.FOffline) && p == &want.Offline || got.Has(proto.FMessages) && p == &want.Messages) {
				*p = []proto.Chat{}
			}
		}
		if !reflect.DeepEqual(*got, want) {
			t.Errorf("DecodeResponse, %s\n got %+v\nwant %+v", c.Name, *got, want)
		}
	}
}

// An invalid message is refused with a text that says what is wrong, and with
// the rid of the request.
func TestRefusals(t *testing.T) {
	var d proto.Decoder
	for _, c := range prototest.Refusals() {
		r, err := d.Decode([]byte(c.Wire))
		wire := c.Wire
		if len(wire) > 100 {
			wire = fmt.Sprintf("%s… (%d bytes)", wire[:100], len(wire))
		}
		switch {
		case err == nil:
			t.Errorf("Decode(%s) = nil, want %q (errno %d)", wire, c.Message, c.Errno)
		case err.Errno != c.Errno || err.Message != c.Message:
			t.Errorf("Decode(%s)\n got %v\nwant %s (errno %d)", wire, err, c.Message, c.Errno)
		case r.Op != c.Op || r.RID != c.RID || r.Has(proto.FRID) != c.HasRID:
			t.Errorf("Decode(%s): got op %d, rid %d (present: %v); want %d, %d (%v)", wire, r.Op, r.RID, r.Has(proto.FRID), c.Op, c.RID, c.HasRID)
		}
	}
}

// Values at their limits are accepted, and unknown fields are ignored whatever
// they contain.
func TestAccepted(t *testing.T) {
	var d proto.Decoder
	for _, wire := range []string{
		`{"msgid":18,"msg":5,"toid":null,"Msgid":1,"":[],"x":{"y":[1e400,-0.5E-3,{"y":"\ud83d\ude00"}]}}`,
		"\t\r\n {\"msgid\" :\t18 ,\n\"rid\" : 1 }\r\n ",
		`{"msgid":18,"x":` + strings.Repeat("[", 15) + strings.Repeat("]", 15) + `}`,
		`{"msgid":18,"x":[{"a":1},{"a":1},{"a":{"a":1}}]}`,
		`{"msgid":18,"a":1,"A":1,"a ":1}`,
		`{"msgid":1,"token":"t","device":7}`,
		`{"msgid":1,"name":"n","password":"p"}`,
		`{"msgid":4,"name":"` + strings.Repeat("字", 50) + `","password":"` + strings.Repeat("\u0301", 128) + `"}`,
		`{"msgid":8,"groupname":"` + strings.Repeat("𝒢", 50) + `","groupdesc":"` + strings.Repeat("字", 200) + `"}`,
		`{"msgid":6,"toid":1,"msg":"` + strings.Repeat("m", 32<<10) + `","cid":"` + strings.Repeat("c", 64) + `"}`,
		`{"msgid":6,"toid":1,"msg":"` + strings.Repeat(`\u0000`, 10_000) + `x","cid":"\u0000"}`,
		`{"msgid":25,"toid":1,"event":"` + strings.Repeat("é", 32) + `","data":"` + strings.Repeat("d", 1<<10) + `"}`,
		`{"msgid":21,"peer":1,"limit":9007199254740991,"after":9007199254740991,"before":0}`,
		`{"msgid":42,"limit":-9007199254740991}`,
		`{"msgid":18,"rid":-9007199254740991}`,
	} {
		if _, err := d.Decode([]byte(wire)); err != nil {
			t.Errorf("Decode(%.100s) = %v, want no error", wire, err)
		}
	}
}

// A decoder serves all connections of a loop: a frame must not affect how the
// next one is decoded. A clone stays valid.
func TestDecoderReuse(t *testing.T) {
	var d proto.Decoder
	frame := []byte(`{"msgid":6,"rid":1,"id":1,"toid":2,"msg":"a\u0062c","cid":"c","retry":true}`)
	first, err := d.Decode(frame)
	if err != nil {
		t.Fatalf("Decode(%s) = %v, want no error", frame, err)
	}
	kept := first.Clone()
	clear(frame)
	second, err := d.Decode([]byte(`{"msgid":18,"x":"\u0078\u0079\u007a"}`))
	if err != nil {
		t.Fatalf("Decode of the second frame = %v, want no error", err)
	}
	if !reflect.DeepEqual(*second, proto.Request{Op: proto.PING}) {
		t.Errorf("second frame: got %+v, want only the op PING", *second)
	}
	if string(kept.Msg) != "abc" || string(kept.CID) != "c" || !kept.Retry {
		t.Errorf("clone of the first request after the second frame: got %+v, want msg \"abc\", cid \"c\" and retry", kept)
	}
	if r, err := d.Decode([]byte(`{"msgid":6,"toid":3`)); err == nil || r.ToID != 0 || len(r.Msg) != 0 {
		t.Errorf("Decode of a truncated frame = %+v, %v; want an error and no fields", r, err)
	}
}

// Every escape of JSON is decoded correctly.
func TestEscapes(t *testing.T) {
	var d proto.Decoder
	for in, want := range map[string]string{
		`\"\\\/\b\f\n\r\t`:                     "\"\\/\b\f\n\r\t",
		`\u0041\u00e9\u4F60\uFFFF\u0000`:       "Aé你\uffff\x00",
		`\uD83D\uDE00\ud800\udc00\uDBFF\uDFFF`: "😀\U00010000\U0010ffff",
		`a\nb`:                                 "a\nb",
		`\\n\\u0041`:                           `\n\u0041`,
	} {
		r, err := d.Decode([]byte(`{"msgid":6,"toid":1,"msg":"` + in + `","cid":"c"}`))
		if err != nil || string(r.Msg) != want {
			t.Errorf("msg %q decoded as %q, %v; want %q", in, r.Msg, err, want)
		}
	}
}

// A message with an op that neither side sends is encoded with msgid and rid only.
func TestUnknownOps(t *testing.T) {
	for _, op := range []proto.Op{-1, 0, proto.OpCount, proto.OpCount + 1} {
		want := fmt.Sprintf(`{"msgid":%d,"rid":5}`, op)
		if got := string(proto.AppendRequest(nil, &proto.Request{Op: op, RID: 5, ToID: 1})); got != want {
			t.Errorf("AppendRequest of op %d = %s, want %s", op, got, want)
		}
		if got := string(proto.AppendResponse(nil, &proto.Response{Op: op, Fields: 1 << proto.FRID, RID: 5, ErrMsg: "x"})); got != want {
			t.Errorf("AppendResponse of op %d = %s, want %s", op, got, want)
		}
		if op.Ack() != 0 || op.String() != fmt.Sprint(int(op)) {
			t.Errorf("op %d: String() = %s, Ack() = %s; want its number, and 0", int(op), op, op.Ack())
		}
	}
}

// The decoder caches strings. Names must be decoded correctly however many and
// however similar they are.
func TestNamesAreNotConfused(t *testing.T) {
	var d proto.Decoder
	kept := map[string]string{}
	for range 2 {
		for i := range 500 {
			for _, name := range []string{fmt.Sprintf("user %d", i), fmt.Sprintf("%d user", i), strings.Repeat("n", i)} {
				r, err := d.DecodeResponse(proto.AppendResponse(nil, &proto.Response{Op: proto.ADD_FRIEND, ID: 1, Name: name}))
				if err != nil || r.Name != name {
					t.Fatalf("name %q decoded as %q, %v", name, r.Name, err)
				}
				kept[name] = r.Name
			}
		}
	}
	for name, got := range kept {
		if name != got {
			t.Errorf("decoded name %q has changed to %q", name, got)
		}
	}
}

// Duplicates are found among thousands of keys in a frame, whether short, long,
// escaped or in nested objects.
func TestManyKeys(t *testing.T) {
	var d proto.Decoder
	const n = 4000
	var flat, nested strings.Builder
	for i := range n {
		fmt.Fprintf(&flat, `,"k%d":0`, i)
		fmt.Fprintf(&nested, `{"a":0,"b":0},`)
	}
	object := `{"x":{"k":0` + flat.String() + `}`
	for _, c := range []struct {
		wire string
		ok   bool
	}{
		{`{"msgid":18` + flat.String() + `}`, true},
		{`{"msgid":18` + flat.String() + `,"k0":0}`, false},
		{`{"msgid":18` + flat.String() + `,"\u006b3999":0}`, false},
		{`{"msgid":18` + flat.String() + `,"msgid":18}`, false},
		{object + `,"msgid":18` + flat.String() + `}`, true},
		{object + `,"msgid":18` + flat.String() + `,"k7":0}`, false},
		{`{"msgid":18,"x":[` + nested.String() + `{"a":0,"b":0}]}`, true},
		{`{"msgid":18,"x":[` + nested.String() + `{"a":0,"a":0}]}`, false},
		{`{"msgid":18,"a":0}`, true},
	} {
		r, err := d.Decode([]byte(c.wire))
		if (err == nil) != c.ok || !c.ok && !strings.HasSuffix(err.Message, ": duplicate key") {
			t.Errorf("Decode(%.60s…, %d bytes) = %v; want a duplicate key: %v", c.wire, len(c.wire), err, !c.ok)
		}
		if r.Op != proto.PING {
			t.Errorf("Decode(%.60s…): got op %v, want PING", c.wire, r.Op)
		}
	}
}

// A client accepts unknown ops and fields of newer servers, but doesn't take an
// incomplete answer for success.
func TestDecodeResponse(t *testing.T) {
	var d proto.Decoder
	for _, wire := range []string{
		`{"msgid":99,"rid":3,"errno":"x","list":[[]]}`,
		`{"msgid":-1}`,
		`{"msgid":99999999999}`,
		`{"msgid":12,"errno":77,"errmsg":"new","toid":0,"cid":"","extra":{}}`,
		`{"msgid":17,"errno":0}`,
		`{"msgid":6,"id":1,"name":"` + strings.Repeat("n", 9000) + `","toid":2,"msg":"","time":-1,"seq":0,"cid":""}`,
		`{"msgid":2,"errno":0,"friends":[{"id":1,"name":"n","state":"away","new":[{}]}],"groups":[{}]}`,
	} {
		if _, err := d.DecodeResponse([]byte(wire)); err != nil {
			t.Errorf("DecodeResponse(%.100s) = %v, want no error", wire, err)
		}
	}
	for wire, want := range map[string]string{
		`{"msgid":99`:                        "proto: invalid JSON at byte 11: unexpected end of frame",
		`{"rid":1}`:                          "proto: message from the server: msgid is missing",
		`{"msgid":11}`:                       "proto: LOGOUT_ACK: errno is missing",
		`{"msgid":12,"errno":0,"toid":1}`:    "proto: ONE_CHAT_ACK: cid is missing",
		`{"msgid":11,"errno":null}`:          "proto: LOGOUT_ACK: errno must be an integer",
		`{"msgid":11,"errno":4294967296}`:    "proto: LOGOUT_ACK: errno 4294967296 is out of range",
		`{"msgid":24,"id":1,"state":true}`:   "proto: PRESENCE: state must be a string",
		`{"msgid":34,"userid":1,"on":1}`:     "proto: BLOCK: on must be true or false",
		`{"msgid":2,"errno":0,"friends":{}}`: "proto: LOGIN_ACK: friends must be a list",
	} {
		if r, err := d.DecodeResponse([]byte(wire)); err == nil || err.Error() != want || r != nil {
			t.Errorf("DecodeResponse(%s)\n got %v\nwant %s", wire, err, want)
		} else if refusal := (*proto.Error)(nil); errors.As(err, &refusal) {
			t.Errorf("DecodeResponse(%s) wraps a *proto.Error, as if the server had refused something", wire)
		}
	}
	if r, err := d.DecodeResponse([]byte(`{"msgid":2,"errno":0,"friends":[{"id":"1"}]}`)); err == nil || r != nil {
		t.Errorf("DecodeResponse of a list with an element of the wrong type = %v, %v; want an error", r, err)
	}
}

// A message has the same bytes as a push, in offlinemsg and in SYNC_ACK.
func TestAppendChat(t *testing.T) {
	for _, op := range []proto.Op{proto.ONE_CHAT, proto.GROUP_CHAT} {
		chat := proto.Chat{Op: op, ID: 1, Name: "li", Msg: "hi\n", Time: 5, Seq: 6, CID: "c"}
		push := proto.Response{Op: op, ID: 1, Name: "li", Msg: []byte("hi\n"), Time: 5, Seq: 6, CID: []byte("c")}
		if op == proto.ONE_CHAT {
			chat.ToID, push.ToID = 2, 2
		} else {
			chat.GroupID, push.GroupID = 3, 3
		}
		got, want := string(proto.AppendChat(nil, &chat)), string(proto.AppendResponse(nil, &push))
		if got != want {
			t.Errorf("AppendChat = %s, want the bytes of the push: %s", got, want)
		}
	}
}

// Every string is encoded as valid JSON, and valid UTF-8 is unchanged.
func TestAppendString(t *testing.T) {
	long := strings.Repeat("abcdefgh", 4)
	for c := rune(0); c < 0x300; c++ {
		for _, s := range []string{string(c), "a" + string(c), long + string(c) + long, long[:5] + string(c), string(c) + string(c)} {
			checkString(t, s, s)
		}
	}
	checkString(t, "你好世界 😀 \u2028", "你好世界 😀 \u2028")
	for in, want := range map[string]string{
		"\xff":               "\uFFFD",
		"a\xc3":              "a\uFFFD",
		"\xe4\xbdx":          "\uFFFD\uFFFDx",
		"\xed\xa0\x80":       "\uFFFD\uFFFD\uFFFD",
		long + "\x80" + long: long + "\uFFFD" + long,
		"\uFFFD":             "\uFFFD",
	} {
		checkString(t, in, want)
	}
	if got, want := string(proto.AppendString(nil, "\"\\/\b\f\n\r\t\x00\x1f\x7f<>&é")), `"\"\\/\b\f\n\r\t\u0000\u001f`+"\x7f"+`<>&é"`; got != want {
		t.Errorf("AppendString = %s, want %s", got, want)
	}
}

// checkString checks that AppendString(in) is JSON that encoding/json reads as want.
func checkString(t *testing.T, in, want string) {
	t.Helper()
	wire := proto.AppendString(nil, in)
	if again := proto.AppendString(nil, []byte(in)); string(again) != string(wire) {
		t.Errorf("AppendString(%q) = %s for a string and %s for bytes, want the same", in, wire, again)
	}
	var got string
	if err := json.Unmarshal(wire, &got); err != nil || got != want {
		t.Errorf("AppendString(%q) = %s, which encoding/json reads as %q, %v; want %q", in, wire, got, err, want)
	}
}

// members returns the fields of a message, unparsed.
func members(t *testing.T, wire string) map[string]json.RawMessage {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(wire), &m); err != nil {
		t.Fatalf("encoding/json refuses %s: %v", wire, err)
	}
	return m
}

// disturbed returns the same message as another client might encode it: fields in
// another order, with spaces, all characters escaped, additional fields, msgid last.
func disturbed(t *testing.T, wire string) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("\n{ ")
	all := members(t, wire)
	for key, raw := range all {
		if key == "msgid" {
			continue
		}
		value := string(raw)
		if value[0] == '"' {
			var s string
			if err := json.Unmarshal(raw, &s); err != nil {
				t.Fatal(err)
			}
			value = escaped(s)
		}
		fmt.Fprintf(&b, "%s\t: %s , ", escaped(key), value)
	}
	fmt.Fprintf(&b, "%q : {%q:[null]},\r\n%q:%s } ", "extra", "msgid", "msgid", all["msgid"])
	return b.String()
}

// escaped returns s as a JSON string that consists of escapes only.
func escaped(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		if r > 0xffff {
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04X`, 0xd800+r>>10, 0xdc00+r&0x3ff)
			continue
		}
		fmt.Fprintf(&b, `\u%04x`, r)
	}
	b.WriteByte('"')
	return b.String()
}

func fieldNamed(t *testing.T, key string) proto.Field {
	t.Helper()
	for f := proto.FMsgID; f <= proto.FMore; f++ {
		if f.String() == key {
			return f
		}
	}
	t.Fatalf("proto has no field %q", key)
	return 0
}
