package main

import (
	"context"
	"fmt"

	"chatd/proto"
)

// eventName is what the events are called on the wire.
const eventName = "bench"

// event is the scenario of events.
type event struct {
	traffic `embed:""`
	chat    bool // on the floor: the frames are those of stream
}

func (*event) name() string { return "event" }

func (e *event) Help() string {
	return `EVENT is relayed to whoever is online; it is neither stored nor acknowledged. Each
receiver gives its sender room for as many events as have arrived (within this
program, so that nothing but events is on the wire): --window of them are on the way.

Measured are events delivered per second and "end to end", from the write of an event
to the receiver's read. Checked is that every event arrives, once, in order and
unaltered: the protocol lets a server drop events, but under this load none must.

` + rateHelp
}

func (e *event) validate() error { return e.validateFor(proto.MaxData) }

// validateFor is validate for texts of at most maxSize bytes.
func (e *event) validateFor(maxSize int) error {
	err := e.traffic.validate(maxSize, maxStreamWindow)
	if err == nil && e.Window*(e.Size+eventOverhead) > maxEventBytes {
		err = fmt.Errorf("--window %d of --size %d: at most %d KiB may be on the way to one receiver", e.Window, e.Size, maxEventBytes>>10)
	}
	return err
}

func (e *event) run(ctx context.Context, r *rig) error {
	l := newLoad(r, e.traffic.config())
	defer l.closeAll()
	op := proto.EVENT
	if e.chat {
		op = proto.ONE_CHAT
	}
	if err := l.pairs(ctx, newRecruits(r.server), op, false, nil, l.gauge("delivered", "end to end")); err != nil {
		return err
	}
	return l.measure(ctx)
}
