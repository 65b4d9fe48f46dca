package target

import (
	"context"
	"io"

	"chatd/bench/report"
)

// WithLimits says in reports that nodes run with their default limits.
const WithLimits = "with the default limits"

// Server is the server under test: one that was started here, or one that was
// already running. It may have several nodes and other processes.
type Server struct {
	target   *Flags
	addrs    []string // of the nodes, for clients
	httpURLs []string // of the nodes' HTTP ports, as far as they are known
	cluster  *cluster // nil: the server was already running
}

// Start starts the server that t describes, or uses the running one it names.
// It blocks until clients can connect. p shows the progress; installed programs
// are announced on installLog.
func Start(ctx context.Context, t *Flags, p *report.Progress, installLog io.Writer) (*Server, error) {
	s := &Server{target: t}
	if t.Floor != nil {
		return s, s.startRelay(ctx)
	}
	if t.Addr != "" {
		s.addrs = []string{t.Addr}
		if t.Other != "" {
			s.addrs = append(s.addrs, t.Other)
		}
		if t.HTTP != "" {
			s.httpURLs = []string{t.HTTP}
		}
		return s, nil
	}
	var err error
	if s.cluster, err = newCluster(ctx, t, p, installLog); err != nil {
		return nil, err
	}
	for _, n := range s.cluster.nodes {
		s.addrs, s.httpURLs = append(s.addrs, n.Addr()), append(s.httpURLs, n.HTTP())
	}
	return s, nil
}

// HasLimits reports whether the nodes were started with their default limits.
func (s *Server) HasLimits() bool { return s.target.Limits }

// IsFloor reports whether this is the bare relay and no chatd.
func (s *Server) IsFloor() bool { return s.target.Floor != nil }

// AddrOf returns where user number i connects. Neighbors use different nodes,
// so messages between them go from node to node.
func (s *Server) AddrOf(i int) string { return s.addrs[i%len(s.addrs)] }

// Restart stops the nodes of a started server and starts them again with the
// same data. It does nothing to a server that was already running.
func (s *Server) Restart(ctx context.Context) error {
	if s.cluster == nil {
		return nil
	}
	return s.cluster.restartNodes(ctx)
}

// Stop stops a started server and removes its data.
func (s *Server) Stop() error {
	if s.cluster == nil {
		return nil
	}
	return s.cluster.stop()
}

// Describe describes the server for a report.
func (s *Server) Describe(ctx context.Context) report.ServerInfo {
	d := report.ServerInfo{Address: s.addrs[0], Args: s.target.Args}
	if s.target.Limits {
		d.Args = append([]string{WithLimits}, d.Args...)
	}
	if s.IsFloor() {
		return s.target.Floor.describe(d)
	}
	if s.cluster != nil {
		d.Version = chatdVersion(ctx, s.target.Chatd)
		d.Store = s.target.Spawn + " on " + fileSystemName(s.cluster.folder.Path)
		d.Services = s.cluster.versions(ctx, s.target)
		if n := len(s.addrs); n > 1 {
			d.Nodes = n
		}
	}
	return d
}
