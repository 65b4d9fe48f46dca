package target

import (
	"context"
	"io"

	"chatd/bench/report"
)

// WithLimits is said of nodes that have the limits of the default.
const WithLimits = "with the default limits"

// Server is what is measured: one of our own, or one that runs. It may have
// several nodes, and other processes besides.
type Server struct {
	target   *Flags
	addrs    []string // where clients connect, node by node
	httpURLs []string // the nodes' HTTP addresses as URLs, as far as they are known
	cluster  *cluster // nil: it was running
}

// Start starts a server, or takes the one that t names. It blocks until
// that is ready, and tells p how far it is; say is told of what had to be
// installed.
func Start(ctx context.Context, t *Flags, p *report.Progress, say io.Writer) (*Server, error) {
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
	if s.cluster, err = newCluster(ctx, t, p, say); err != nil {
		return nil, err
	}
	for _, n := range s.cluster.nodes {
		s.addrs, s.httpURLs = append(s.addrs, n.Addr()), append(s.httpURLs, n.HTTP())
	}
	return s, nil
}

// IsFloor says that this is no chatd but a bare relay.
func (s *Server) IsFloor() bool { return s.target.Floor != nil }

// AddrOf is where user number i connects: neighbours are on different nodes,
// so that what they say goes from node to node.
func (s *Server) AddrOf(i int) string { return s.addrs[i%len(s.addrs)] }

// Restart ends the nodes of a started server in order and starts them again on
// the same store. A server that was running stays as it is.
func (s *Server) Restart(ctx context.Context) error {
	if s.cluster == nil {
		return nil
	}
	return s.cluster.restartNodes(ctx)
}

// Stop ends the server that was started, and removes its store.
func (s *Server) Stop() error {
	if s.cluster == nil {
		return nil
	}
	return s.cluster.stop()
}

// Describe says what the server is.
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
