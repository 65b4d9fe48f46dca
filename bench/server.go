package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// server is what is measured: one of our own, or one that runs.
type server struct {
	target *target
	addr   string // where clients connect
	other  string // where every second one does; "": there too
	http   string // its HTTP address as a URL; "": unknown
	pid    int    // 0: unknown
	child  *child // nil: it was running
	floor  bool   // it is no chatd but a bare relay
	folder string // of a started server's store; removed at the end
}

// usage is what server and generator have used at one moment.
type usage struct {
	server *process // nil: unknown
	self   time.Duration
}

// description says what was measured.
type description struct {
	Address string   `json:"address"`
	Version string   `json:"version,omitempty"`
	Store   string   `json:"store,omitempty"`
	Args    []string `json:"args,omitempty"`
}

func (d description) String() string {
	if d.Version == "" {
		return d.Address + ", which was running"
	}
	text := d.Version + ", " + d.Store
	if len(d.Args) > 0 {
		text += ", " + strings.Join(d.Args, " ")
	}
	return text
}

// newServer starts a server, or takes the one that t names. It blocks until
// that is ready.
func newServer(ctx context.Context, t *target) (*server, error) {
	s := &server{target: t}
	if t.floor != nil {
		return s, s.startFloor(ctx)
	}
	if t.Addr != "" {
		s.addr, s.other, s.http, s.pid = t.Addr, t.Other, t.HTTP, t.PID
		return s, nil
	}
	var err error
	if s.folder, err = os.MkdirTemp(t.Dir, "chatbench-"); err != nil {
		return nil, fmt.Errorf("a folder for the store: %w", err)
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.remove())
	}
	return s, nil
}

// start starts the server on its store.
func (s *server) start(ctx context.Context) error {
	args := append([]string{"127.0.0.1", "0", "--http", "127.0.0.1:0",
		"--db", "sqlite:" + filepath.Join(s.folder, "chatd.db"),
		"--no-limits", "--argon2", "8,1,1", "--log-format", "json"}, s.target.Args...)
	c, err := startChild(ctx, s.target.Chatd, args)
	if err != nil {
		return err
	}
	s.child, s.addr, s.http, s.pid = c, c.chat, c.http, c.cmd.Process.Pid
	return nil
}

// restart ends a started server in order and starts it again on the same
// store. A server that was running stays as it is.
func (s *server) restart(ctx context.Context) error {
	if s.child == nil {
		return nil
	}
	old := s.child
	s.child = nil
	if err := old.stop(); err != nil {
		return err
	}
	return s.start(ctx)
}

// stop ends the server that was started, and removes its store.
func (s *server) stop() error {
	var err error
	if s.child != nil {
		err = s.child.stop()
	}
	return errors.Join(err, s.remove())
}

// remove removes the folder of a started server's store.
func (s *server) remove() error {
	if s.folder == "" {
		return nil
	}
	if err := os.RemoveAll(s.folder); err != nil {
		return fmt.Errorf("remove the server's folder: %w", err)
	}
	return nil
}

// describe says what the server is.
func (s *server) describe(ctx context.Context) description {
	d := description{Address: s.addr, Args: s.target.Args}
	if s.floor {
		return s.target.floor.describe(d)
	}
	if s.child != nil {
		d.Version = versionOf(ctx, s.target.Chatd)
		d.Store = s.target.Spawn + " on " + fileSystem(s.folder)
	}
	return d
}

// usage reads what server and generator have used so far. What can't be read
// is noted in rep.
func (s *server) usage(rep *report) usage {
	u := usage{self: ownCPU()}
	if s.pid == 0 {
		rep.note("the server's process is unknown (--pid): its CPU time and memory are not measured")
		return u
	}
	p, err := readProcess(s.pid)
	if err != nil {
		rep.note("the server's CPU time and memory: %v", err)
		return u
	}
	u.server = p
	return u
}

const (
	httpTimeout = 30 * time.Second
	maxPage     = 16 << 20
	settleFor   = 2 * time.Second  // as long as memory must stay the same
	settleLimit = 20 * time.Second // as long as that is waited for
	settleEvery = 250 * time.Millisecond
)

// get reads one of the server's pages.
func (s *server) get(ctx context.Context, page string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, httpTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.http+page, nil)
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
		return nil, fmt.Errorf("%s: %s", page, answer.Status)
	}
	return io.ReadAll(io.LimitReader(answer.Body, maxPage))
}

// memory is what the server has, once it has collected its garbage and its
// memory has settled. The live heap is 0 where it is unknown. It blocks for
// seconds.
func (s *server) memory(ctx context.Context, rep *report) (p *process, heap int64, err error) {
	if s.http == "" {
		rep.note("the server's HTTP address is unknown (--http): its garbage was not collected before its memory was read")
	} else {
		for range 2 { // what the first finds unreachable, finalizers and pools still hold
			if _, err := s.get(ctx, "/debug/pprof/heap?gc=1"); err != nil {
				return nil, 0, fmt.Errorf("have the server collect its garbage: %w", err)
			}
		}
		page, err := s.get(ctx, "/metrics")
		if err != nil {
			return nil, 0, fmt.Errorf("read the server's heap: %w", err)
		}
		heap = metric(page, "go_memstats_heap_alloc_bytes")
	}
	end, since := time.Now().Add(settleLimit), time.Now()
	for {
		now, err := readProcess(s.pid)
		if err != nil {
			return nil, 0, fmt.Errorf("the server's memory: %w", err)
		}
		if p == nil || now.rss < p.rss-p.rss/200 || now.rss > p.rss+p.rss/200 {
			p, since = now, time.Now()
		}
		if time.Since(since) >= settleFor || time.Now().After(end) {
			return now, heap, nil
		}
		if err := sleep(ctx, settleEvery); err != nil {
			return nil, 0, err
		}
	}
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
