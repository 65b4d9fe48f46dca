package proto_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"chatd/proto"
	"chatd/proto/prototest"
)

// FuzzRequest compares the decoder with a strict library. Both refuse the same JSON,
// except that the decoder also refuses what isn't an object or is nested too deeply.
// Both decode the same values.
func FuzzRequest(f *testing.F) {
	for _, c := range prototest.Requests() {
		f.Add([]byte(c.Wire))
	}
	for _, c := range prototest.Refusals() {
		if len(c.Wire) < 300 {
			f.Add([]byte(c.Wire))
		}
	}
	f.Add([]byte(`{"msgid":18,"x":[1e400,-0.5E-3,{"y":"\ud83d\ude00","Y":[[],{}]}],"z":"` + strings.Repeat("é", 20) + `"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var d proto.Decoder
		r, err := d.Decode(body)
		if r == nil {
			t.Fatal("Decode returned no request")
		}
		valid := jsontext.Value(body).IsValid()
		switch {
		case err == nil && !valid:
			t.Fatalf("Decode accepts %q, want an error: it isn't valid JSON", body)
		case err != nil && strings.HasPrefix(err.Message, "invalid JSON"):
			ours := strings.HasSuffix(err.Message, "levels deep") || strings.HasSuffix(err.Message, "a frame must be a JSON object")
			if valid && !ours {
				t.Fatalf("Decode(%q) = %v, want no JSON error: jsontext accepts it", body, err)
			}
			return
		case !valid:
			t.Fatalf("Decode(%q) = %v, want an error that starts with \"invalid JSON\"", body, err)
		}
		var seen map[string]jsontext.Value
		if err := json.Unmarshal(body, &seen); err != nil {
			t.Fatalf("Decode accepts %q, but json.Unmarshal refuses it: %v", body, err)
		}
		if err != nil {
			if err.Errno != proto.BadRequest && err.Errno != proto.UnknownOp {
				t.Fatalf("Decode = %v, want errno %d or %d", err, proto.BadRequest, proto.UnknownOp)
			}
			if r.Has(proto.FRID) && strconv.FormatInt(r.RID, 10) != strings.Replace(string(seen["rid"]), "-0", "0", 1) {
				t.Fatalf("Decode(%q): rid = %d, want %s, as json.Unmarshal has it", body, r.RID, seen["rid"])
			}
			return
		}
		compareValues(t, r, seen)

		again, err := d.Decode(proto.AppendRequest(nil, r.Clone()))
		if err != nil {
			t.Fatalf("Decode of AppendRequest's output for %q = %v, want no error", body, err)
		}
		var d2 proto.Decoder
		first, _ := d2.Decode(body)
		again.Plain, first.Plain = 0, 0 // depend on the escapes, which may differ
		if !reflect.DeepEqual(again, first) {
			t.Fatalf("encoded and decoded again\n got %+v\nwant %+v", again, first)
		}
	})
}

// FuzzPush compares AppendPush with AppendResponse, and with the library: whatever a
// client has sent, other clients get the same valid JSON from both.
func FuzzPush(f *testing.F) {
	for _, c := range prototest.Requests() {
		f.Add([]byte(c.Wire), int64(7), "li", int64(1700000000000), int64(5))
	}
	for _, text := range []string{`\"`, `\\`, `\/`, `\b\f\n\r\t`, `\u0000`, `\u001f`, `\u0041`, `\u007f`, "\x7f", `\u2028`, "\u2028\u2029", `\ud83d\ude00`,
		`\ud83d`, `\ude00`, "\U0001f600", "\xff", "\xed\xa0\x80", "\xc0\xaf", "\x00", "\n", `"`, `\`, `","id":1,"x":"`, "\ufffd", "eight by\\ntes", "</script>"} {
		for _, wire := range []string{`{"msgid":25,"toid":2,"event":"` + text + `","data":"plain"}`, `{"msgid":25,"groupid":3,"event":"plain","data":"` + text + `"}`,
			`{"msgid":6,"toid":2,"msg":"` + text + `","cid":"plain"}`, `{"msgid":10,"groupid":3,"msg":"plain","cid":"` + text + `"}`} {
			f.Add([]byte(wire), int64(1), text, int64(-1), int64(proto.MaxID))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, id int64, name string, at, seq int64) {
		var d proto.Decoder
		r, err := d.Decode(body)
		if err != nil {
			return
		}
		p := proto.Push{Op: r.Op, Sender: proto.AppendSender(nil, id, name), ToID: r.ToID, GroupID: r.GroupID, Plain: r.Plain}
		want := proto.Response{Op: r.Op, ID: id, Name: name, ToID: r.ToID, GroupID: r.GroupID}
		switch r.Op {
		case proto.EVENT:
			p.Event, p.Data = r.Event, r.Data
			want.Event, want.Data = r.Event, r.Data
		case proto.ONE_CHAT, proto.GROUP_CHAT:
			p.Msg, p.CID, p.Time, p.Seq = r.Msg, r.CID, at, seq
			want.Msg, want.CID, want.Time, want.Seq = r.Msg, r.CID, at, seq
		default:
			return
		}
		got := proto.AppendPush([]byte("x"), &p)
		if wire := proto.AppendResponse([]byte("x"), &want); !bytes.Equal(got, wire) {
			t.Fatalf("AppendPush\n got %s\nwant %s, as AppendResponse writes it", got, wire)
		}
		if !jsontext.Value(got[1:]).IsValid() {
			t.Fatalf("AppendPush wrote invalid JSON: %q", got[1:])
		}
		c := r.Clone()
		p.Event, p.Data, p.Msg, p.CID, p.Plain = c.Event, c.Data, c.Msg, c.CID, c.Plain
		if again := proto.AppendPush([]byte("x"), &p); !bytes.Equal(again, got) {
			t.Fatalf("AppendPush of a cloned request\n got %s\nwant %s", again, got)
		}
	})
}

// compareValues compares each decoded field with the library's value.
func compareValues(t *testing.T, r *proto.Request, seen map[string]jsontext.Value) {
	t.Helper()
	want := map[proto.Field]any{
		proto.FRID: r.RID, proto.FID: r.ID, proto.FToID: r.ToID, proto.FPeer: r.Peer, proto.FGroupID: r.GroupID,
		proto.FFriendID: r.FriendID, proto.FUserID: r.UserID, proto.FSeq: r.Seq, proto.FAfter: r.After,
		proto.FBefore: r.Before, proto.FLimit: r.Limit,
		proto.FAck: r.Ack, proto.FBrief: r.Brief, proto.FRetry: r.Retry, proto.FRead: r.Read, proto.FOn: r.On,
		proto.FMsg: string(r.Msg), proto.FCID: string(r.CID), proto.FEvent: string(r.Event), proto.FData: string(r.Data),
		proto.FName: r.Name, proto.FPassword: r.Password, proto.FNewPassword: r.NewPassword, proto.FCode: r.Code, proto.FToken: r.Token,
		proto.FDevice: r.Device, proto.FGroupName: r.GroupName, proto.FGroupDesc: r.GroupDesc,
	}
	for f := proto.FRID; f <= proto.FMore; f++ {
		if !r.Has(f) {
			continue
		}
		got := reflect.New(reflect.TypeOf(want[f]))
		if err := json.Unmarshal(seen[f.String()], got.Interface()); err != nil {
			t.Fatalf("Decode has a value for %s, but json.Unmarshal refuses it: %v", f, err)
		}
		if got.Elem().Interface() != want[f] {
			t.Fatalf("%s = %v, want %v, as json.Unmarshal has it", f, want[f], got.Elem())
		}
	}
	if op, err := strconv.Atoi(string(seen["msgid"])); err != nil || proto.Op(op) != r.Op {
		t.Fatalf("msgid = %d, want %s, as json.Unmarshal has it", r.Op, seen["msgid"])
	}
}

// FuzzResponse checks that a client survives whatever a server sends. What it
// accepts stays the same when it is encoded and decoded again.
func FuzzResponse(f *testing.F) {
	for _, c := range prototest.Responses() {
		f.Add([]byte(c.Wire))
	}
	f.Add([]byte(`{"msgid":2,"errno":0,"groups":[null,{"users":null}],"friends":[]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var d1, d2 proto.Decoder
		r, err := d1.DecodeResponse(body)
		if err != nil {
			if r != nil {
				t.Fatalf("DecodeResponse = %+v, %v; want no response with an error", r, err)
			}
			return
		}
		if !jsontext.Value(body).IsValid() {
			t.Fatalf("DecodeResponse accepts %q, want an error: it isn't valid JSON", body)
		}
		wire := proto.AppendResponse(nil, r)
		if !jsontext.Value(wire).IsValid() {
			t.Fatalf("AppendResponse wrote invalid JSON: %q", wire)
		}
		again, err := d2.DecodeResponse(wire)
		if err != nil {
			t.Fatalf("DecodeResponse of AppendResponse's output %s = %v, want no error", wire, err)
		}
		if twice := proto.AppendResponse(nil, again); !bytes.Equal(twice, wire) {
			t.Fatalf("encoded twice\n got %s\nwant %s", twice, wire)
		}
	})
}

// FuzzFrame checks that ReadFrame returns the frames of a stream in order, or an
// error, whatever lengths the stream has, and never reads too much.
func FuzzFrame(f *testing.F) {
	f.Add(proto.AppendFrame(proto.AppendFrame(nil, []byte(`{"msgid":18}`)), []byte(`{}`)))
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{0, 0, 0, 5, 'a'})
	f.Add([]byte{0, 0})
	f.Add([]byte("GET / HTTP/1.1\r\n"))
	f.Add(binary.BigEndian.AppendUint32(nil, proto.MaxResponse+1))
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := bufio.NewReaderSize(iotest.OneByteReader(bytes.NewReader(stream)), 16)
		var buf, rebuilt []byte
		for {
			body, err := proto.ReadFrame(r, buf)
			if err != nil {
				rest := stream[len(rebuilt):]
				switch {
				case err == io.EOF && len(rest) != 0:
					t.Fatalf("ReadFrame = io.EOF with %d bytes left", len(rest))
				case err == io.ErrUnexpectedEOF && len(rest) == 0:
					t.Fatal("ReadFrame = io.ErrUnexpectedEOF at the end of a frame, want io.EOF")
				case err != io.EOF && err != io.ErrUnexpectedEOF:
					if n := binary.BigEndian.Uint32(rest); n != 0 && n <= proto.MaxResponse {
						t.Fatalf("ReadFrame of a frame of %d bytes = %v, want the frame", n, err)
					}
				}
				return
			}
			buf = body
			if len(body) == 0 || len(body) > proto.MaxResponse {
				t.Fatalf("ReadFrame returned %d bytes, want 1 to %d", len(body), proto.MaxResponse)
			}
			head := len(rebuilt)
			rebuilt = proto.AppendFrame(rebuilt, body)
			if !bytes.HasPrefix(stream, rebuilt) {
				t.Fatal("the frames read differ from the stream")
			}
			n, e := proto.FrameLen(rebuilt[head:])
			if ok := len(body) <= proto.MaxRequest; ok != (e == nil) || ok && n != len(body) {
				t.Fatalf("FrameLen of a frame of %d bytes = %d, %v; want success: %v", len(body), n, e, ok)
			}
		}
	})
}
