package scenario

import (
	"context"

	"chatd/bench/load"
	"chatd/proto"
)

// Stream measures stored messages.
type Stream struct {
	trafficFlags `embed:""`
}

func (*Stream) Name() string { return "stream" }

func (s *Stream) Help() string {
	return `Each sender keeps --window messages unacknowledged: ONE_CHAT, which the server stores
and answers with ONE_CHAT_ACK. Receivers get the pushes and send RECEIPT for every 256.

Measured: messages acknowledged and delivered per second; "ack", from sending a message
to reading its ACK; "end to end", from sending it to the receiver's read.

Checked: seqs of a conversation rise by one, in ACKs and pushes; texts arrive unchanged
and in order; every acknowledged message is delivered once.

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
