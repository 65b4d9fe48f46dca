package target

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
	"chatd/bench/report"
	"chatd/internal/services"
)

// RelayCommand has this program be the floor's relay, which is measured
// from outside, as a server is. It is for startFloor alone.
const RelayCommand = "floor-relay"

// RelayOptions are those of a relay that is measured in place of a server.
type RelayOptions struct {
	Loops int // event loops; 0: one per core
}

func (o *RelayOptions) describe(d report.ServerInfo) report.ServerInfo {
	d.Version, d.Store = "the floor: a bare gnet relay", "no store"
	if o.Loops > 0 {
		d.Args = []string{fmt.Sprintf("--loops=%d", o.Loops)}
	}
	return d
}

const (
	relayStop = 20 * time.Second // for its end in order
	relayDial = 2 * time.Second  // of one question whether it takes connections
)

// startRelay starts the relay, which stands in the place of a node.
func (s *Server) startRelay(ctx context.Context) error {
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
			return []string{RelayCommand, strconv.Itoa(s.target.Floor.Loops), services.Address(ports[0])}
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
		return errors.Join(err, c.endAll((*services.Service).Close))
	}
	s.cluster, s.addrs = c, []string{c.nodes[0].Addr()}
	return nil
}

// RunRelay is the relay's process. It logs to stderr and returns once ctx has
// ended.
func RunRelay(ctx context.Context, loops, addr string, stderr io.Writer) error {
	log := slog.New(slog.NewJSONHandler(stderr, nil))
	n, err := strconv.Atoi(loops)
	if err == nil {
		err = floor.Run(ctx, floor.Config{Loops: n, Addr: addr, Logger: log}, func(net.Addr) {})
	}
	if err != nil {
		log.Error("floor relay failed", "err", err)
	}
	return err
}
