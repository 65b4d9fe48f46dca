package scenario

import (
	"context"
	"fmt"

	"chatd/bench/load"
	"chatd/proto"
)

// Event measures events, which the server relays and doesn't store.
type Event struct {
	trafficFlags `embed:""`
	chat         bool // only on the relay: send the frames of Stream
}

func (*Event) Name() string { return "event" }

func (e *Event) Help() string {
	return `The server relays EVENT to online users. It neither stores nor acknowledges it. Inside
chatbench a receiver tells its sender how many have arrived, so that --window of them
are in flight and nothing but events is on the wire.

Measured: events delivered per second, and "end to end", from sending an event to the
receiver's read.

Checked: every event arrives once, unchanged and in order. The protocol allows a server
to drop events, but under this load it must not.

` + rateHelp
}

func (e *Event) Check() error { return e.validateFor(proto.MaxData) }

// validateFor is Check for texts of at most maxSize bytes.
func (e *Event) validateFor(maxSize int) error {
	err := e.trafficFlags.validate(maxSize, maxStreamWindow)
	if err == nil && e.Window*(e.Size+eventOverhead) > maxEventBytes {
		err = fmt.Errorf("--window %d of --size %d: at most %d KiB may be in flight to one receiver", e.Window, e.Size, maxEventBytes>>10)
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
