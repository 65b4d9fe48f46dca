package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"

	"chatd/bench/floor"
	"chatd/internal/services"
)

// relayCommand has this program be the floor's relay, which is measured
// from outside, as a server is. It is for startFloor alone.
const relayCommand = "floor-relay"

// relayOptions are those of a relay that is measured in place of a server.
type relayOptions struct {
	loops int // event loops; 0: one per core
}

func (o *relayOptions) describe(d description) description {
	d.Version, d.Store = "the floor: a bare gnet relay", "no store"
	if o.loops > 0 {
		d.Args = []string{fmt.Sprintf("--loops=%d", o.loops)}
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
			return []string{relayCommand, strconv.Itoa(s.target.floor.loops), services.Address(ports[0])}
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
func runRelay(ctx context.Context, loops, addr string, stderr io.Writer) int {
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
