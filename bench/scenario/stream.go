package scenario

import (
	"context"

	"chatd/bench/load"
	"chatd/proto"
)

// Stream is the scenario of stored messages.
type Stream struct {
	trafficFlags `embed:""`
}

func (*Stream) Name() string { return "stream" }

func (s *Stream) Help() string {
	return `Each sender keeps --window messages unacknowledged: ONE_CHAT, which the server
stores and then answers with ONE_CHAT_ACK. Each receiver gets the pushes and sends
RECEIPT for every 256 of them.

Measured are messages acknowledged and delivered per second; "ack", from the write of
a message to the read of its ACK; and "end to end", from that write to the receiver's
read. Checked is that each conversation's seq rises by one, in ACKs and pushes, that
texts arrive unaltered and in the order of sending, and that all that was acknowledged
was delivered, once.

` + rateHelp
}

func (s *Stream) Check() error { return s.trafficFlags.validate(proto.MaxMsg, maxStreamWindow) }

func (s *Stream) Run(ctx context.Context, env *load.Env) error {
	if env.Server.IsFloor() {
		env.Report.AddNote(floorNote)
		return (&Event{trafficFlags: s.trafficFlags, chat: true}).Run(ctx, env)
	}
	g := load.NewGenerator(env, s.trafficFlags.config())
	defer g.CloseAll()
	acks, pushes := g.AddMetric(load.Acknowledged, "ack"), g.AddMetric("delivered", "end to end")
	if err := g.AddPairs(ctx, load.NewAccounts(env.Server), proto.ONE_CHAT, true, acks, pushes); err != nil {
		return err
	}
	return g.Measure(ctx)
}
