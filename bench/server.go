package main

import (
	"context"
	"io"
)

// withLimits is said of nodes that have the limits of the default.
const withLimits = "with the default limits"

// server is what is measured: one of our own, or one that runs. It may have
// several nodes, and other processes besides.
type server struct {
	target  *target
	addrs   []string // where clients connect, node by node
	https   []string // the nodes' HTTP addresses as URLs, as far as they are known
	cluster *cluster // nil: it was running
}

// newServer starts a server, or takes the one that t names. It blocks until
// that is ready, and tells p how far it is; say is told of what had to be
// installed.
func newServer(ctx context.Context, t *target, p *progress, say io.Writer) (*server, error) {
	s := &server{target: t}
	if t.floor != nil {
		return s, s.startFloor(ctx)
	}
	if t.Addr != "" {
		s.addrs = []string{t.Addr}
		if t.Other != "" {
			s.addrs = append(s.addrs, t.Other)
		}
		if t.HTTP != "" {
			s.https = []string{t.HTTP}
		}
		return s, nil
	}
	var err error
	if s.cluster, err = newCluster(ctx, t, p, say); err != nil {
		return nil, err
	}
	for _, n := range s.cluster.nodes {
		s.addrs, s.https = append(s.addrs, n.Addr()), append(s.https, n.HTTP())
	}
	return s, nil
}

// floor says that this is no chatd but a bare relay.
func (s *server) floor() bool { return s.target.floor != nil }

// addrOf is where user number i connects: neighbours are on different nodes,
// so that what they say goes from node to node.
func (s *server) addrOf(i int) string { return s.addrs[i%len(s.addrs)] }

// restart ends the nodes of a started server in order and starts them again on
// the same store. A server that was running stays as it is.
func (s *server) restart(ctx context.Context) error {
	if s.cluster == nil {
		return nil
	}
	return s.cluster.restartNodes(ctx)
}

// stop ends the server that was started, and removes its store.
func (s *server) stop() error {
	if s.cluster == nil {
		return nil
	}
	return s.cluster.stop()
}

// describe says what the server is.
func (s *server) describe(ctx context.Context) description {
	d := description{Address: s.addrs[0], Args: s.target.Args}
	if s.target.Limits {
		d.Args = append([]string{withLimits}, d.Args...)
	}
	if s.floor() {
		return s.target.floor.describe(d)
	}
	if s.cluster != nil {
		d.Version = versionOf(ctx, s.target.Chatd)
		d.Store = s.target.Spawn + " on " + fileSystem(s.cluster.folder.Path)
		d.Services = s.cluster.versions(ctx, s.target)
		if n := len(s.addrs); n > 1 {
			d.Nodes = n
		}
	}
	return d
}
