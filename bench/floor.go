package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"os"
	"strconv"
	"time"

	"chatd/bench/floor"
	"chatd/internal/services"
	"chatd/proto"
)

const (
	// relayCommand has this program be the floor's relay, which is measured
	// from outside, as a server is. It is for startFloor alone.
	relayCommand = "floor-relay"
	maxLoops     = 64
	// floorSeq is what all chat messages have on the floor: six digits, as many
	// as those of a run of some seconds.
	floorSeq = 123456
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

func (f *floored) describe(d description) description {
	d.Version, d.Store = "the floor: a bare gnet relay", "no store"
	if f.flags.Loops > 0 {
		d.Args = []string{fmt.Sprintf("--loops=%d", f.flags.Loops)}
	}
	return d
}

const (
	relayStop = 20 * time.Second // for its end in order
	relayDial = 2 * time.Second  // of one question whether it takes connections
)

// startFloor starts the relay, which stands in the place of a node.
func (s *server) startFloor(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("where this program is: %w", err)
	}
	c := &cluster{}
	if c.folder, err = services.NewFolder(s.target.Dir, "chatbench-"); err != nil {
		return fmt.Errorf("a folder for the relay's log: %w", err)
	}
	r, err := services.New(c.folder, services.Program{Name: "the floor", Path: self, Ports: []int{0}, StopTimeout: relayStop,
		Args: func(ports []int) []string {
			return []string{relayCommand, strconv.Itoa(s.target.floor.flags.Loops), services.Address(ports[0])}
		},
		Ready: func(r *services.Service) error {
			c, err := net.DialTimeout("tcp", services.Address(r.Port(0)), relayDial)
			if err != nil {
				return err
			}
			return c.Close()
		}})
	if err == nil {
		c.nodes = []*services.Node{{Service: r}}
		err = r.Start(ctx)
	}
	if err != nil {
		return errors.Join(err, c.end((*services.Service).Close))
	}
	s.cluster, s.addrs = c, []string{c.nodes[0].Addr()}
	return nil
}

// relay is the relay's process. It returns the exit code, once ctx has ended.
func relay(ctx context.Context, loops, addr string, stderr io.Writer) int {
	log := slog.New(slog.NewJSONHandler(stderr, nil))
	n, err := strconv.Atoi(loops)
	if err == nil {
		err = floor.Run(ctx, floor.Config{Loops: n, Addr: addr, Logger: log}, func(net.Addr) {})
	}
	if err != nil {
		log.Error("the floor failed", "err", err)
		return exitBad
	}
	return exitGood
}

// inPair is the place of user number i where the first of each two sends to
// the second.
func inPair(i int) (floor.Role, uint64) {
	if i%2 == 0 {
		return floor.Sender, uint64(i / 2)
	}
	return floor.Receiver, uint64(i / 2)
}

// hello is enter for the floor: what user number i is in which group. Ids and
// names are as long as a server's.
func (rs *recruits) hello(ctx context.Context, i int, role floor.Role, group uint64) (*conn, account, int64, error) {
	c, err := dial(ctx, rs.server.addrOf(i))
	if err != nil {
		return nil, account{}, 0, err
	}
	defer context.AfterFunc(ctx, c.close)()
	pong := proto.AppendResponse(nil, &proto.Response{Op: proto.PONG})
	c.ask = floor.Ask(pong)
	err = c.nc.SetDeadline(time.Now().Add(callTimeout))
	if err == nil {
		_, err = c.nc.Write(floor.Hello(role, group, pong))
	}
	if err == nil {
		_, err = c.await(proto.PONG)
	}
	if err == nil {
		err = c.nc.SetDeadline(time.Time{})
	}
	if err != nil {
		c.close()
		return nil, account{}, 0, fmt.Errorf("the floor's hello: %w", err)
	}
	return c, account{id: int64(i + 1), name: rs.name(i)}, math.MaxInt64, nil
}

// What every LOGIN_ACK has on the floor, as long as a server's.
const (
	floorToken  = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
	floorDevice = "default"
	floorNode   = "host:12345"
	floorEpoch  = 1234567890123456
	floorWindow = 256
)

// strangers are n accounts of nobody, for the floor, which knows no users.
func (rs *recruits) strangers(n int) []account {
	users := make([]account, n)
	for i := range users {
		users[i] = account{id: int64(i + 1), name: rs.name(i), token: floorToken}
	}
	return users
}

// welcome is what the server would answer to a login of u's that has missed
// nothing.
func (u account) welcome() []byte {
	return proto.AppendResponse(nil, &proto.Response{Op: proto.LOGIN_ACK, ID: u.id, Name: u.name,
		Token: u.token, Device: floorDevice, Node: floorNode, Window: floorWindow, Epoch: floorEpoch})
}

// template is what a sender sends for req. The floor passes it on as it is, so
// there it is what the server would push.
func (rs *recruits) template(req *proto.Request, from account, text []byte) *template {
	if !rs.server.floor() {
		return newTemplate(req, text)
	}
	push := &proto.Response{Op: req.Op, ID: from.id, Name: from.name, ToID: req.ToID, GroupID: req.GroupID,
		Event: req.Event, Data: req.Data, Msg: req.Msg, CID: req.CID}
	if req.Op != proto.EVENT {
		push.Time, push.Seq = time.Now().UnixMilli(), floorSeq
	}
	return templateOf(proto.AppendResponse(nil, push), text)
}
