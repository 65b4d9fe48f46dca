package load

import (
	"testing"

	"chatd/proto"
)

// A template's frames decode to messages, each with its own number, time and
// cid, even within one write.
func TestTemplateMakesMessages(t *testing.T) {
	for _, size := range []int{StampSize, StampSize + 1, 100, proto.MaxMsg} {
		text := NewText(size)
		if len(text) != size {
			t.Fatalf("NewText(%d) has %d bytes, want %d", size, len(text), size)
		}
		cid := append([]byte("0123456789abcdef"), cidMark...)
		tm := newTemplate(&proto.Request{Op: proto.ONE_CHAT, ToID: 7, Msg: text, CID: cid}, text)
		var out []byte
		for n := int64(1); n <= 3; n++ {
			out = tm.append(out, n, 1000)
		}
		var dec proto.Decoder
		for n := int64(1); n <= 3; n++ {
			length, err := proto.FrameLen(out)
			if err != nil {
				t.Fatal(err)
			}
			r, err := dec.Decode(out[proto.HeaderSize : proto.HeaderSize+length])
			if err != nil {
				t.Fatal(err)
			}
			out = out[proto.HeaderSize+length:]
			gotN, sent, ok := tm.read(r.Msg)
			if !ok || gotN != n || sent != 999+n {
				t.Errorf("size %d: read = %d, %d, %v; want %d, %d, true", size, gotN, sent, ok, n, 999+n)
			}
			if at, ok := hex(r.CID[hexSize:]); !ok || int64(at) != sent || len(r.CID) != cidSize {
				t.Errorf("size %d: cid %q, want %d bytes that end in the time %d", size, r.CID, cidSize, sent)
			}
		}
		if len(out) != 0 {
			t.Errorf("%d bytes left after the third frame, want none", len(out))
		}
	}
}

// Template.read refuses a changed text.
func TestAlteredText(t *testing.T) {
	text := NewText(100)
	tm := newTemplate(&proto.Request{Op: proto.EVENT, ToID: 7, Event: []byte("e"), Data: text}, text)
	good := append([]byte(nil), text...)
	putHex(good, 12)
	putHex(good[hexSize:], 34)
	if n, sent, ok := tm.read(good); !ok || n != 12 || sent != 34 {
		t.Fatalf("read(%q) = %d, %d, %v; want 12, 34, true", good, n, sent, ok)
	}
	for _, bad := range [][]byte{nil, good[:99], append(good[:100:100], 'x'), append([]byte("X"), good[1:]...), append(good[:99:99], '!')} {
		if _, _, ok := tm.read(bad); ok {
			t.Errorf("read(%q) succeeded, want failure", bad)
		}
	}
}
