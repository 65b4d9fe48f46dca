package scenario

import (
	"errors"
	"fmt"

	"chatd/bench/target"
	"chatd/proto"
)

const (
	maxLoops = 64
	// floorNote is for reports of what the server would acknowledge.
	floorNote = "the floor stores and acknowledges nothing: a sender's window has room for as many as have arrived"
)

// Floor are the scenarios that can be had of the floor.
type Floor struct {
	Loops int `name:"loops" default:"0" help:"Event loops of the relay; 0: one per core."`

	Stream Stream `cmd:"" help:"The frames of stream, which nobody stores or acknowledges: receivers make room in the window."`
	Ping   Ping   `cmd:"" help:"One message on the way for each pair."`
	Event  Event  `cmd:"" help:"Pairs of users, a window of events on the way."`
	Fanout Fanout `cmd:"" help:"One group, one of which sends to all others."`
	Login  Login  `cmd:"" help:"Connections that come, get an answer as long as LOGIN_ACK, and are gone."`
}

func (*Floor) Help() string {
	return `The relay is a process of its own on the same event loops as the server's. It passes
frames on by their length, and knows nothing of what is in them. Senders send what the
server would push, so that receivers read, decode and check the same as with the server,
and a figure of the floor is to be compared with that of the same name.`
}

func (f *Floor) Scenarios() []Scenario {
	var all []Scenario
	for _, s := range []Scenario{&f.Stream, &f.Ping, &f.Event, &f.Fanout, &f.Login} {
		all = append(all, &Floored{s, f})
	}
	return all
}

// Floored is a scenario that meets the floor in place of a server.
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

// Relay says which relay is started in place of a server.
func (f *Floored) Relay() *target.RelayOptions { return &target.RelayOptions{Loops: f.flags.Loops} }
