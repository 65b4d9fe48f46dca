package scenario

import (
	"context"

	"chatd/bench/load"
)

// Ping measures single messages: it is Event or Stream with a window of 1.
type Ping struct {
	Kind      string `name:"kind" default:"event" enum:"event,chat" help:"What is sent: event, which is relayed, or chat, which is stored and acknowledged."`
	pairFlags `embed:""`
}

func (*Ping) Name() string { return "ping" }

func (p *Ping) Help() string {
	return `Each pair has one message in flight. It shares system calls, transactions and syncs only
with what other pairs send at the same moment.

--kind event: the next event is sent when the last one has reached the receiver.
--kind chat: the next message is sent when the last one is acknowledged; the receiver gets
it at the same time. Measured and checked as in "event" and "stream".`
}

// load returns Event or Stream with a window of 1.
func (p *Ping) load() Scenario {
	t := trafficFlags{pairFlags: p.pairFlags, Window: 1}
	if p.Kind == "chat" {
		return &Stream{trafficFlags: t}
	}
	return &Event{trafficFlags: t}
}

func (p *Ping) Check() error { return p.load().Check() }

func (p *Ping) Run(ctx context.Context, env *load.Env) error { return p.load().Run(ctx, env) }
