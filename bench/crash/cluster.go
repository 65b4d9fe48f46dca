package crash

import (
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"chatd/internal/services"
	"chatd/internal/testbuild"
)

const (
	database    = "chatd"
	clientLinks = 5 // between devices and nginx; each has devices of all kinds
)

// diskSize returns the size of the disk that can be filled, in bytes: enough for
// the messages of a run and for the database's own files.
func diskSize(cfg *Config) int64 {
	messages := int64(float64(cfg.Rate)*cfg.Duration.Seconds()) * (2 << 10)
	if cfg.SQLite {
		return messages + 64<<20
	}
	return max(1<<30, messages+512<<20)
}

// mariaDBFlags make MariaDB sync every commit, and keep the connections of nodes
// that have lost power, some every few seconds.
var mariaDBFlags = []string{"--max-connections=2000", "--innodb-flush-log-at-trx-commit=1", "--innodb-buffer-pool-size=256M", "--innodb-log-file-size=96M"}

// cluster is what is tested: nodes that use a MariaDB and a Redis, or one node
// with SQLite, behind an nginx. All connections between them go through links.
type cluster struct {
	folder  *services.Folder
	disk    *disk             // nil: there is no disk that can be filled
	sqlite  string            // the file of SQLite; "": MariaDB and Redis are used
	mariadb *services.MariaDB // nil with SQLite
	redis   *services.Redis   // nil with SQLite
	nginx   *services.Nginx
	nodes   []*services.Node

	// clocks are the files that say by how many seconds each node's clock is off.
	// There are none if the server's clock can't be stepped.
	clocks []string

	frontLinks []*link // from devices to nginx
	nodeLinks  []*link // from nginx to each node
	dbLinks    []*link // from each node to MariaDB; none with SQLite
	redisLinks []*link // from each node to Redis; none with SQLite
	listen     *services.Port
	conf       string // configuration of nginx

	// locks[x] must be held to start, stop or freeze x.
	locks map[*services.Service]*sync.Mutex
	// failing services didn't start when supervise or repair, which don't run at
	// the same time, last tried.
	failing map[*services.Service]bool

	mu         sync.Mutex
	remarks    []string
	violations []Violation
}

// remark notes something that isn't a violation but should be known.
func (s *cluster) remark(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.remarks) < maxHistories {
		s.remarks = append(s.remarks, fmt.Sprintf(format, args...))
	}
}

func (s *cluster) violate(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.violations = append(s.violations, Violation{Kind: Died, Text: fmt.Sprintf(format, args...)})
}

// newCluster starts everything. It blocks until all services answer. After an
// error nothing runs.
func newCluster(ctx context.Context, cfg *Config) (*cluster, error) {
	needed := []string{"nginx"}
	if !cfg.SQLite {
		needed = slices.Concat(services.MariaDBPrograms, services.RedisPrograms, needed)
	}
	if err := services.Ensure(ctx, cfg.Say, needed...); err != nil {
		return nil, err
	}
	s := &cluster{locks: make(map[*services.Service]*sync.Mutex)}
	var err error
	if s.folder, err = services.NewFolder(cfg.Dir, "crash-"); err != nil {
		return nil, fmt.Errorf("create a folder for the cluster: %w", err)
	}
	if err := s.start(ctx, cfg); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *cluster) start(ctx context.Context, cfg *Config) (err error) {
	at := s.folder
	if s.disk, err = newDisk(filepath.Join(s.folder.Path, "disk"), diskSize(cfg)); err != nil {
		s.remark("the fault \"disk full\" is left out: %v", err)
	} else {
		at = s.folder.Beneath("disk")
	}
	if cfg.SQLite {
		s.sqlite = filepath.Join(at.Path, database+".db")
	} else if err := s.startServices(ctx, at); err != nil {
		return err
	}
	steps := hasClock(cfg.Chatd)
	if !steps {
		s.remark("the fault %q is left out: %s wasn't built by internal/testbuild/clockd, as make crash does", clockSteps, cfg.Chatd)
	}
	for i := range cfg.Nodes {
		if err := s.addNode(ctx, cfg, fmt.Sprint("node ", i+1), steps); err != nil {
			return err
		}
	}
	if s.listen, err = services.NewPort(); err != nil {
		return err
	}
	front := services.Address(s.listen.Number)
	s.conf = s.nginxConf(front)
	if s.nginx, err = services.NewNginx(ctx, s.folder, s.conf); err != nil {
		return err
	}
	s.locks[s.nginx.Service] = &sync.Mutex{}
	if err := s.nginx.Start(ctx); err != nil {
		return err
	}
	for range clientLinks {
		if err := addLink(&s.frontLinks, front); err != nil {
			return err
		}
	}
	return nil
}

// startServices starts MariaDB, with its data in a folder, and Redis.
func (s *cluster) startServices(ctx context.Context, data *services.Folder) (err error) {
	if s.mariadb, err = services.NewMariaDB(ctx, data, 0, mariaDBFlags...); err != nil {
		return err
	}
	if s.redis, err = services.NewRedis(s.folder, 0); err != nil {
		return err
	}
	for _, x := range []*services.Service{s.mariadb.Service, s.redis.Service} {
		s.locks[x] = &sync.Mutex{}
		if err := x.Start(ctx); err != nil {
			return err
		}
	}
	_, err = s.mariadb.SQL(ctx, "CREATE DATABASE "+database)
	return err
}

func addLink(to *[]*link, addr string) error {
	k, err := newLink(addr)
	if err == nil {
		*to = append(*to, k)
	}
	return err
}

// hasClock reports whether a program's clock can be stepped.
func hasClock(chatd string) bool {
	path, err := exec.LookPath(chatd)
	if err != nil {
		return false
	}
	info, err := buildinfo.ReadFile(path)
	return err == nil && slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool {
		return s.Key == "-tags" && slices.Contains(strings.Split(s.Value, ","), testbuild.ClockTag)
	})
}

// addNode starts another node. steps says whether its clock can be stepped.
func (s *cluster) addNode(ctx context.Context, cfg *Config, name string, steps bool) error {
	store, err := s.storeFlags(name)
	if err != nil {
		return err
	}
	if steps {
		file := filepath.Join(s.folder.Path, strings.ReplaceAll(name, " ", "-")+".clock")
		s.clocks = append(s.clocks, file)
		store = append(store, "--clock-file="+file)
	}
	flags := []string{"--proxy-protocol", "127.0.0.1/32", "--idle-timeout", "10s", "--no-limits", "--argon2", "8,1,1", "--log-format", "json"}
	n, err := services.NewNode(s.folder, name, cfg.Chatd, slices.Concat(store, flags, cfg.Args)...)
	if err != nil {
		return err
	}
	s.nodes = append(s.nodes, n)
	s.locks[n.Service] = &sync.Mutex{}
	if err := n.Start(ctx); err != nil {
		return err
	}
	return addLink(&s.nodeLinks, n.Addr())
}

// storeFlags returns the flags that name the database and Redis of the next
// node, and adds its links to them.
func (s *cluster) storeFlags(name string) ([]string, error) {
	if s.sqlite != "" {
		return []string{"--db", "sqlite:" + s.sqlite}, nil
	}
	i := len(s.nodes)
	if err := errors.Join(addLink(&s.dbLinks, services.Address(s.mariadb.Port(0))), addLink(&s.redisLinks, services.Address(s.redis.Port(0)))); err != nil {
		return nil, err
	}
	return []string{"--db", "mysql://root@" + s.dbLinks[i].addr() + "/" + database, "--redis", "redis://" + s.redisLinks[i].addr(),
		"--node", strings.ReplaceAll(name, " ", "-")}, nil
}

// nginxConf returns a configuration that spreads connections over the nodes and
// passes on the clients' addresses.
func (s *cluster) nginxConf(listen string) string {
	var b strings.Builder
	b.WriteString("worker_processes 1;\nworker_rlimit_nofile 8192;\nerror_log stderr warn;\nevents { worker_connections 4096; }\nstream {\n  upstream nodes {\n")
	for _, k := range s.nodeLinks {
		fmt.Fprintf(&b, "    server %s max_fails=1 fail_timeout=1s;\n", k.addr())
	}
	fmt.Fprintf(&b, "  }\n  server {\n    listen %s;\n    proxy_pass nodes;\n    proxy_protocol on;\n    proxy_connect_timeout 1s;\n    proxy_timeout 60s;\n  }\n}\n", listen)
	return b.String()
}

// setClock makes a node's clock wrong by whole seconds. Nodes notice within a
// few hundredths of a second. 0 makes it right.
func (s *cluster) setClock(node int, off time.Duration) error {
	// A rename, so that the node never reads half of the file.
	file := s.clocks[node]
	if err := os.WriteFile(file+".new", fmt.Appendln(nil, int64(off/time.Second)), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// services lists all services, dependents first.
func (s *cluster) services() (all []*services.Service) {
	if s.nginx != nil {
		all = append(all, s.nginx.Service)
	}
	for _, n := range s.nodes {
		all = append(all, n.Service)
	}
	if s.redis != nil {
		all = append(all, s.redis.Service)
	}
	if s.mariadb != nil {
		all = append(all, s.mariadb.Service)
	}
	return all
}

func (s *cluster) links() []*link {
	return slices.Concat(s.frontLinks, s.nodeLinks, s.dbLinks, s.redisLinks)
}

// withLocked runs do with the locks of services held. Locks are taken in a
// fixed order.
func (s *cluster) withLocked(do func() error, which ...*services.Service) error {
	for _, x := range s.services() {
		if slices.Contains(which, x) {
			s.locks[x].Lock()
			defer s.locks[x].Unlock()
		}
	}
	return do()
}

// supervise restarts services that have ended unexpectedly, until ctx ends. An
// unexpected end of a node is a violation.
func (s *cluster) supervise(ctx context.Context) {
	for sleep(ctx, 200*time.Millisecond) {
		for _, x := range s.services() {
			if s.locks[x].TryLock() {
				s.restartIfEnded(ctx, x)
				s.locks[x].Unlock()
			}
		}
	}
}

// restartIfEnded starts a service that should run. The caller must hold its
// lock.
func (s *cluster) restartIfEnded(ctx context.Context, x *services.Service) {
	err := x.Ended()
	if err == nil && x.PID() != 0 {
		delete(s.failing, x)
		return
	}
	if err != nil {
		if s.isNode(x) {
			s.violate("%v", err)
		} else {
			s.remark("%v", firstAndLastLine(err))
		}
		if err := x.Kill(); err != nil {
			s.remark("%v", err)
		}
	}
	err = x.Start(ctx)
	if err != nil && ctx.Err() == nil && !s.failing[x] { // say it once, not for each attempt
		s.remark("restart: %v", firstAndLastLine(err))
	}
	if s.failing == nil {
		s.failing = make(map[*services.Service]bool)
	}
	s.failing[x] = err != nil
}

// firstAndLastLine shortens an error that contains a program's log. The last
// line says why the program failed.
func firstAndLastLine(err error) string {
	first, rest, _ := strings.Cut(strings.TrimSpace(err.Error()), "\n")
	if rest == "" {
		return first
	}
	return first + " " + rest[strings.LastIndexByte(rest, '\n')+1:]
}

func (s *cluster) isNode(x *services.Service) bool {
	return slices.ContainsFunc(s.nodes, func(n *services.Node) bool { return n.Service == x })
}

// repair ends everything that is still broken. No fault may be in progress.
func (s *cluster) repair(ctx context.Context) {
	for _, k := range s.links() {
		k.resume()
	}
	for i := range s.clocks {
		if err := s.setClock(i, 0); err != nil {
			s.remark("%v", err)
		}
	}
	if s.disk != nil {
		if err := s.disk.free(); err != nil {
			s.remark("%v", err)
		}
	}
	all := s.services()
	slices.Reverse(all)
	for _, x := range all {
		s.locks[x].Lock()
		if x.PID() != 0 && x.Ended() == nil {
			_ = x.Thaw() // fails if it isn't frozen
		}
		for range 3 {
			s.restartIfEnded(ctx, x)
			if x.PID() != 0 {
				break
			}
		}
		s.locks[x].Unlock()
	}
}

// stopNodes stops the nodes. Each must shut down with exit code 0.
func (s *cluster) stopNodes() {
	for _, n := range s.nodes {
		if n.PID() == 0 {
			s.violate("%s wasn't running at the end", n.Name())
			continue
		}
		if err := n.Ended(); err != nil { // an unexpected end may have looked orderly
			s.violate("%v", err)
			continue
		}
		if err := n.Stop(); err != nil {
			s.violate("%v", err)
		}
	}
}

// keepLogs copies the logs of all services into a folder.
func (s *cluster) keepLogs(folder string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	var all []error
	for _, x := range s.services() {
		b, err := os.ReadFile(filepath.Join(x.Folder, "log"))
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, strings.ReplaceAll(x.Name(), " ", "-")+".log"), b, 0o600)
		}
		all = append(all, err)
	}
	return errors.Join(all...)
}

// close ends everything and removes the folder.
func (s *cluster) close() error {
	for _, k := range s.links() {
		k.close()
	}
	var all []error
	for _, x := range s.services() {
		all = append(all, x.Close())
	}
	if s.listen != nil {
		all = append(all, s.listen.Release())
	}
	if s.disk != nil {
		all = append(all, s.disk.close())
	}
	return errors.Join(append(all, s.folder.Remove())...)
}

func (s *cluster) versions(ctx context.Context) []string {
	if s.sqlite != "" {
		return []string{s.nginx.Version(ctx)}
	}
	return []string{s.mariadb.Version(ctx), s.redis.Version(ctx), s.nginx.Version(ctx)}
}
