package service

import (
	"testing"

	"chatd/proto"
)

// Every op that clients may send has a handler. A request without one would
// cause a panic.
func TestEveryOpHasAHandler(t *testing.T) {
	table := new(Service).newTable()
	for op := proto.Op(1); op < proto.OpCount; op++ {
		inReactor := op == proto.PING || op == proto.PONG
		if want := op.Ack() != 0 && !inReactor; (table[op].handle != nil) != want {
			t.Errorf("%v has a handler: %t, want %t", op, !want, want)
		}
	}
}
