package scenario

import (
	"errors"
	"fmt"

	"chatd/bench/target"
	"chatd/proto"
)

const (
	maxLoops = 64
	// floorNote goes into reports of scenarios whose messages a chatd
	// acknowledges.
	floorNote = "the relay stores and acknowledges nothing: a message leaves its sender's window when it arrives"
)

// Floor holds the scenarios that also run on the bare relay of bench/floor.
type Floor struct {
	Loops int `name:"loops" default:"0" help:"Event loops of the relay. 0: one per core."`

	Stream Stream `cmd:"" help:"The frames of stream, neither stored nor acknowledged: a message leaves its sender's window when it arrives."`
	Ping   Ping   `cmd:"" help:"One message in flight per pair."`
	Event  Event  `cmd:"" help:"Pairs of users with a window of events in flight."`
	Fanout Fanout `cmd:"" help:"One group in which one member sends."`
	Login  Login  `cmd:"" help:"Connections that get an answer as long as LOGIN_ACK, and disconnect."`
}

func (*Floor) Help() string {
	return `The relay is a separate process with the same event loops as the server's. It passes
frames on by their length and doesn't look inside. Senders send what the server
would push. So receivers read, decode and check the same as with a server, and figures
can be compared with the server's figures of the same name.`
}

func (f *Floor) Scenarios() []Scenario {
	var all []Scenario
	for _, s := range []Scenario{&f.Stream, &f.Ping, &f.Event, &f.Fanout, &f.Login} {
		all = append(all, &Floored{s, f})
	}
	return all
}

// Floored is a scenario that runs on the relay.
type Floored struct {
	Scenario
	flags *Floor
}

func (f *Floored) Name() string { return "floor " + f.Scenario.Name() }

func (f *Floored) Check() error {
	err := f.Scenario.Check()
	if err == nil {
		switch s := f.Scenario.(type) {
		case *Stream:
			err = (&Event{trafficFlags: s.trafficFlags}).validateFor(proto.MaxMsg)
		case *Fanout:
			err = s.validateFloor()
		case *Login:
			err = s.validateFloor()
		}
	}
	if n := f.flags.Loops; n < 0 || n > maxLoops {
		err = errors.Join(err, fmt.Errorf("--loops: %d is not between 0 and %d", n, maxLoops))
	}
	return err
}

// Relay returns the options of the relay to start.
func (f *Floored) Relay() *target.RelayOptions { return &target.RelayOptions{Loops: f.flags.Loops} }
