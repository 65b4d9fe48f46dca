package main

import (
	"errors"
	"fmt"

	"chatd/proto"
)

const (
	maxLoops = 64
	// floorNote is for reports of what the server would acknowledge.
	floorNote = "the floor stores and acknowledges nothing: a sender's window has room for as many as have arrived"
)

// floors are the scenarios that can be had of the floor.
type floors struct {
	Loops int `name:"loops" default:"0" help:"Event loops of the relay; 0: one per core."`

	Stream stream `cmd:"" help:"The frames of stream, which nobody stores or acknowledges: receivers make room in the window."`
	Ping   ping   `cmd:"" help:"One message on the way for each pair."`
	Event  event  `cmd:"" help:"Pairs of users, a window of events on the way."`
	Fanout fanout `cmd:"" help:"One group, one of which sends to all others."`
	Login  login  `cmd:"" help:"Connections that come, get an answer as long as LOGIN_ACK, and are gone."`
}

func (*floors) Help() string {
	return `The relay is a process of its own on the same event loops as the server's. It passes
frames on by their length, and knows nothing of what is in them. Senders send what the
server would push, so that receivers read, decode and check the same as with the server,
and a figure of the floor is to be compared with that of the same name.`
}

func (f *floors) scenarios() []scenario {
	var all []scenario
	for _, s := range []scenario{&f.Stream, &f.Ping, &f.Event, &f.Fanout, &f.Login} {
		all = append(all, &floored{s, f})
	}
	return all
}

// floored is a scenario that meets the floor in place of a server.
type floored struct {
	scenario
	flags *floors
}

func (f *floored) name() string { return "floor " + f.scenario.name() }

func (f *floored) validate() error {
	err := f.scenario.validate()
	if err == nil {
		switch s := f.scenario.(type) {
		case *stream:
			err = (&event{traffic: s.traffic}).validateFor(proto.MaxMsg)
		case *fanout:
			err = s.validateFloor()
		case *login:
			err = s.validateFloor()
		}
	}
	if n := f.flags.Loops; n < 0 || n > maxLoops {
		err = errors.Join(err, fmt.Errorf("--loops: %d is not between 0 and %d", n, maxLoops))
	}
	return err
}

// relay says which relay is started in place of a server.
func (f *floored) relay() *relayOptions { return &relayOptions{loops: f.flags.Loops} }
