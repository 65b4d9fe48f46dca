package proto_test

import (
	"strings"
	"testing"

	"chatd/proto"
	"chatd/proto/prototest"
)

// hot are the ops of the hot path.
var hot = map[proto.Op]bool{
	proto.ONE_CHAT: true, proto.GROUP_CHAT: true, proto.ONE_CHAT_ACK: true, proto.GROUP_CHAT_ACK: true, proto.EVENT: true,
	proto.RECEIPT: true, proto.PING: true, proto.PONG: true, proto.ERROR: true, proto.PRESENCE: true,
}

// Messages of the hot path are encoded and decoded without allocations, even with
// escapes and unknown keys. Otherwise garbage collection would take a whole core.
func TestHotPathDoesNotAllocate(t *testing.T) {
	var d proto.Decoder
	dst := make([]byte, 0, proto.MaxRequest)
	for _, c := range prototest.Requests() {
		if !hot[c.Request.Op] {
			continue
		}
		body := []byte(strings.Replace(c.Wire, "{", `{"x":{"y":"\u0041"},"\u007a":1,`, 1))
		if n := testing.AllocsPerRun(100, func() {
			if _, err := d.Decode(body); err != nil {
				t.Fatalf("Decode(%s) = %v, want no error", body, err)
			}
		}); n != 0 {
			t.Errorf("decoding %s: %v allocations, want 0", c.Name, n)
		}
		if n := testing.AllocsPerRun(100, func() { dst = proto.AppendRequest(dst[:0], &c.Request) }); n != 0 {
			t.Errorf("encoding %s: %v allocations, want 0", c.Name, n)
		}
	}
	for _, c := range prototest.Responses() {
		if n := testing.AllocsPerRun(100, func() { dst = proto.AppendResponse(dst[:0], &c.Response) }); n != 0 {
			t.Errorf("encoding %s: %v allocations, want 0", c.Name, n)
		}
		if !hot[c.Response.Op] || c.Response.Errno != proto.Done {
			continue // a refusal has a text, which is allocated
		}
		body := []byte(c.Wire)
		if n := testing.AllocsPerRun(100, func() {
			if _, err := d.DecodeResponse(body); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("decoding %s: %v allocations, want 0", c.Name, n)
		}
	}
	chat := proto.Chat{Op: proto.ONE_CHAT, ID: 1, Name: "li", ToID: 2, Msg: "hi", Time: 5, Seq: 6, CID: "c"}
	if n := testing.AllocsPerRun(100, func() { dst = proto.AppendChat(dst[:0], &chat) }); n != 0 {
		t.Errorf("AppendChat: %v allocations, want 0", n)
	}
	sender := proto.AppendSender(nil, 1, "li")
	push := proto.Push{Op: proto.ONE_CHAT, Sender: sender, ToID: 2, Msg: []byte("hi"), Time: 5, Seq: 6, CID: []byte("c")}
	if n := testing.AllocsPerRun(100, func() { dst = proto.AppendPush(dst[:0], &push) }); n != 0 {
		t.Errorf("AppendPush: %v allocations, want 0", n)
	}
}

// Typical chat messages of about 150 bytes.
const (
	benchChat        = `{"msgid":6,"toid":1000042,"msg":"a chat message of about eighty bytes, as people write them to one another ...","cid":"5f1c8b2e9a7d4c30b6e1f2a3"}`
	benchChinese     = `{"msgid":6,"toid":1000042,"msg":"你好，这是一条普通长度的聊天消息，人们互相写的就是这样的。","cid":"5f1c8b2e9a7d4c30b6e1f2a3"}`
	benchEscaped     = `{"msgid":6,"toid":1000042,"msg":"a \"chat\" message of about\neighty bytes, as people write them to one \u4f60 ...","cid":"5f1c8b2e9a7d4c30b6e1f2a3"}`
	benchEvent       = `{"msgid":25,"toid":1000042,"event":"typing","data":"{}"}`
	benchReceipt     = `{"msgid":20,"peer":1000042,"seq":123456,"read":true}`
	benchAck         = `{"msgid":12,"rid":12345,"errno":0,"errmsg":"","toid":1000042,"time":1700000000000,"seq":123456,"cid":"5f1c8b2e9a7d4c30b6e1f2a3"}`
	benchPush        = `{"msgid":6,"id":1000041,"name":"zhang san","toid":1000042,"msg":"a chat message of about eighty bytes, as people write them to one another ...","time":1700000000000,"seq":123456,"cid":"5f1c8b2e9a7d4c30b6e1f2a3"}`
	benchPushChinese = `{"msgid":6,"id":1000041,"name":"张三","toid":1000042,"msg":"你好，这是一条普通长度的聊天消息，人们互相写的就是这样的。","time":1700000000000,"seq":123456,"cid":"5f1c8b2e9a7d4c30b6e1f2a3"}`
)

func BenchmarkDecode(b *testing.B) {
	for name, wire := range map[string]string{"ONE_CHAT": benchChat, "ONE_CHAT/chinese": benchChinese, "ONE_CHAT/escaped": benchEscaped, "EVENT": benchEvent, "RECEIPT": benchReceipt} {
		b.Run(name, func(b *testing.B) {
			var d proto.Decoder
			body := []byte(wire)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Decode(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecodeResponse(b *testing.B) {
	for name, wire := range map[string]string{"ONE_CHAT": benchPush, "ONE_CHAT_ACK": benchAck} {
		b.Run(name, func(b *testing.B) {
			var d proto.Decoder
			body := []byte(wire)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.DecodeResponse(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendResponse(b *testing.B) {
	for name, wire := range map[string]string{"ONE_CHAT": benchPush, "ONE_CHAT/chinese": benchPushChinese, "ONE_CHAT_ACK": benchAck, "EVENT": strings.Replace(benchEvent, `25,`, `25,"id":1,"name":"zhang san",`, 1)} {
		b.Run(name, func(b *testing.B) {
			var d proto.Decoder
			r, err := d.DecodeResponse([]byte(wire))
			if err != nil {
				b.Fatal(err)
			}
			dst := make([]byte, 0, 1024)
			b.SetBytes(int64(len(wire)))
			b.ReportAllocs()
			for b.Loop() {
				dst = proto.AppendResponse(dst[:0], r)
			}
		})
	}
}

func BenchmarkAppendPush(b *testing.B) {
	sender := proto.AppendSender(nil, 1000041, "zhang san")
	for name, wire := range map[string]string{"ONE_CHAT": benchChat, "ONE_CHAT/chinese": benchChinese, "ONE_CHAT/escaped": benchEscaped, "EVENT": benchEvent} {
		b.Run(name, func(b *testing.B) {
			var d proto.Decoder
			r, err := d.Decode([]byte(wire))
			if err != nil {
				b.Fatal(err)
			}
			dst := make([]byte, 0, 1024)
			b.ReportAllocs()
			for b.Loop() {
				dst = proto.AppendPush(dst[:0], &proto.Push{Op: r.Op, Sender: sender, ToID: r.ToID, Event: r.Event, Data: r.Data,
					Msg: r.Msg, CID: r.CID, Time: 1700000000000, Seq: 123456, Plain: r.Plain})
			}
		})
	}
}

// BenchmarkDecodeHostile decodes frames that are costly to check. The cost must be
// linear in their size.
func BenchmarkDecodeHostile(b *testing.B) {
	var keys strings.Builder
	for i := 0; keys.Len() < 60_000; i++ {
		keys.WriteString(`,"` + strings.Repeat("k", i%5) + string(rune('a'+i%26)) + string(rune(0x100+i)) + `":0`)
	}
	for name, wire := range map[string]string{
		"keys":    `{"msgid":18` + keys.String() + `}`,
		"objects": `{"msgid":18,"x":[` + strings.Repeat(`{"a":0,"b":0},`, 4000) + `0]}`,
		"escapes": `{"msgid":18,"x":"` + strings.Repeat(`\n`, 30_000) + `"}`,
	} {
		b.Run(name, func(b *testing.B) {
			var d proto.Decoder
			body := []byte(wire)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Decode(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
