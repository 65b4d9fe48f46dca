package main

import (
	"context"

	"chatd/proto"
)

// stream is the scenario of stored messages.
type stream struct {
	traffic `embed:""`
}

func (*stream) name() string { return "stream" }

func (s *stream) Help() string {
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

func (s *stream) validate() error { return s.traffic.validate(proto.MaxMsg, maxStreamWindow) }

func (s *stream) run(ctx context.Context, r *rig) error {
	if r.server.floor() {
		r.report.note(floorNote)
		return (&event{traffic: s.traffic, chat: true}).run(ctx, r)
	}
	l := newLoad(r, s.traffic.config())
	defer l.closeAll()
	acks, pushes := l.gauge(acknowledged, "ack"), l.gauge("delivered", "end to end")
	if err := l.pairs(ctx, newRecruits(r.server), proto.ONE_CHAT, true, acks, pushes); err != nil {
		return err
	}
	return l.measure(ctx)
}
