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

// RelayCommand makes this program run as the bare relay, in a process of its
// own so that it can be measured like a server. Only startRelay uses it.
const RelayCommand = "floor-relay"

// RelayOptions are the options of a relay that is measured instead of a chatd.
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
	relayStop = 20 * time.Second // to shut down
	relayDial = 2 * time.Second  // for one attempt to connect
)

// startRelay starts the relay in place of a node.
func (s *Server) startRelay(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the path of this program: %w", err)
	}
	c := &cluster{}
	if c.folder, err = services.NewFolder(s.target.Dir, "chatbench-"); err != nil {
		return fmt.Errorf("create a folder for the relay's log: %w", err)
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

// RunRelay is the main function of the relay's process. It logs to stderr and
// returns when ctx has ended.
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
