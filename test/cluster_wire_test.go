package test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"chatd/proto"
)

// TestClusterWire checks the guarantees at the level of the protocol, where no SDK
// hides lost or repeated messages. The nodes of the sender and of the receiver are
// killed in turn, and their clients continue on other nodes. Every acknowledged
// message must be stored with its seq, a resend to another node must get the first
// answer, a device must be sent everything after its last receipt in order, and
// nothing may be stored twice.
func TestClusterWire(t *testing.T) {
	c := newCluster(t)
	setup := dialRaw(t, c.chat)
	setup.account("anna")
	group := setup.call(&proto.Request{Op: proto.CREATE_GROUP, GroupName: "group"}).GroupID
	b := dialRaw(t, c.chat)
	b.account("berta")
	b.call(&proto.Request{Op: proto.ADD_GROUP, GroupID: group})

	acked := make(map[string]answer)
	seen := make(map[int64]string)
	receipt, count := int64(0), 0
	var open []string // sent, but not acknowledged
	for round := range 6 {
		victim, other := c.nodes[round%3], c.nodes[(round+1)%3]
		at, bt := victim, other
		if round%2 == 1 {
			at, bt = other, victim
		}
		a, b := dialRaw(t, at.chat), dialRaw(t, bt.chat)
		a.login("anna")
		b.login("berta")
		var reqs []*proto.Request
		for _, text := range open {
			reqs = append(reqs, groupChat(group, text, true))
		}
		for range 200 {
			count++
			text := fmt.Sprint("message ", count)
			open = append(open, text)
			reqs = append(reqs, groupChat(group, text, false))
		}
		if err := a.send(reqs...); err != nil {
			t.Fatal(err)
		}
		for len(a.acks) < 60 {
			if _, err := a.read(); err != nil {
				t.Fatal(err)
			}
		}
		for b.high < receipt+20 {
			if _, err := b.read(); err != nil {
				t.Fatal(err)
			}
		}
		receipt = b.high - 5
		if err := b.send(&proto.Request{Op: proto.RECEIPT, GroupID: group, Seq: receipt}); err != nil {
			t.Fatal(err)
		}
		b.call(&proto.Request{Op: proto.SYNC, GroupID: group, Limit: 1, Fields: 1 << proto.FLimit}) // its answer means that the receipt has been processed
		victim.kill(t)
		if at == victim {
			a.drainAll()
		} else {
			b.drainAll()
			for len(a.acks) < len(reqs) {
				if _, err := a.read(); err != nil {
					t.Fatal(err)
				}
			}
		}
		maps.Copy(seen, b.got)
		for cid, ack := range a.acks {
			if ack.Errno != 0 {
				continue // refused: the next round resends it
			}
			if before, ok := acked[cid]; ok && (before.Seq != ack.Seq || before.Time != ack.Time) {
				t.Errorf("%s was acknowledged twice, with seq %d and %d", cid, before.Seq, ack.Seq)
			}
			acked[cid] = ack
		}
		open = slices.DeleteFunc(open, func(text string) bool { _, ok := acked["cid "+text]; return ok })

		a = dialRaw(t, other.chat)
		a.login("anna")
		log := a.log(group)
		for cid, ack := range acked {
			if int64(len(log)) < ack.Seq || log[ack.Seq-1] != cid {
				t.Fatalf("round %d: %s was acknowledged with seq %d, but isn't stored there", round, cid, ack.Seq)
			}
			if ack.Seq%7 != 0 { // a sample, because each resend waits for its answer
				continue
			}
			if again := a.call(groupChat(group, strings.TrimPrefix(cid, "cid "), true)); again.Seq != ack.Seq || again.Time != ack.Time {
				t.Errorf("resend of %s: got seq %d, want %d as in the first answer, with the same time", cid, again.Seq, ack.Seq)
			}
		}
		b = dialRaw(t, other.chat)
		b.login("berta")
		for b.high < int64(len(log)) {
			if _, err := b.read(); err != nil {
				t.Fatal(err)
			}
		}
		for seq := receipt + 1; seq <= int64(len(log)); seq++ {
			if b.got[seq] == "" {
				t.Fatalf("round %d: berta, whose last receipt was for seq %d, wasn't sent seq %d", round, receipt, seq)
			}
		}
		for seq, text := range b.got {
			if before, ok := seen[seq]; ok && before != text {
				t.Errorf("berta received seq %d with the texts %q and %q", seq, before, text)
			}
			seen[seq] = text
		}
		for i, cid := range log {
			if "cid "+seen[int64(i+1)] != cid {
				t.Errorf("berta received %q as seq %d, but %s is stored there", seen[int64(i+1)], i+1, cid)
			}
		}
		victim.start(t)
		if round == 5 {
			slices.Sort(log)
			if len(slices.Compact(log)) != len(a.log(group)) {
				t.Error("a message is stored twice")
			}
		}
	}
}
