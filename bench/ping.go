package main

import "context"

// ping is the scenario of single messages: event or stream with a window of 1.
type ping struct {
	Kind string `name:"kind" default:"event" enum:"event,chat" help:"What goes to and fro: event, which is relayed, or chat, which is stored first and acknowledged."`
	talk `embed:""`
}

func (*ping) name() string { return "ping" }

func (p *ping) Help() string {
	return `Each pair has one message on the way, and nothing that it could share a system call, a
transaction or a sync with, but what other pairs send at the same moment.

--kind event: the next event is sent once the last has arrived at the receiver.
--kind chat: the next message is sent once the ACK of the last has come, and the push to
the receiver comes beside it. Measured and checked is what "event" and "stream" do.`
}

// load is the scenario that does it.
func (p *ping) load() scenario {
	t := traffic{talk: p.talk, Window: 1}
	if p.Kind == "chat" {
		return &stream{traffic: t}
	}
	return &event{traffic: t}
}

func (p *ping) validate() error { return p.load().validate() }

func (p *ping) run(ctx context.Context, r *rig) error { return p.load().run(ctx, r) }
