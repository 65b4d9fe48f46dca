package scenario

import (
	"context"
	"fmt"

	"chatd/bench/load"
	"chatd/proto"
)

// Event is the scenario of events.
type Event struct {
	trafficFlags `embed:""`
	chat         bool // on the floor: the frames are those of stream
}

func (*Event) Name() string { return "event" }

func (e *Event) Help() string {
	return `EVENT is relayed to whoever is online; it is neither stored nor acknowledged. Each
receiver gives its sender room for as many events as have arrived (within this
program, so that nothing but events is on the wire): --window of them are on the way.

Measured are events delivered per second and "end to end", from the write of an event
to the receiver's read. Checked is that every event arrives, once, in order and
unaltered: the protocol lets a server drop events, but under this load none must.

` + rateHelp
}

func (e *Event) Check() error { return e.validateFor(proto.MaxData) }

// validateFor is validate for texts of at most maxSize bytes.
func (e *Event) validateFor(maxSize int) error {
	err := e.trafficFlags.validate(maxSize, maxStreamWindow)
	if err == nil && e.Window*(e.Size+eventOverhead) > maxEventBytes {
		err = fmt.Errorf("--window %d of --size %d: at most %d KiB may be on the way to one receiver", e.Window, e.Size, maxEventBytes>>10)
	}
	return err
}

func (e *Event) Run(ctx context.Context, env *load.Env) error {
	g := load.NewGenerator(env, e.trafficFlags.config())
	defer g.CloseAll()
	op := proto.EVENT
	if e.chat {
		op = proto.ONE_CHAT
	}
	if err := g.AddPairs(ctx, load.NewAccounts(env.Server), op, false, nil, g.AddMetric("delivered", "end to end")); err != nil {
		return err
	}
	return g.Measure(ctx)
}
