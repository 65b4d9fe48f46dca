// Package crash finds out whether a cluster keeps its promises while things
// break. Users with several devices each talk, one to one and in groups,
// through a cluster that it starts: nodes over a MariaDB and a Redis, behind an
// nginx, with links between all of them. A plan of faults, which a seed decides,
// kills, freezes, fills, slows and cuts off all of these meanwhile. Afterwards
// it compares what every sender was told with what every device was shown and
// with what is stored.
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

// Config says what a run is.
type Config struct {
	Chatd    string        // the server's program
	Dir      string        // where the cluster's folder is made; "": the system's for temporary files
	Nodes    int           // 1 to 16
	Users    int           // 2 to 200
	Rate     int           // messages per second that all devices together want to say
	Duration time.Duration // of the talk
	Seed     uint64        // decides the plan
	Faults   []string      // their names; none: all
	Args     []string      // more flags for each node
	Logs     string        // a folder for the services' logs; "": they are removed

	Say      io.Writer         // is told of what had to be installed
	Progress func(line string) // is told once a second how it is going
}

// Bounds of Config.
const (
	MaxNodes    = 16
	MaxUsers    = 200
	MaxRate     = 100_000
	MinDuration = 5 * time.Second
	MaxDuration = time.Hour
)

// Validate says what makes no sense.
func (c *Config) Validate() error {
	var bad []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			bad = append(bad, fmt.Errorf(format, args...))
		}
	}
	check(c.Nodes >= 1 && c.Nodes <= MaxNodes, "--nodes: %d is not between 1 and %d", c.Nodes, MaxNodes)
	check(c.Users >= 2 && c.Users <= MaxUsers, "--users: %d is not between 2 and %d", c.Users, MaxUsers)
	check(c.Rate >= 1 && c.Rate <= MaxRate, "--rate: %d is not between 1 and %d", c.Rate, MaxRate)
	check(c.Duration >= MinDuration && c.Duration <= MaxDuration, "--duration: %s is not between %s and %s", c.Duration, MinDuration, MaxDuration)
	if _, err := faultsNamed(c.Faults); err != nil {
		bad = append(bad, fmt.Errorf("--faults: %w", err))
	}
	return errors.Join(bad...)
}

const (
	phones       = 2 // devices of a user that talk, besides one that watches
	groupSize    = 6
	startTimeout = 60 * time.Second
	pollEvery    = 20 * time.Millisecond
	// standstill is how long nothing may come of what is missing: longer than
	// it takes a node to look at the log by itself.
	standstill = 20 * time.Second
)

// patience is how long a run waits, once all is well again, for answers, and
// then for what hasn't come yet, if only something comes: mostly some seconds.
func (c *Config) patience() time.Duration { return max(c.Duration*8/10, 2*time.Minute) }

// run is one run.
type run struct {
	cfg      *Config
	stage    *stage
	cast     *cast
	devices  []device
	director *director
	began    time.Time
}

// Run carries one run out. It blocks until everything has ended. The report is
// never nil; an error says that the run could not be carried out, which says
// nothing about the server. Where ctx ends, the run ends early and is judged
// by what there is.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	rep := &Report{Duration: cfg.Duration, Seed: cfg.Seed, Nodes: cfg.Nodes, Users: cfg.Users, Rate: cfg.Rate, Began: time.Now(), Violations: make(map[Kind]int)}
	if err := cfg.Validate(); err != nil {
		return rep, err
	}
	if _, err := exec.LookPath(cfg.Chatd); err != nil {
		return rep, fmt.Errorf("start a server: %w; make build makes it", err)
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
	cfg.Progress("starting the cluster")
	st, err := newStage(ctx, &cfg)
	if err != nil {
		return rep, err
	}
	r := &run{cfg: &cfg, stage: st, began: time.Now()}
	err = r.play(ctx, kinds, rep)
	if cfg.Logs != "" {
		err = errors.Join(err, st.keepLogs(cfg.Logs))
	}
	err = errors.Join(err, st.close())
	rep.Interrupted = ctx.Err() != nil
	rep.Took = time.Since(rep.Began)
	return rep, err
}

func (r *run) play(ctx context.Context, kinds []*Fault, rep *Report) error {
	rep.Versions = r.stage.versions(ctx)
	if err := r.enroll(ctx); err != nil {
		return fmt.Errorf("the run's users: %w", err)
	}
	w := &world{r.stage, r.devices}
	r.director = &director{world: w, began: r.began, done: make(map[string]int)}

	// What runs must outlive an interruption, to be judged.
	alive, end := context.WithCancel(context.Background())
	defer end()
	var devices sync.WaitGroup
	for _, d := range r.devices {
		devices.Go(func() { d.run(alive) })
	}
	if err := r.open(ctx); err != nil {
		end()
		devices.Wait()
		return err
	}
	watched, unwatch := context.WithCancel(alive)
	var others sync.WaitGroup
	others.Go(func() { r.stage.supervise(watched) })
	others.Go(func() { r.tell(watched, "faults") })

	talked := time.Now()
	for _, d := range r.devices {
		if t, ok := d.(*talker); ok {
			t.silent.Store(false)
		}
	}
	p := plan(w, kinds, r.cfg.Seed, r.cfg.Duration)
	r.director.direct(ctx, p)
	sleep(ctx, time.Until(talked.Add(r.cfg.Duration)))
	for _, d := range r.devices {
		d.quiet()
	}
	rep.Talked = time.Since(talked)
	unwatch()
	others.Wait()

	r.stage.heal(alive)
	telling, untell := context.WithCancel(alive)
	others.Go(func() { r.tell(telling, "settling") })
	log, err := r.settle(alive)
	untell()
	others.Wait()
	end()
	devices.Wait()
	if err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	r.stage.drain()
	e := &evidence{convs: r.cast.convs, log: log, faults: r.director.notes}
	for _, d := range r.devices {
		e.journals = append(e.journals, d.log())
	}
	all, behind := e.judge()
	rep.Behind = behind
	rep.fill(r, e, append(all, r.stage.died...))
	return nil
}

// open has every device logged in, and then every conversation begun: where
// history begins for a device is not what a run is about.
func (r *run) open(ctx context.Context) error {
	err := r.await(ctx, func() string {
		for _, d := range r.devices {
			if !d.present() {
				return d.log().name + " isn't logged in"
			}
		}
		return ""
	})
	if err != nil {
		return err
	}
	for c := range r.cast.convs {
		user := r.cast.convs[c].members[0]
		select {
		case r.devices[user*(phones+1)].(*talker).opening <- c:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return r.await(ctx, func() string {
		for _, d := range r.devices {
			for c := range r.cast.convs {
				if j := d.log(); member(&r.cast.convs[c], j.user) && j.top(c) == 0 {
					return j.name + " has nothing of " + r.cast.convs[c].name
				}
			}
		}
		return ""
	})
}

// await waits until nothing is missing any more.
func (r *run) await(ctx context.Context, missing func() string) error {
	for end := time.Now().Add(startTimeout); ; {
		what := missing()
		switch {
		case what == "":
			return nil
		case time.Now().After(end):
			return fmt.Errorf("the talk could not begin within %s: %s", startTimeout, what)
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

// settle waits, now that all is well, until all that was said is answered and
// all that is stored was seen, for as long as there is hope. It returns the log.
func (r *run) settle(ctx context.Context) ([][]row, error) {
	r.watch(ctx, r.answered)
	log, err := r.readLog(ctx)
	if err != nil {
		return nil, err
	}
	r.watch(ctx, func() bool { return r.complete(log) })
	return log, nil
}

// watch waits until done, but not for longer than standstill without anything
// happening anywhere, nor beyond patience.
func (r *run) watch(ctx context.Context, done func() bool) {
	var last tally
	end := time.Now().Add(r.cfg.patience())
	for moved := time.Now(); !done() && time.Now().Before(end) && time.Since(moved) < standstill; sleep(ctx, pollEvery) {
		if now := r.tally(); now != last {
			last, moved = now, time.Now()
		}
	}
}

// tally is that of all devices.
func (r *run) tally() (all tally) {
	for _, d := range r.devices {
		all.add(d.log().tally())
	}
	return all
}

func (r *run) answered() bool {
	for _, d := range r.devices {
		if !d.settled() {
			return false
		}
	}
	return true
}

func (r *run) complete(log [][]row) bool {
	for _, d := range r.devices {
		for c := range log {
			if j := d.log(); member(&r.cast.convs[c], j.user) && j.top(c) < int64(len(log[c])) {
				return false
			}
		}
	}
	return true
}

// readLog reads all conversations from the database, past the nodes.
func (r *run) readLog(ctx context.Context) ([][]row, error) {
	db, err := model.Open(ctx, model.Options{DB: r.stage.mariadb.URL(database), Shared: true, Wait: startTimeout, Cores: 1})
	if err != nil {
		return nil, err
	}
	defer db.Close()
	place := make(map[int64]int)
	for i, p := range r.cast.people {
		place[p.id] = i
	}
	log := make([][]row, len(r.cast.convs))
	for c := range r.cast.convs {
		cv := &r.cast.convs[c]
		me, peer := r.cast.people[cv.members[0]].id, int64(0)
		if cv.group == 0 {
			peer = r.cast.people[cv.members[len(cv.members)-1]].id
		}
		v, err := db.View(ctx, me, cv.group, peer)
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

// tell says once a second how it is going.
func (r *run) tell(ctx context.Context, phase string) {
	var last int64
	for sleep(ctx, time.Second) {
		now := r.tally()
		r.cfg.Progress(fmt.Sprintf("%s  %s: %d acknowledged (%d/s), %d waiting, %d shown, %d faults",
			time.Since(r.began).Round(time.Second), phase, now.acked, now.acked-last, now.open, now.shown, r.director.count()))
		last = now.acked
	}
}
