package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
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

// usage is what server and generator have used at one moment.
type usage struct {
	server *process // all of its processes together; nil: unknown
	parts  []part   // each of them, where there are several
	self   time.Duration
}

// part is one of the server's processes.
type part struct {
	name string
	process
}

// description says what was measured.
type description struct {
	Address  string   `json:"address"` // of the first node
	Version  string   `json:"version,omitempty"`
	Nodes    int      `json:"nodes,omitempty"` // where they are more than one
	Store    string   `json:"store,omitempty"`
	Services []string `json:"services,omitempty"` // that were started besides, each with its version
	Args     []string `json:"args,omitempty"`
}

func (d description) String() string {
	if d.Version == "" {
		return d.Address + ", which was running"
	}
	words := []string{d.Version}
	if d.Nodes > 0 {
		words = append(words, fmt.Sprint(d.Nodes, " nodes"))
	}
	words = append(append(words, d.Store), d.Services...)
	if len(d.Args) > 0 {
		words = append(words, strings.Join(d.Args, " "))
	}
	return strings.Join(words, ", ")
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

// processes lists the server's, as far as they are known.
func (s *server) processes() []namedPID {
	if s.cluster == nil {
		return s.target.PIDs
	}
	var all []namedPID
	for _, started := range s.cluster.services() {
		all = append(all, namedPID{started.Name(), started.PID()})
	}
	return all
}

// known says whether the server's processes are known.
func (s *server) known() bool { return len(s.processes()) > 0 }

// read reads what the server's processes have used so far; it needs one.
func (s *server) read() (usage, error) {
	u := usage{server: &process{}}
	for _, named := range s.processes() {
		p, err := readProcess(named.pid)
		if err != nil {
			return usage{}, fmt.Errorf("%s: %w", named.name, err)
		}
		u.parts = append(u.parts, part{named.name, *p})
		u.server.cpu += p.cpu
		u.server.rss += p.rss
		u.server.private += p.private
		u.server.peak += p.peak
	}
	if len(u.parts) == 1 {
		u.parts = nil
	}
	return u, nil
}

// usage reads what server and generator have used so far. What can't be read
// is noted in rep.
func (s *server) usage(rep *report) usage {
	self := ownCPU()
	if !s.known() {
		rep.note("the server's process is unknown (--pid): its CPU time and memory are not measured")
		return usage{self: self}
	}
	u, err := s.read()
	if err != nil {
		rep.note("the server's CPU time and memory: %v", err)
	}
	u.self = self
	return u
}

const (
	httpTimeout = 30 * time.Second
	maxPage     = 16 << 20
	settleFor   = 6 * time.Second  // as long as memory must stay the same
	settleLimit = 20 * time.Second // as long as that is waited for
	settleEvery = 250 * time.Millisecond
)

// get reads one page of a node, whose HTTP address is given.
func get(ctx context.Context, node, page string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, httpTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, node+page, nil)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{DisableKeepAlives: true} // it must not stay among the server's connections
	answer, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s%s: %s", node, page, answer.Status)
	}
	return io.ReadAll(io.LimitReader(answer.Body, maxPage))
}

// memory is what the server has, once its nodes have collected their garbage
// and its memory has settled. The live heap is the nodes'; 0 where it is
// unknown. It blocks for seconds.
func (s *server) memory(ctx context.Context, rep *report) (u usage, heap int64, err error) {
	if len(s.https) < len(s.addrs) {
		rep.note("the server's HTTP address is unknown (--http): its garbage was not collected before its memory was read")
	} else if heap, err = s.collect(ctx); err != nil {
		return usage{}, 0, err
	}
	end, since := time.Now().Add(settleLimit), time.Now()
	for {
		now, err := s.read()
		if err != nil {
			return usage{}, 0, fmt.Errorf("the server's memory: %w", err)
		}
		if u.server == nil || now.server.rss < u.server.rss-u.server.rss/200 || now.server.rss > u.server.rss+u.server.rss/200 {
			u, since = now, time.Now()
		}
		if time.Since(since) >= settleFor || time.Now().After(end) {
			return now, heap, nil
		}
		if err := sleep(ctx, settleEvery); err != nil {
			return usage{}, 0, err
		}
	}
}

// collect has all nodes collect their garbage, and adds up the heaps that
// remain.
func (s *server) collect(ctx context.Context) (heap int64, err error) {
	for _, node := range s.https {
		for range 2 { // what the first finds unreachable, finalizers and pools still hold
			if _, err := get(ctx, node, "/debug/pprof/heap?gc=1"); err != nil {
				return 0, fmt.Errorf("have the server collect its garbage: %w", err)
			}
		}
		page, err := get(ctx, node, "/metrics")
		if err != nil {
			return 0, fmt.Errorf("read the server's heap: %w", err)
		}
		heap += metric(page, "go_memstats_heap_alloc_bytes")
	}
	return heap, nil
}

// metric is one value of a page of metrics; 0 where it isn't there.
func metric(page []byte, name string) int64 {
	for line := range strings.Lines(string(page)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				return 0
			}
			return int64(v)
		}
	}
	return 0
}
