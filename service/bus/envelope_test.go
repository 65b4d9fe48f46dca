package bus

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/VictoriaMetrics/metrics"
)

// An envelope keeps payloads of any length apart, whatever the size of the
// length field.
func TestEnvelope(t *testing.T) {
	from := senderID{1, 2, 3, 4, 5, 6, 7, 8}
	var want []Payload
	b := appendHeader(nil, from)
	for _, n := range []int{0, 1, 100, 120, 130, 16370, 16390, 1 << 21, 3} {
		p := Payload{Push: &Push{Body: bytes.Repeat([]byte{byte(n)}, n)}}
		want = append(want, p)
		b = appendPayload(b, &p)
	}
	sender, rest, err := readHeader(b)
	if err != nil || sender != from {
		t.Fatalf("readHeader: %v, %v; want sender %v", sender, err, from)
	}
	var got []Payload
	for len(rest) > 0 {
		var one []byte
		if one, rest, err = nextPayload(rest); err != nil {
			t.Fatal(err)
		}
		p, err := Decode(one)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("decoded %d payloads, want the %d that were encoded, unchanged", len(got), len(want))
	}
	b[0]++
	if _, _, err := readHeader(b); !errors.Is(err, ErrVersion) {
		t.Errorf("readHeader of another version: %v, want ErrVersion", err)
	}
}

// parseChannel is the inverse of Channel.String, and refuses anything else.
func TestChannelNames(t *testing.T) {
	for _, c := range []Channel{User(1), Group(1), User(1<<53 - 1), User(-1), Nodes} {
		if got, err := parseChannel([]byte(c.String())); err != nil || got != c {
			t.Errorf("parseChannel(%q): %v, %v; want %v", c, got, err, c)
		}
	}
	for _, name := range []string{"", "u", "u:", "x:1", "u:1x", "u:99999999999999999999", "1:u", "nodes:1", "node"} {
		if c, err := parseChannel([]byte(name)); err == nil {
			t.Errorf("parseChannel(%q): %v, want an error", name, c)
		}
	}
}

// FuzzDecodeEnvelope checks that no data on a channel makes a node panic.
func FuzzDecodeEnvelope(f *testing.F) {
	b := appendHeader(nil, senderID{9})
	for _, p := range payloads {
		b = appendPayload(b, &p)
	}
	f.Add([]byte("u:1"), b)
	f.Add([]byte("g:-1"), b[:len(b)-1])
	f.Add([]byte("nodes"), b)
	f.Add([]byte("x"), []byte{version})
	r := &Redis{self: senderID{1}}
	r.registerMetrics(metrics.NewSet())
	f.Fuzz(func(t *testing.T, channel, envelope []byte) {
		for _, m := range r.decodeEnvelope(nil, channel, envelope) {
			if m.Channel.String() == "" {
				t.Error("decoded a message without a channel")
			}
		}
	})
}
