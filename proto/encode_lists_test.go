package proto_test

import (
	stdjson "encoding/json"
	"fmt"
	"testing"

	"github.com/go-json-experiment/json"

	"chatd/proto"
)

// loginLists are the lists of a LOGIN_ACK of 28 KB, with 100 friends and 100
// groups.
type loginLists struct {
	Friends []proto.Friend `json:"friends"`
	Groups  []proto.Group  `json:"groups"`
}

func newLoginLists() (l loginLists) {
	for i := range int64(100) {
		one, other := fmt.Sprintf("user %d", i), fmt.Sprintf("user %d", i+1)
		l.Friends = append(l.Friends, proto.Friend{ID: 1_000_000 + i, Name: one, State: proto.Online})
		l.Groups = append(l.Groups, proto.Group{ID: 2_000_000 + i, GroupName: fmt.Sprintf("group %d", i), GroupDesc: "what this group is about", Seq: 123_456 + i,
			Users: []proto.Member{
				{ID: 1_000_000 + i, Name: one, State: proto.Online, Role: proto.Creator},
				{ID: 1_000_001 + i, Name: other, State: proto.Offline, Role: proto.Normal},
			}})
	}
	return l
}

// BenchmarkLists compares JSON libraries for lists. bench/results.md ("JSON") has
// the results, on which the choice of the library is based.
func BenchmarkLists(b *testing.B) {
	lists := newLoginLists()
	ack := proto.Response{Op: proto.LOGIN_ACK, Friends: lists.Friends, Groups: lists.Groups}
	wire := proto.AppendResponse(nil, &ack)
	body, err := stdjson.Marshal(&lists)
	if err != nil {
		b.Fatal(err)
	}
	run := func(name string, once func() error) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := once(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	dst := make([]byte, 0, len(wire))
	var d proto.Decoder
	run("encode/ours", func() error { dst = proto.AppendResponse(dst[:0], &ack); return nil })
	run("encode/encoding-json", func() error { _, err := stdjson.Marshal(&lists); return err })
	run("encode/go-json-experiment", func() error { _, err := json.Marshal(&lists); return err })
	run("decode/ours, the whole frame", func() error { _, err := d.DecodeResponse(wire); return err })
	run("decode/encoding-json", func() error { var l loginLists; return stdjson.Unmarshal(body, &l) })
	run("decode/go-json-experiment", func() error { var l loginLists; return json.Unmarshal(body, &l) })
}
