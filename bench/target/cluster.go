package target

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"chatd/bench/report"
	"chatd/internal/services"
)

// Values of --spawn.
const (
	SpawnSQLite  = "sqlite"
	SpawnMySQL   = "mysql"
	SpawnCluster = "cluster"
)

// fullFlush are MariaDB's arguments: acknowledged messages survive a power cut,
// and buffer pool and log suit a growing database. The data is thrown away, so
// a shutdown needn't clean it up.
var fullFlush = []string{"--innodb-flush-log-at-trx-commit=1", "--innodb-buffer-pool-size=1G", "--innodb-log-file-size=512M",
	"--innodb-fast-shutdown=2"}

const database = "chatd"

// cluster is a set of started processes: nodes, and the services they use. They
// end when this process does: see services.Folder.
type cluster struct {
	folder  *services.Folder
	mariadb *services.MariaDB // nil: nodes use SQLite
	redis   *services.Redis   // nil: there is one node
	nodes   []*services.Node
}

// newCluster starts what t describes. Missing programs are installed if
// possible, which is announced on installLog. After an error nothing runs.
func newCluster(ctx context.Context, t *Flags, p *report.Progress, installLog io.Writer) (*cluster, error) {
	if _, err := exec.LookPath(t.Chatd); err != nil {
		return nil, fmt.Errorf("start chatd: %w; run make build, or name another program with --chatd", err)
	}
	var needed []string
	if t.Spawn != SpawnSQLite {
		needed = append(needed, services.MariaDBPrograms...)
	}
	if t.Spawn == SpawnCluster {
		needed = append(needed, services.RedisPrograms...)
	}
	if err := services.Ensure(ctx, installLog, needed...); err != nil {
		return nil, err
	}
	c := &cluster{}
	var err error
	if c.folder, err = services.NewFolder(t.Dir, "chatbench-"); err != nil {
		return nil, fmt.Errorf("create a folder for the database: %w", err)
	}
	if err := c.start(ctx, t, p); err != nil {
		return nil, errors.Join(err, c.endAll((*services.Service).Close))
	}
	return c, nil
}

func (c *cluster) start(ctx context.Context, t *Flags, p *report.Progress) (err error) {
	store, redis := "sqlite:"+filepath.Join(c.folder.Path, "chatd.db"), ""
	if t.Spawn != SpawnSQLite {
		p.Show("starting MariaDB")
		if c.mariadb, err = services.NewMariaDB(ctx, c.folder, 0, slices.Concat(fullFlush, t.MariaDB)...); err != nil {
			return err
		}
		if err = c.mariadb.Start(ctx); err != nil {
			return err
		}
		if _, err = c.mariadb.SQL(ctx, "CREATE DATABASE "+database); err != nil {
			return err
		}
		store = c.mariadb.URL(database)
	}
	if t.Spawn == SpawnCluster {
		p.Show("starting Redis")
		if c.redis, err = services.NewRedis(c.folder, 0); err != nil {
			return err
		}
		if err = c.redis.Start(ctx); err != nil {
			return err
		}
		redis = c.redis.URL()
	}
	for i := range t.nodeCount() {
		name := fmt.Sprint("node ", i+1)
		p.Show("starting %s", name)
		n, err := newNode(c.folder, t, name, store, redis)
		if err != nil {
			return err
		}
		c.nodes = append(c.nodes, n)
		if err := n.Start(ctx); err != nil { // the first one creates the schema
			return err
		}
	}
	return nil
}

// services lists all processes, the nodes first.
func (c *cluster) services() []*services.Service {
	var all []*services.Service
	for _, n := range c.nodes {
		all = append(all, n.Service)
	}
	if c.redis != nil {
		all = append(all, c.redis.Service)
	}
	if c.mariadb != nil {
		all = append(all, c.mariadb.Service)
	}
	return all
}

// restartNodes stops all nodes and starts them again with the same data and
// addresses.
func (c *cluster) restartNodes(ctx context.Context) error {
	for _, n := range c.nodes {
		if err := n.Stop(); err != nil {
			return err
		}
	}
	for _, n := range c.nodes {
		if err := n.Start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// stop stops all processes, the nodes first, and removes the folder. It returns
// an error if a process had ended by itself.
func (c *cluster) stop() error {
	return c.endAll(func(s *services.Service) error {
		if s.PID() == 0 {
			return s.Close()
		}
		return errors.Join(s.Stop(), s.Close())
	})
}

// endAll ends every service with f and removes the folder.
func (c *cluster) endAll(f func(*services.Service) error) error {
	var all []error
	for _, s := range c.services() {
		all = append(all, f(s))
	}
	if err := c.folder.Remove(); err != nil {
		all = append(all, fmt.Errorf("remove the server's folder: %w", err))
	}
	return errors.Join(all...)
}

// versions describes the services besides the nodes.
func (c *cluster) versions(ctx context.Context, t *Flags) (all []string) {
	if c.mariadb != nil {
		all = append(all, fmt.Sprintf("%s (%s)", c.mariadb.Version(ctx), strings.Join(slices.Concat(fullFlush, t.MariaDB), " ")))
	}
	if c.redis != nil {
		all = append(all, c.redis.Version(ctx))
	}
	return all
}
