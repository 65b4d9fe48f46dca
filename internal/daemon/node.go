package daemon

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"chatd/internal/setting"
	"chatd/model"
	"chatd/reactor"
	"chatd/service"
	"chatd/service/audit"
	"chatd/service/bus"
	"chatd/service/ops"
)

// node is one running server. start opens its parts from the bottom up. stop
// closes them from the top down.
type node struct {
	cfg      *Config
	log      *slog.Logger
	set      *metrics.Set
	stopping <-chan struct{}
	ready    atomic.Bool
	chat     atomic.Pointer[netip.AddrPort] // where clients connect; nil until it listens
	health   *ops.Server
	ops      *ops.Server
	admin    *ops.Server
	tunnel   string // reactor.Config.TunnelKey

	storeBytes, diskFree atomic.Int64 // measured every measureEvery
	audit                *audit.Log
	store                *model.DB
	entry                *model.Entry // in the store's list of nodes
	service              *service.Service
	bus                  nodeBus
	reactor              *reactor.Reactor

	watch    sync.WaitGroup // the goroutine of watchStore
	endWatch func()         // nil: it doesn't run
	failed   chan error     // why the node has to end; has room for one error, from watchStore
}

// nodeBus is the node's connection to the other nodes.
type nodeBus interface {
	bus.Bus
	Close(context.Context) error
}

// run serves until stop is closed, ctx ends or the store is replaced, and then drains
// the node. It blocks until the node is closed.
func run(ctx context.Context, stop <-chan struct{}, cfg *Config, log *slog.Logger) error {
	n := &node{cfg: cfg, log: log, set: metrics.NewSet(), stopping: stop, tunnel: rand.Text(), failed: make(chan error, 1)}
	n.set.NewGauge("chatd_ready", func() float64 {
		if n.ready.Load() {
			return 1
		}
		return 0
	})
	if cfg.live != nil {
		cfg.live.queue.countIn(n.set.GetOrCreateCounter("chatd_log_lines_lost_total"))
	}
	var background sync.WaitGroup
	running, end := context.WithCancel(ctx)
	background.Go(func() { returnMemory(running, log) })
	defer background.Wait()
	defer end()
	err := n.start(ctx)
	if err == nil {
		// The manager must hear of the node while it drains, too.
		watching, endWatching := context.WithCancel(ctx)
		var watch sync.WaitGroup
		watch.Go(func() { cfg.manager.watch(watching, n.reactor) })
		defer watch.Wait()
		defer endWatching()
		background.Go(func() { n.measureStore(running) })
		select {
		case <-stop:
		case <-ctx.Done():
		case err = <-n.failed:
			log.Error("chatd draining: the database isn't the one that it has opened", "err", err, "timeout", cfg.DrainTimeout)
		}
		end() // nobody may use the store while stop closes it
		background.Wait()
	}
	return errors.Join(err, n.stop())
}

// start opens the store, listens and serves. It blocks until the database and
// Redis are available. If it fails, stop closes what it has opened.
func (n *node) start(ctx context.Context) error {
	var err error
	if n.audit, err = openAudit(n.cfg, n.cfg.stdout, n.log, n.set); err != nil {
		return err
	}
	n.cfg.live.onReopen(n.audit.Reopen)
	o := n.cfg.Ops
	o.Registration = n.cfg.Service.Login.Registration
	o.Ready, o.Chat, o.Trace, o.Set, o.Logger = n.ready.Load, n.chatAddr, n.trace, n.set, n.log
	o.Proxies, o.TunnelHeader, o.TunnelKey = n.cfg.Reactor.ProxyProtocol, reactor.TunnelHeader, n.tunnel
	if o.Health != "" {
		n.health = ops.NewHealth(o)
		if err := n.health.Start(); err != nil {
			n.health = nil
			return fmt.Errorf("--health: %w", err)
		}
	}
	if o.HTTP != "" {
		n.ops = ops.New(o)
		if err := n.ops.Start(); err != nil {
			n.ops = nil
			return fmt.Errorf("--http: %w", err)
		}
	}
	if err := makeFolder(n.cfg.Store.DB); err != nil {
		return err
	}
	cfg := n.cfg.Service
	cfg.Audit = n.audit
	n.service = service.New(cfg, n.log, n.set)
	if n.store, err = n.openStore(ctx); err != nil {
		return err
	}
	if err := n.measureOnce(ctx); err != nil {
		return fmt.Errorf("--db: %w", err)
	}
	n.set.NewGauge("chatd_model_store_bytes", func() float64 { return float64(n.storeBytes.Load()) })
	if n.diskFree.Load() >= 0 {
		n.set.NewGauge("chatd_model_disk_free_bytes", func() float64 { return float64(n.diskFree.Load()) })
	}
	n.reactor, err = reactor.New(n.reactorConfig(), n.service)
	if err != nil {
		return err
	}
	addr := n.reactor.Addr().(*net.TCPAddr).AddrPort()
	n.chat.Store(&addr)
	if n.bus, err = n.joinBus(ctx); err != nil {
		return err
	}
	if err := n.enter(ctx, n.cfg.NodeName(addr.Port())); err != nil {
		return err
	}
	if err := n.service.Start(n.reactor, n.store, n.bus, n.cfg.NodeName(addr.Port()), n.store.Epoch()); err != nil {
		return err
	}
	if err := n.reactor.Start(); err != nil {
		return err
	}
	for _, name := range []string{"origins", "conns-per-addr", "connects-per-sec-per-addr"} {
		n.cfg.live.on(name, func(c *Config) { n.reactor.Reload(&c.Reactor) })
	}
	if o.Admin != "" {
		n.admin = ops.NewAdmin(o)
		if err := n.admin.Start(); err != nil {
			n.admin = nil
			return fmt.Errorf("--admin: %w", err)
		}
	}
	watching, end := context.WithCancel(ctx)
	n.endWatch = end
	n.watch.Go(func() { n.watchStore(watching) })
	n.audit.Add(audit.Event{Action: audit.Start, Detail: fmt.Sprintf("node %s, registration %s, no_limits %t", n.cfg.NodeName(addr.Port()), cfg.Login.Registration, n.cfg.NoLimits)})
	n.ready.Store(true)
	n.cfg.manager.serving()
	n.greet(addr)
	return nil
}

// openStore opens the store. It blocks until the database is available, for up to
// --wait, or until a signal interrupts it: a name server or a database server may
// never answer.
func (n *node) openStore(ctx context.Context) (*model.DB, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	opened := make(chan struct{})
	defer close(opened)
	go func() {
		select {
		case <-n.stopping:
			cancel()
		case <-opened:
		}
	}()
	db, err := model.Open(ctx, n.storeOptions())
	if err != nil && ctx.Err() != nil {
		return nil, errStopped
	}
	return db, err
}

// joinBus connects the node to the others through Redis. Without --redis it
// returns a bus of this node alone. It blocks until Redis is available, for up
// to --wait.
func (n *node) joinBus(ctx context.Context) (nodeBus, error) {
	if n.cfg.Bus.Redis == "" {
		var hub bus.Hub
		return hub.Join(n.service.Receive), nil
	}
	up := make(chan struct{}, 1)
	addr := n.reactor.Addr().(*net.TCPAddr).AddrPort()
	cfg := n.cfg.Bus
	cfg.Node, cfg.Logger, cfg.Set = n.cfg.NodeName(addr.Port()), n.log, n.set
	r, err := bus.DialRedis(ctx, cfg, n.service.Receive, func(on bool) {
		n.service.BusChanged(on)
		if on {
			select {
			case up <- struct{}{}:
			default:
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("--redis: %w", err)
	}
	if r.Up() {
		return r, nil
	}
	n.log.Warn("Redis unavailable; retrying", "redis", setting.Redacted(n.cfg.Bus.Redis), "wait", n.cfg.Store.Wait, "err", r.Err())
	select {
	case <-up:
		return r, nil
	case <-time.After(n.cfg.Store.Wait):
		err = fmt.Errorf("--redis: %s still unavailable after --wait %v: %w", setting.Redacted(n.cfg.Bus.Redis), n.cfg.Store.Wait, r.Err())
	case <-n.stopping:
		err = errStopped
	}
	return nil, errors.Join(err, r.Close(ctx))
}

// errStopped is returned if a signal interrupts the start.
var errStopped = errors.New("stopped by a signal during startup")

// greet says, in the log or on the terminal, where to connect a client.
func (n *node) greet(addr netip.AddrPort) {
	var page netip.AddrPort
	if n.ops != nil {
		page = n.ops.Addr().(*net.TCPAddr).AddrPort()
	}
	if n.cfg.terminal != nil {
		n.welcome(addr, page)
	} else {
		n.log.Info("chatd listening", "address", addr.String(), "try", fmt.Sprintf("bin/chat %s %d", addr.Addr(), addr.Port()))
		if page.IsValid() {
			n.log.Info("web client and metrics available", "url", "http://"+page.String()+"/")
		}
	}
	if n.ops != nil {
		switch {
		case ops.IsLoopback(n.cfg.Ops.HTTP):
		case n.cfg.Ops.HTTPPprof:
			n.log.Warn("--http-pprof: everyone who can reach --http can slow this node down and read its memory", "http", n.ops.Addr().String())
		default:
			n.log.Info("other machines can reach --http, so /debug/pprof is off there; --admin serves it on loopback", "http", n.ops.Addr().String())
		}
	}
	if n.health != nil {
		n.log.Info("health checks and metrics available", "health", n.health.Addr().String())
	}
	if n.admin != nil {
		n.log.Info("admin address listening", "admin", n.admin.Addr().String())
		if !ops.IsLoopback(n.cfg.Ops.Admin) {
			n.log.Warn("--admin-remote: everyone who can reach this address can see who talks to whom", "admin", n.admin.Addr().String())
		}
	}
}

// stop drains the node and closes what start has opened.
func (n *node) stop() error {
	served := n.ready.Swap(false)
	var errs []error
	if served {
		ctx, cancel := context.WithTimeout(context.Background(), n.cfg.DrainTimeout)
		if err := n.reactor.Drain(ctx, n.service.Idle, n.service.Draining); err != nil {
			n.log.Warn("drain incomplete", "err", err)
		}
		cancel()
	}
	if n.admin != nil { // before the service and the store, which it asks
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		errs = append(errs, n.admin.Close(ctx))
		cancel()
	}
	if n.reactor != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		errs = append(errs, n.reactor.Stop(ctx))
		cancel()
	}
	if n.service != nil {
		n.service.Stop()
	}
	if n.bus != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		errs = append(errs, n.bus.Close(ctx))
		cancel()
	}
	if n.endWatch != nil {
		n.endWatch()
		n.watch.Wait()
	}
	if n.entry != nil {
		n.entry.Close()
	}
	if n.store != nil {
		errs = append(errs, n.store.Close())
	}
	for _, s := range []*ops.Server{n.ops, n.health} {
		if s != nil {
			ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
			errs = append(errs, s.Close(ctx))
			cancel()
		}
	}
	errs = append(errs, n.audit.Close())
	return errors.Join(errs...)
}

// stopTimeout bounds each step of stop after draining.
const stopTimeout = 5 * time.Second

// measureStore updates the metrics of the store's size until ctx ends.
func (n *node) measureStore(ctx context.Context) {
	tick := time.NewTicker(measureEvery)
	defer tick.Stop()
	failed := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := n.measureOnce(ctx)
		if err != nil && !failed && ctx.Err() == nil {
			n.log.Warn("can't measure the database; its metrics keep their last values", "err", err)
		}
		failed = err != nil
	}
}

// measureOnce measures the store. On MySQL, that is a query.
func (n *node) measureOnce(ctx context.Context) error {
	size, err := n.store.Size(ctx)
	if err == nil {
		n.storeBytes.Store(size.Bytes)
		n.diskFree.Store(size.Free)
	}
	return err
}

// measureEvery is how often the size of the store is measured.
const measureEvery = 30 * time.Second

func (n *node) chatAddr() netip.AddrPort {
	if a := n.chat.Load(); a != nil {
		return *a
	}
	return netip.AddrPort{}
}

// storeOptions returns the store's settings and what the store needs from the node.
func (n *node) storeOptions() model.Options {
	o := n.cfg.Store
	// The store must not refuse messages that --max-unanswered allows.
	o.QueueBytes = max(model.DefaultQueueBytes, int(n.cfg.Service.Session.MaxUnanswered))
	o.QueueMessages = max(model.DefaultQueueMessages, int(n.cfg.Service.Session.MaxUnanswered>>10))
	o.Sink, o.Logger, o.Set = n.service.Committed, n.log, n.set
	return o
}

// reactorConfig returns the reactor's settings and what it needs from the node.
func (n *node) reactorConfig() reactor.Config {
	c := n.cfg.Reactor
	c.WebURL, c.WebPort = n.webClient()
	c.TunnelKey = n.tunnel
	c.Logger, c.Set = n.log, n.set
	return c
}

// webClient returns where to redirect a browser that opens the chat port:
// --web-url or, without it, --http if everyone who can reach the chat port
// can reach --http too. It is a URL, or a port if --http listens on all
// addresses. Both are zero if there is no such place.
func (n *node) webClient() (url string, port int) {
	if n.cfg.Reactor.WebURL != "" || n.ops == nil {
		return n.cfg.Reactor.WebURL, 0
	}
	http := n.ops.Addr().(*net.TCPAddr).AddrPort()
	addr := http.Addr().Unmap()
	switch {
	case addr.IsUnspecified():
		return "", int(http.Port())
	case addr.IsLoopback() && !ops.IsLoopback(n.cfg.Reactor.Addr):
		return "", 0
	}
	return "http://" + netip.AddrPortFrom(addr, http.Port()).String() + "/", 0
}

// makeFolder creates the folder of the default database, so that the first
// start needs no preparation. Any other missing folder is probably a typo.
func makeFolder(db string) error {
	path, ok := strings.CutPrefix(db, "sqlite:")
	if !ok || path != defaultPath {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("--db: create the folder of %s: %w", path, err)
	}
	return nil
}

// defaultPath is the file of the default of --db.
const defaultPath = "data/chatd.db"
