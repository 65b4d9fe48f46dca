// Package crash tests whether chatd keeps its promises while things break. It
// starts a cluster: nodes with a MariaDB and a Redis, behind an nginx, with
// links between all of them. Or it starts one node with SQLite, behind an nginx.
// Users with several devices each send messages to each other and to groups.
// Meanwhile a plan of faults, determined by a seed, kills, freezes, fills up,
// slows down and cuts off parts of it.
// Afterwards the package compares the answers that every sender got, what every
// device was shown, and what is stored.
package crash

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"time"

	"chatd/model"
)

// Config configures a run.
type Config struct {
	Chatd    string        // program of the server
	Dir      string        // where the cluster's folder is made; "": the system's temporary folder
	SQLite   bool          // one node with SQLite instead of a cluster
	Nodes    int           // 1 to 16; 1 with SQLite
	Users    int           // 2 to 200
	Rate     int           // messages per second that all devices together try to send
	Duration time.Duration // how long messages are sent
	Seed     uint64        // determines the plan
	Faults   []string      // names of faults; none: all
	Args     []string      // more flags for each node
	Logs     string        // folder for the services' logs; "": they are removed

	Say      io.Writer         // gets announcements of what has to be installed; may be nil
	Progress func(line string) // called with the progress once a second; may be nil
}

// Bounds of Config.
const (
	MaxNodes    = 16
	MaxUsers    = 200
	MaxRate     = 100_000
	MinDuration = 5 * time.Second
	MaxDuration = time.Hour
)

// Validate checks the configuration.
func (c *Config) Validate() error {
	var bad []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			bad = append(bad, fmt.Errorf(format, args...))
		}
	}
	if c.SQLite {
		check(c.Nodes == 1, "--nodes: must be 1 with SQLite, not %d", c.Nodes)
	} else {
		check(c.Nodes >= 1 && c.Nodes <= MaxNodes, "--nodes: %d is not between 1 and %d", c.Nodes, MaxNodes)
	}
	check(c.Users >= 2 && c.Users <= MaxUsers, "--users: %d is not between 2 and %d", c.Users, MaxUsers)
	check(c.Rate >= 1 && c.Rate <= MaxRate, "--rate: %d is not between 1 and %d", c.Rate, MaxRate)
	check(c.Duration >= MinDuration && c.Duration <= MaxDuration, "--duration: %s is not between %s and %s", c.Duration, MinDuration, MaxDuration)
	kinds, err := faultsNamed(c.Faults)
	if err != nil {
		bad = append(bad, fmt.Errorf("--faults: %w", err))
	}
	for _, f := range kinds {
		check(!c.SQLite || !f.OnlyCluster || len(c.Faults) == 0, "--faults: %q needs a cluster; it can't happen with SQLite", f.Name)
	}
	return errors.Join(bad...)
}

const (
	sendersPerUser = 2 // devices of a user that send; another one only receives
	groupSize      = 6
	startTimeout   = 60 * time.Second
	pollEvery      = 20 * time.Millisecond
	// maxIdle is how long to wait for missing messages without any progress. It
	// is longer than the interval at which a node looks for messages it has missed.
	maxIdle = 20 * time.Second
)

// patience is how long to wait for answers, and then for missing messages, once
// everything is repaired and as long as there is progress. Usually all arrive
// within seconds.
func (c *Config) patience() time.Duration { return max(c.Duration*8/10, 2*time.Minute) }

type run struct {
	cfg       *Config
	cluster   *cluster
	directory *directory
	devices   []device
	runner    *planRunner
	began     time.Time
}

// Run performs one run. It blocks until everything has ended. The report is
// never nil. An error means that the run itself failed, which says nothing
// about the server. When ctx ends, the run ends early, and what happened so
// far is checked.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	rep := &Report{Duration: cfg.Duration, Seed: cfg.Seed, SQLite: cfg.SQLite, Nodes: cfg.Nodes, Users: cfg.Users, Rate: cfg.Rate, Began: time.Now(), Violations: make(map[Kind]int)}
	if err := cfg.Validate(); err != nil {
		return rep, err
	}
	if _, err := exec.LookPath(cfg.Chatd); err != nil {
		return rep, fmt.Errorf("start chatd: %w; run make build first", err)
	}
	if cfg.Say == nil {
		cfg.Say = io.Discard
	}
	if cfg.Progress == nil {
		cfg.Progress = func(string) {}
	}
	kinds, err := faultsNamed(cfg.Faults)
	if err != nil {
		return rep, err
	}
	cfg.Progress("starting the services")
	c, err := newCluster(ctx, &cfg)
	if err != nil {
		return rep, err
	}
	r := &run{cfg: &cfg, cluster: c, began: time.Now()}
	err = r.execute(ctx, kinds, rep)
	if cfg.Logs != "" {
		err = errors.Join(err, c.keepLogs(cfg.Logs))
	}
	err = errors.Join(err, c.close())
	rep.Interrupted = ctx.Err() != nil
	rep.Took = time.Since(rep.Began)
	return rep, err
}

func (r *run) execute(ctx context.Context, kinds []*Fault, rep *Report) error {
	rep.Versions = r.cluster.versions(ctx)
	if err := r.setUp(ctx); err != nil {
		return fmt.Errorf("set up users and groups: %w", err)
	}
	env := &environment{r.cluster, r.devices}
	r.runner = &planRunner{env: env, began: r.began, done: make(map[string]int)}

	// Devices must outlive an interruption, so that the run can be checked.
	alive, end := context.WithCancel(context.Background())
	defer end()
	var devices sync.WaitGroup
	for _, d := range r.devices {
		devices.Go(func() { d.run(alive) })
	}
	if err := r.startConversations(ctx); err != nil {
		end()
		devices.Wait()
		return err
	}
	watched, unwatch := context.WithCancel(alive)
	var others sync.WaitGroup
	others.Go(func() { r.cluster.supervise(watched) })
	others.Go(func() { r.reportProgress(watched, "faults") })
	others.Go(func() { r.runResenders(watched) })

	started := time.Now()
	for _, d := range r.devices {
		if t, ok := d.(*sender); ok {
			t.silent.Store(false)
		}
	}
	p := plan(env, kinds, r.cfg.Seed, r.cfg.Duration)
	r.runner.run(ctx, p)
	sleep(ctx, time.Until(started.Add(r.cfg.Duration)))
	for _, d := range r.devices {
		d.stopSending()
	}
	rep.Talked = time.Since(started)
	unwatch()
	others.Wait()

	r.cluster.repair(alive)
	telling, untell := context.WithCancel(alive)
	others.Go(func() { r.reportProgress(telling, "settling") })
	err := r.waitComplete(alive)
	if err == nil && !r.cfg.SQLite {
		err = r.withoutRedis(alive)
	}
	untell()
	others.Wait()
	end()
	devices.Wait()
	if err != nil {
		return err
	}
	r.cluster.stopNodes()
	log, err := r.readLog(context.Background())
	if err != nil {
		return err
	}
	e := &evidence{convs: r.directory.convs, log: log, faults: r.runner.notes}
	for _, d := range r.devices {
		e.journals = append(e.journals, d.log())
	}
	all, behind := e.check()
	rep.Behind = behind
	rep.fill(r, e, append(all, r.cluster.violations...))
	return nil
}

// startConversations waits until all devices are logged in, and starts every
// conversation. Then every device has the same beginning of its history.
func (r *run) startConversations(ctx context.Context) error {
	err := r.waitFor(ctx, func() string {
		for _, d := range r.devices {
			if !d.loggedIn() {
				return d.log().name + " isn't logged in"
			}
		}
		return ""
	})
	if err != nil {
		return err
	}
	for c := range r.directory.convs {
		user := r.directory.convs[c].members[0]
		select {
		case r.devices[user*(sendersPerUser+1)].(*sender).openings <- c:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return r.waitFor(ctx, func() string {
		for _, d := range r.devices {
			for c := range r.directory.convs {
				if j := d.log(); member(&r.directory.convs[c], j.user) && j.top(c) == 0 {
					return j.name + " hasn't received anything in " + r.directory.convs[c].name
				}
			}
		}
		return ""
	})
}

// withoutRedis kills Redis and sends a last message to each conversation. Nodes can
// only find it in the feed: no hint tells them of it, and no later message reveals
// that it was missed. withoutRedis waits as waitComplete does.
func (r *run) withoutRedis(ctx context.Context) error {
	if err := r.cluster.redis.Kill(); err != nil {
		return fmt.Errorf("kill Redis: %w", err)
	}
	for c := range r.directory.convs {
		user := r.directory.convs[c].members[0]
		select {
		case r.devices[user*(sendersPerUser+1)].(*sender).openings <- c:
		case <-time.After(startTimeout): // the sender is locked out, which is reported
		}
	}
	return r.waitComplete(ctx)
}

// waitFor waits until missing returns "".
func (r *run) waitFor(ctx context.Context, missing func() string) error {
	for end := time.Now().Add(startTimeout); ; {
		what := missing()
		switch {
		case what == "":
			return nil
		case time.Now().After(end):
			return fmt.Errorf("devices not ready after %s: %s", startTimeout, what)
		case !sleep(ctx, pollEvery):
			return ctx.Err()
		}
	}
}

func member(c *conv, user int) bool {
	for _, m := range c.members {
		if m == user {
			return true
		}
	}
	return false
}

// waitComplete waits until all messages are answered and shown, as long as
// there is progress. A node with SQLite is restarted meanwhile: its log can only
// be read while it doesn't run.
func (r *run) waitComplete(ctx context.Context) error {
	r.waitProgress(ctx, r.answered)
	if r.cfg.SQLite {
		r.cluster.stopNodes()
	}
	log, err := r.readLog(ctx)
	if err != nil {
		return err
	}
	if r.cfg.SQLite {
		r.cluster.repair(ctx)
	}
	r.waitProgress(ctx, func() bool { return r.complete(log) })
	return nil
}

// waitProgress waits until done returns true, at most patience, and at most
// maxIdle without any progress.
func (r *run) waitProgress(ctx context.Context, done func() bool) {
	var last tally
	end := time.Now().Add(r.cfg.patience())
	for moved := time.Now(); !done() && time.Now().Before(end) && time.Since(moved) < maxIdle; sleep(ctx, pollEvery) {
		if now := r.counts(); now != last {
			last, moved = now, time.Now()
		}
	}
}

// counts returns the sum over all devices.
func (r *run) counts() (all tally) {
	for _, d := range r.devices {
		all.add(d.log().tally())
	}
	return all
}

func (r *run) answered() bool {
	for _, d := range r.devices {
		if !d.allAnswered() {
			return false
		}
	}
	return true
}

func (r *run) complete(log [][]row) bool {
	for _, d := range r.devices {
		for c := range log {
			if j := d.log(); member(&r.directory.convs[c], j.user) && j.top(c) < int64(len(log[c])) {
				return false
			}
		}
	}
	return true
}

// readLog reads all conversations from the database. A node with SQLite must
// not be running.
func (r *run) readLog(ctx context.Context) (log [][]row, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("read the stored messages: %w", err)
		}
	}()
	o := model.Options{DB: "sqlite:" + r.cluster.sqlite, Wait: startTimeout, Cores: 1}
	if !r.cfg.SQLite {
		o.DB, o.Shared = r.cluster.mariadb.URL(database), true
	}
	db, err := model.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	place := make(map[int64]int)
	for i, p := range r.directory.users {
		place[p.id] = i
	}
	log = make([][]row, len(r.directory.convs))
	for c := range r.directory.convs {
		cv := &r.directory.convs[c]
		me, peer := r.directory.users[cv.members[0]].id, int64(0)
		if cv.group == 0 {
			peer = r.directory.users[cv.members[len(cv.members)-1]].id
		}
		v, err := db.VisibleRange(ctx, me, cv.group, peer)
		if err != nil {
			return nil, err
		}
		for after := int64(0); v.Conv != 0; {
			page, err := db.Page(ctx, v.Conv, after, 1000, 4<<20)
			if err != nil {
				return nil, err
			}
			if len(page) == 0 {
				break
			}
			for i := range page {
				m := &page[i]
				sender, ok := place[m.Sender]
				if !ok {
					sender = -1
				}
				log[c] = append(log[c], row{m.Seq, sender, string(m.CID), string(m.Body), time.UnixMilli(m.Time)})
				after = m.Seq
			}
		}
	}
	return log, nil
}

func (r *run) reportProgress(ctx context.Context, phase string) {
	var last int64
	for sleep(ctx, time.Second) {
		now := r.counts()
		r.cfg.Progress(fmt.Sprintf("%s  %s: %d acknowledged (%d/s), %d unanswered, %d shown, %d faults",
			time.Since(r.began).Round(time.Second), phase, now.acked, now.acked-last, now.open, now.shown, r.runner.count()))
		last = now.acked
	}
}
