package scenario

import (
	"context"

	"chatd/bench/load"
)

// Ping is the scenario of single messages: event or stream with a window of 1.
type Ping struct {
	Kind      string `name:"kind" default:"event" enum:"event,chat" help:"What goes to and fro: event, which is relayed, or chat, which is stored first and acknowledged."`
	pairFlags `embed:""`
}

func (*Ping) Name() string { return "ping" }

func (p *Ping) Help() string {
	return `Each pair has one message on the way, and nothing that it could share a system call, a
transaction or a sync with, but what other pairs send at the same moment.

--kind event: the next event is sent once the last has arrived at the receiver.
--kind chat: the next message is sent once the ACK of the last has come, and the push to
the receiver comes beside it. Measured and checked is what "event" and "stream" do.`
}

// load is the scenario that does it.
func (p *Ping) load() Scenario {
	t := trafficFlags{pairFlags: p.pairFlags, Window: 1}
	if p.Kind == "chat" {
		return &Stream{trafficFlags: t}
	}
	return &Event{trafficFlags: t}
}

func (p *Ping) Check() error { return p.load().Check() }

func (p *Ping) Run(ctx context.Context, env *load.Env) error { return p.load().Run(ctx, env) }
