package bus

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"reflect"
	"testing"
)

var payloads = map[string]Payload{
	"grown pair":  {NewMessages: &NewMessages{Conv: 7, Lo: 1, Hi: 2, First: 41, Bodies: [][]byte{[]byte(`{"msgid":6}`), []byte("{}")}}},
	"grown group": {NewMessages: &NewMessages{Conv: 9, Group: 9, Version: 1 << 40, First: 1, Bodies: [][]byte{{}}}},
	"head alone":  {NewMessages: &NewMessages{Conv: 9, Group: 9, Version: 3, First: 100, Bodies: [][]byte{}}},
	"push":        {Push: &Push{Body: []byte(`{"msgid":24}`)}},
	"notice":      {Push: &Push{Body: []byte(`{"msgid":7}`), About: About{Subject: ReadUpTo, ID: 1 << 50, By: 7, Number: 3}}},
	"ended":       {Ended: &Ended{User: 3, Device: "phone 你", Before: 1 << 50, Keep: 7, Reason: "logout"}},
	"members":     {Members: &Members{Group: 9, Version: 4, User: 3, Joined: true, Seq: 17, Notice: []byte("{}")}},
	"presence":    {Presence: &Presence{User: 1 << 50}},
	"relation":    {Relation: &Relation{A: 1, B: 1 << 50, Friendship: true, Echo: true}},
	"heartbeat":   {Heartbeat: &Heartbeat{Node: -1 << 63, Name: "node 你", Version: 7, Nodes: 3, Hello: true, Bye: true}},
	"delta":       {RosterDelta: &RosterDelta{Node: 1<<63 - 1, Version: 8, Came: []int64{5, 1 << 50, 3}, Went: []int64{}}},
	"chunk":       {RosterChunk: &RosterChunk{Node: 9, Version: 8, Index: 3, Chunks: 4, Users: []int64{3, 7, 1<<53 - 1}}},
	"request":     {RosterRequest: &RosterRequest{Node: 9}},
	"wrong":       {Wrong: &Wrong{User: 7, Addr: netip.MustParseAddr("2001:db8::1")}},
	"wrong name":  {Wrong: &Wrong{Name: "nobody", Addr: netip.MustParseAddr("192.0.2.1")}},
	"blocked":     {Blocked: &Blocked{By: 1, Whom: 2}},
}

// Each kind of payload is the same after encoding and decoding.
func TestPayloadRoundTrip(t *testing.T) {
	for name, p := range payloads {
		b := p.Append([]byte("before"))
		got, err := Decode(b[len("before"):])
		if err != nil || !reflect.DeepEqual(got, p) {
			t.Errorf("%s: got %+v, %v; want %+v", name, got, err, p)
		}
	}
}

// A truncated payload is an error.
func TestTruncatedPayload(t *testing.T) {
	for name, p := range payloads {
		b := p.Append(nil)
		for n := range len(b) {
			if name == "notice" && n == len((&Payload{Push: &Push{Body: p.Push.Body}}).Append(nil)) {
				continue // a push without About
			}
			if got, err := Decode(b[:n]); err == nil {
				t.Errorf("%s: %d of %d bytes decode to %+v, want an error", name, n, len(b), got)
			}
		}
	}
}

// Payloads that exceed a limit are refused before anything is allocated for
// them, so that a broken node can't use up the others' memory.
func TestPayloadLimits(t *testing.T) {
	users := func(n int) []int64 { return make([]int64, n) }
	for name, p := range map[string]Payload{
		"name":        {Heartbeat: &Heartbeat{Name: string(make([]byte, MaxNodeName+1))}},
		"came":        {RosterDelta: &RosterDelta{Came: users(MaxDeltaUsers + 1)}},
		"went":        {RosterDelta: &RosterDelta{Went: users(MaxDeltaUsers + 1)}},
		"chunk users": {RosterChunk: &RosterChunk{Chunks: 1, Users: users(MaxChunkUsers + 1)}},
		"no chunks":   {RosterChunk: &RosterChunk{}},
		"chunks":      {RosterChunk: &RosterChunk{Chunks: 2 * MaxRosterChunks}},
		"odd chunks":  {RosterChunk: &RosterChunk{Chunks: 3}},
		"chunk index": {RosterChunk: &RosterChunk{Index: 4, Chunks: 4}},
		"negative":    {RosterChunk: &RosterChunk{Index: -1, Chunks: 4}},
	} {
		if got, err := Decode(p.Append(nil)); !errors.Is(err, errLimit) {
			t.Errorf("%s: got %+v, %v; want errLimit", name, got, err)
		}
	}
	for _, count := range []uint64{1 << 20, 1 << 40, 1<<64 - 1} {
		b := binary.AppendUvarint([]byte{kindRosterDelta, 2, 2}, count)
		if n := testing.AllocsPerRun(10, func() { _, _ = Decode(b) }); n > 5 {
			t.Errorf("a delta that claims %d users takes %v allocations to refuse, want at most 5", count, n)
		}
	}
}

// A payload of an unknown kind, from a newer release, is ErrVersion.
func TestPayloadOfAnotherRelease(t *testing.T) {
	p := payloads["push"]
	b := p.Append(nil)
	b[0] = 200
	if _, err := Decode(b); !errors.Is(err, ErrVersion) {
		t.Errorf("got %v, want ErrVersion", err)
	}
}

// FuzzDecode checks that no bytes make Decode panic, and that a decoded payload
// is the same after encoding and decoding again.
func FuzzDecode(f *testing.F) {
	for _, p := range payloads {
		f.Add(p.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Decode(b)
		if err != nil {
			return
		}
		again := p.Append(nil)
		q, err := Decode(again)
		if err != nil || !bytes.Equal(q.Append(nil), again) {
			t.Fatalf("%x decodes to %+v; encoded and decoded again it is %+v, %v", b, p, q, err)
		}
	})
}
