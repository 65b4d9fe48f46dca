package service_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/alexedwards/argon2id"
	"go.uber.org/goleak"

	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service"
	"chatd/service/bus"
	"chatd/service/login"
)

// patience is how long a test waits for an expected event before it fails.
const patience = 60 * time.Second

// secret is the password of all users that node.user creates.
const secret = "secret 1"

// cheap is the lowest cost of password hashing, to keep tests fast.
var cheap = argon2id.Params{Memory: 8, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// TestMain checks that no goroutine is left after the tests, except gnet's
// worker pool, which starts when its package is loaded.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent())
}

// setup has the settings of a node, which a test may change before it starts.
type setup struct {
	service service.Config
	reactor reactor.Config
	model   model.Options
	name    string
	hub     *bus.Hub
	store   func(service.Store) service.Store     // wraps the store
	handler func(reactor.Handler) reactor.Handler // wraps the service
	bus     func(bus.Bus) bus.Bus                 // wraps the bus
	sunk    func(first []byte)                    // called before Committed, with the text of the first message of the batch
	faults  bool                                  // internal errors are expected
	panics  float64                               // number of panics expected
}

// node is a complete node with real sockets on loopback and a real SQLite file.
type node struct {
	tb   testing.TB
	cfg  setup
	set  *metrics.Set
	svc  *service.Service
	db   *model.DB
	r    *reactor.Reactor
	bus  *bus.Node
	addr string
	hash string
	stop func()
}

// serve starts a node, which stops when the test ends.
func serve(tb testing.TB, change ...func(*setup)) *node {
	tb.Helper()
	cfg := setup{service: service.DefaultConfig(), reactor: reactor.DefaultConfig(), name: "one", hub: new(bus.Hub)}
	cfg.service.Limits.FramesPerSecPerUser, cfg.service.Limits.BytesPerSecPerUser = 0, 0 // only the tests of limits set them
	cfg.service.Limits.AnswersPerSecPerUser = 0
	cfg.service.Limits.LoginsPerSecPerAddr, cfg.service.Limits.PasswordsPerSecPerAddr, cfg.service.Limits.LoginsPerSecPerUser = 0, 0, 0
	cfg.service.Limits.RegistrationsPerDayPerAddr = 0
	cfg.service.Limits.FailedLoginsPerAddr, cfg.service.Limits.FailedLoginsPerAccountAddr, cfg.service.Limits.FailedLoginsPerAccount = 0, 0, 0
	cfg.service.Login.Argon2.Params = cheap
	cfg.service.DrainSpread = 0
	cfg.reactor.LiftLimits()
	cfg.reactor.AbuseAfter = 0
	cfg.reactor.LoginTimeout, cfg.reactor.IdleTimeout = time.Hour, time.Hour // tests of timeouts set them
	cfg.reactor.Addr = "127.0.0.1:0"
	cfg.reactor.Loops = 2
	cfg.model.DB = "sqlite:" + filepath.Join(tb.TempDir(), "chat.db")
	cfg.model.SQLiteSync = "normal" // faster; no test here crashes the machine
	for _, f := range change {
		f(&cfg)
	}
	return start(tb, cfg)
}

// second starts another node, named two, with the same bus and store.
func (n *node) second(change ...func(*setup)) *node {
	n.tb.Helper()
	cfg := n.cfg
	cfg.name = "two"
	cfg.model.Shared = true
	for _, f := range change {
		f(&cfg)
	}
	return start(n.tb, cfg)
}

func start(tb testing.TB, cfg setup) *node {
	tb.Helper()
	n := &node{tb: tb, cfg: cfg, set: metrics.NewSet()}
	log := &memo{}
	logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	n.svc = service.New(cfg.service, logger, n.set)

	o := cfg.model
	o.Sink, o.Logger, o.Set = n.svc.Committed, logger, n.set
	if cfg.sunk != nil {
		o.Sink = func(ctx context.Context, batch []*model.Append) {
			cfg.sunk(batch[0].Body)
			n.svc.Committed(ctx, batch)
		}
	}
	var err error
	if n.db, err = model.Open(tb.Context(), o); err != nil {
		tb.Fatal(err)
	}
	rc := cfg.reactor
	rc.Logger, rc.Set = logger, n.set
	var h reactor.Handler = n.svc
	if cfg.handler != nil {
		h = cfg.handler(h)
	}
	if n.r, err = reactor.New(rc, h); err != nil {
		tb.Fatal(err)
	}
	n.bus = cfg.hub.Join(n.svc.Receive)
	n.addr = n.r.Addr().String()
	var store service.Store = n.db
	if cfg.store != nil {
		store = cfg.store(store)
	}
	var b bus.Bus = n.bus
	if cfg.bus != nil {
		b = cfg.bus(b)
	}
	if err := n.svc.Start(n.r, store, b, cfg.name, n.db.Epoch()); err != nil {
		tb.Fatal(err)
	}
	if err := n.r.Start(); err != nil {
		tb.Fatal(err)
	}
	if n.hash, err = login.HashPassword(cheap, secret); err != nil {
		tb.Fatal(err)
	}
	n.stop = sync.OnceFunc(func() { n.end(log) })
	tb.Cleanup(n.stop)
	return n
}

// end stops a node. It fails the test if there were unexpected panics or
// internal errors, and prints the node's log if the test has failed.
func (n *node) end(log *memo) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := n.r.Stop(ctx); err != nil {
		n.tb.Errorf("stop the reactor: %v", err)
	}
	n.svc.Stop()
	n.bus.Close(context.Background())
	if err := n.db.Close(); err != nil {
		n.tb.Errorf("close the store: %v", err)
	}
	if c := n.count("chatd_reactor_panics_total"); c != n.cfg.panics {
		n.tb.Errorf("chatd_reactor_panics_total is %v, want %v", c, n.cfg.panics)
	}
	if c := n.count("chatd_service_internal_errors_total"); c != 0 && !n.cfg.faults {
		n.tb.Errorf("chatd_service_internal_errors_total is %v, want 0", c)
	}
	if n.tb.Failed() {
		n.tb.Logf("log of node %s:\n%s", n.cfg.name, log)
	}
}

// count returns the value of a counter of the node.
func (n *node) count(name string) float64 {
	n.tb.Helper()
	var b bytes.Buffer
	n.set.WritePrometheus(&b)
	for line := range strings.Lines(b.String()) {
		if v, ok := strings.CutPrefix(line, name+" "); ok {
			return number(n.tb, v)
		}
	}
	n.tb.Errorf("no metric %s", name)
	return 0
}

// gauge returns the value of a gauge of the node. It is faster than count.
func (n *node) gauge(name string) float64 { return n.set.GetOrCreateGauge(name, nil).Get() }

// settled waits until the node has this many sessions. After a client has closed
// its connection, it takes a moment until the node ends the session.
func (n *node) settled(sessions int) {
	n.tb.Helper()
	eventually(n.tb, fmt.Sprintf("node %s to have %d sessions", n.cfg.name, sessions), func() bool { return n.gauge("chatd_service_sessions") == float64(sessions) })
}

// knows waits until the node knows of this many users who are online on any node.
func (n *node) knows(users int) {
	n.tb.Helper()
	eventually(n.tb, fmt.Sprintf("node %s to know of %d users", n.cfg.name, users), func() bool { return n.gauge("chatd_cluster_users") == float64(users) })
}

// eventually waits until ok returns true. what completes the message "waited
// for".
func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for end := time.Now().Add(patience); !ok(); runtime.Gosched() {
		if time.Now().After(end) {
			tb.Fatalf("waited %v for %s, which didn't happen", patience, what)
		}
		time.Sleep(time.Millisecond)
	}
}

// user creates a user in the store, with the password secret.
func (n *node) user(name string) int64 {
	n.tb.Helper()
	id, err := n.db.CreateUser(n.tb.Context(), name, proto.NameKey(name), n.hash)
	if err != nil {
		n.tb.Fatal(err)
	}
	return id
}

// users creates a user for each name.
func (n *node) users(names ...string) []int64 {
	n.tb.Helper()
	ids := make([]int64, len(names))
	for i, name := range names {
		ids[i] = n.user(name)
	}
	return ids
}

// group creates a group in the store. The first member is its creator. The nodes
// aren't notified, so no member may be online.
func (n *node) group(members ...int64) int64 {
	n.tb.Helper()
	a, err := n.db.CreateGroup(n.tb.Context(), members[0], "group", "a group", 1000)
	if err != nil {
		n.tb.Fatal(err)
	}
	for _, m := range members[1:] {
		if _, err := n.db.JoinGroup(n.tb.Context(), a.Group, m, 10000, 1000); err != nil {
			n.tb.Fatal(err)
		}
	}
	return a.Group
}

// befriend makes two users friends in the store. The nodes aren't notified, so
// neither may be online.
func (n *node) befriend(a, b int64) {
	n.tb.Helper()
	if _, err := n.db.AddFriend(n.tb.Context(), a, b, 1000); err != nil {
		n.tb.Fatal(err)
	}
}

// together runs the functions concurrently and waits for them.
func together(fs ...func()) {
	var wg sync.WaitGroup
	for _, f := range fs {
		wg.Go(f)
	}
	wg.Wait()
}

// memo collects a node's log.
type memo struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (m *memo) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.b.Write(p)
}

func (m *memo) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.b.String()
}

// atomicTime is a clock that stands still until it is set.
type atomicTime struct {
	mu sync.Mutex
	t  time.Time
}

func (a *atomicTime) get() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.t
}

func (a *atomicTime) set(t time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.t = t
}

func (a *atomicTime) add(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.t = a.t.Add(d)
}
