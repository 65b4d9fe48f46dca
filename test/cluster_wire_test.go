package test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"chatd/proto"
)

// The laws over the bare wire, where no SDK hides what is repeated or lost,
// while the sender's node and the receiver's are killed in turn and each goes
// on at another: what was acknowledged is in the log at its seq, whichever
// node is asked; a repeat on another node gets the first answer; a device is
// sent all after its last receipt, in order; nothing is stored twice.
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
	var open []string // sent and not acknowledged
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
		b.call(&proto.Request{Op: proto.SYNC, GroupID: group, Limit: 1, Fields: 1 << proto.FLimit}) // answered after the receipt was taken
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
				continue // refused: it goes again in the next round
			}
			if before, ok := acked[cid]; ok && (before.Seq != ack.Seq || before.Time != ack.Time) {
				t.Errorf("%s was acknowledged as %d and %d", cid, before.Seq, ack.Seq)
			}
			acked[cid] = ack
		}
		open = slices.DeleteFunc(open, func(text string) bool { _, ok := acked["cid "+text]; return ok })

		a = dialRaw(t, other.chat)
		a.login("anna")
		log := a.log(group)
		for cid, ack := range acked {
			if int64(len(log)) < ack.Seq || log[ack.Seq-1] != cid {
				t.Fatalf("round %d: %s was acknowledged as %d and isn't there", round, cid, ack.Seq)
			}
			if ack.Seq%7 != 0 { // a sample: each is a question and its answer
				continue
			}
			if again := a.call(groupChat(group, strings.TrimPrefix(cid, "cid "), true)); again.Seq != ack.Seq || again.Time != ack.Time {
				t.Errorf("a repeat of %s got %d, first %d", cid, again.Seq, ack.Seq)
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
				t.Fatalf("round %d: berta, who had said %d, isn't sent %d", round, receipt, seq)
			}
		}
		for seq, text := range b.got {
			if before, ok := seen[seq]; ok && before != text {
				t.Errorf("seq %d was %q and is %q", seq, before, text)
			}
			seen[seq] = text
		}
		for i, cid := range log {
			if "cid "+seen[int64(i+1)] != cid {
				t.Errorf("berta has %q at %d, the log %s", seen[int64(i+1)], i+1, cid)
			}
		}
		victim.start(t)
		if round == 5 {
			slices.Sort(log)
			if len(slices.Compact(log)) != len(a.log(group)) {
				t.Error("something is stored twice")
			}
		}
	}
}
