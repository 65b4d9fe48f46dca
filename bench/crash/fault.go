package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"chatd/internal/services"
)

// Fault is a kind of thing that breaks.
type Fault struct {
	Name  string
	About string

	least, most time.Duration // how long it lasts; the rest is recovery, which the plan leaves alone
	rest        time.Duration
	disk        bool // it needs a disk that can be filled
	// targets is how many things it may be done to; nil: one.
	targets func(w *world) int
	// takes are the resources that nothing else is done to meanwhile.
	takes func(w *world, target int) []string
	// do breaks and mends it. It blocks for about hold, less where ctx ends.
	do func(ctx context.Context, w *world, f *planned) error
}

// world is what faults are done to.
type world struct {
	*stage
	devices []device
}

func (w *world) nodeCount() int   { return len(w.nodes) }
func (w *world) frontCount() int  { return len(w.front) }
func (w *world) deviceCount() int { return len(w.devices) }

// Resources by their names in plans.
const (
	mariadb = "MariaDB"
	redis   = "Redis"
	nginx   = "nginx"
)

func one(name string) func(*world, int) []string {
	return func(*world, int) []string { return []string{name} }
}

func each(what string) func(*world, int) []string {
	return func(_ *world, i int) []string { return []string{fmt.Sprint(what, " ", i+1)} }
}

func every(what string) func(*world, int) []string {
	return func(w *world, _ int) (all []string) {
		for i := range w.nodes {
			all = append(all, fmt.Sprint(what, " ", i+1))
		}
		return all
	}
}

// killed, stopped and frozen are the same for every service.
func (w *world) killed(ctx context.Context, hold time.Duration, which ...*services.Service) error {
	return w.with(func() error {
		var all []error
		for _, x := range which {
			if x.PID() != 0 {
				all = append(all, x.Kill())
			}
		}
		sleep(ctx, hold)
		return errors.Join(append(all, startAll(which))...)
	}, which...)
}

// startAll starts services in the order given. It goes on where one fails:
// who supervises them tries again.
func startAll(which []*services.Service) error {
	var all []error
	for _, x := range which {
		if x.PID() == 0 {
			all = append(all, x.Start(context.Background())) // mended even where the run is interrupted
		}
	}
	return errors.Join(all...)
}

func (w *world) stopped(ctx context.Context, hold time.Duration, x *services.Service) error {
	return w.with(func() error {
		var err error
		if x.PID() != 0 {
			err = x.Stop()
		}
		sleep(ctx, hold)
		return errors.Join(err, startAll([]*services.Service{x}))
	}, x)
}

func (w *world) frozen(ctx context.Context, hold time.Duration, x *services.Service) error {
	return w.with(func() error {
		if x.PID() == 0 {
			return nil // who supervises it is about to start it
		}
		err := x.Freeze()
		sleep(ctx, hold)
		return errors.Join(err, x.Thaw())
	}, x)
}

// on is a fault of one service.
func on(service func(w *world, target int) *services.Service, do func(*world, context.Context, time.Duration, *services.Service) error) func(context.Context, *world, *planned) error {
	return func(ctx context.Context, w *world, f *planned) error { return do(w, ctx, f.hold, service(w, f.target)) }
}

func theNode(w *world, i int) *services.Service    { return w.nodes[i].Service }
func theMariaDB(w *world, _ int) *services.Service { return w.mariadb.Service }
func theRedis(w *world, _ int) *services.Service   { return w.redis.Service }
func theNginx(w *world, _ int) *services.Service   { return w.nginx.Service }

func kill1(w *world, ctx context.Context, hold time.Duration, x *services.Service) error {
	return w.killed(ctx, hold, x)
}

// onLinks is a fault of links: bad makes it, and resume ends it.
func onLinks(links func(w *world, f *planned) []*link, bad func(k *link, f *planned)) func(context.Context, *world, *planned) error {
	return func(ctx context.Context, w *world, f *planned) error {
		all := links(w, f)
		for _, k := range all {
			bad(k, f)
		}
		sleep(ctx, f.hold)
		for _, k := range all {
			k.resume()
		}
		return nil
	}
}

// cutOff is a partition: nothing passes, then the connections are reset.
func cutOff(links func(w *world, f *planned) []*link) func(context.Context, *world, *planned) error {
	return func(ctx context.Context, w *world, f *planned) error {
		all := links(w, f)
		for _, k := range all {
			k.stall()
		}
		sleep(ctx, f.hold)
		for _, k := range all {
			k.cut()
			k.resume()
		}
		return nil
	}
}

func frontLink(w *world, f *planned) []*link { return w.front[f.target : f.target+1] }
func dbLink(w *world, f *planned) []*link    { return w.toDB[f.target : f.target+1] }
func busLink(w *world, f *planned) []*link   { return w.toBus[f.target : f.target+1] }
func dbLinks(w *world, _ *planned) []*link   { return w.toDB }

const (
	ms = time.Millisecond
	s  = time.Second
)

// Faults lists all kinds.
func Faults() []*Fault {
	return []*Fault{
		{Name: "node killed", About: "kill -9 of a node", least: 100 * ms, most: 2 * s, rest: 2 * s,
			targets: (*world).nodeCount, takes: each("node"), do: on(theNode, kill1)},
		{Name: "node stopped", About: "SIGTERM of a node, which drains", least: 100 * ms, most: 2 * s, rest: 2 * s,
			targets: (*world).nodeCount, takes: each("node"), do: on(theNode, (*world).stopped)},
		{Name: "node frozen", About: "SIGSTOP of a node", least: s, most: 7 * s, rest: s,
			targets: (*world).nodeCount, takes: each("node"), do: on(theNode, (*world).frozen)},
		{Name: "all nodes killed", About: "kill -9 of all nodes at once", least: 100 * ms, most: 2 * s, rest: 3 * s,
			takes: every("node"), do: func(ctx context.Context, w *world, f *planned) error {
				var all []*services.Service
				for _, n := range w.nodes {
					all = append(all, n.Service)
				}
				return w.killed(ctx, f.hold, all...)
			}},
		{Name: "rolling restart", About: "SIGTERM of one node after the other", least: 100 * ms, most: s, rest: 2 * s,
			takes: every("node"), do: func(ctx context.Context, w *world, f *planned) error {
				var all []error
				for _, n := range w.nodes {
					all = append(all, w.stopped(ctx, f.hold, n.Service))
				}
				return errors.Join(all...)
			}},

		{Name: "MariaDB killed", About: "kill -9 of MariaDB", least: 100 * ms, most: 2 * s, rest: 4 * s, takes: one(mariadb), do: on(theMariaDB, kill1)},
		{Name: "MariaDB stopped", About: "SIGTERM of MariaDB", least: 100 * ms, most: 2 * s, rest: 4 * s, takes: one(mariadb), do: on(theMariaDB, (*world).stopped)},
		{Name: "MariaDB frozen", About: "SIGSTOP of MariaDB", least: s, most: 6 * s, rest: 2 * s, takes: one(mariadb), do: on(theMariaDB, (*world).frozen)},
		{Name: "database slow", About: "each packet to and from MariaDB takes so long that a commit takes seconds", least: 3 * s, most: 7 * s, rest: 2 * s,
			takes: every("to MariaDB"), do: onLinks(dbLinks, func(k *link, f *planned) { k.slow(f.between(100*ms, 400*ms)) })},
		{Name: "disk full", About: "no space left for MariaDB", least: s, most: 5 * s, rest: 3 * s, disk: true,
			takes: one("disk"), do: func(ctx context.Context, w *world, f *planned) error {
				err := w.disk.fill()
				sleep(ctx, f.hold)
				return errors.Join(err, w.disk.free())
			}},
		{Name: "node cut off from MariaDB", About: "a partition: nothing passes, then a reset", least: s, most: 7 * s, rest: 2 * s,
			targets: (*world).nodeCount, takes: each("to MariaDB"), do: cutOff(dbLink)},
		{Name: "MariaDB's connections cut", About: "resets of a node's connections to MariaDB", rest: s,
			targets: (*world).nodeCount, takes: each("to MariaDB"), do: onLinks(dbLink, func(k *link, _ *planned) { k.cut() })},

		{Name: "Redis killed", About: "kill -9 of Redis", least: 100 * ms, most: 4 * s, rest: 3 * s, takes: one(redis), do: on(theRedis, kill1)},
		{Name: "Redis stopped", About: "SIGTERM of Redis", least: 100 * ms, most: 4 * s, rest: 3 * s, takes: one(redis), do: on(theRedis, (*world).stopped)},
		{Name: "Redis frozen", About: "SIGSTOP of Redis", least: 300 * ms, most: 7 * s, rest: 2 * s, takes: one(redis), do: on(theRedis, (*world).frozen)},
		{Name: "subscribers cut off", About: "Redis drops all subscribers", rest: s, takes: one(redis), do: func(ctx context.Context, w *world, _ *planned) error {
			return w.with(func() error {
				_, err := w.redis.Client(ctx, "CLIENT", "KILL", "TYPE", "pubsub")
				return err
			}, w.redis.Service)
		}},
		{Name: "node cut off from Redis", About: "a partition: nothing passes, then a reset", least: 300 * ms, most: 7 * s, rest: 2 * s,
			targets: (*world).nodeCount, takes: each("to Redis"), do: cutOff(busLink)},
		{Name: "Redis half open", About: "what a node and Redis send each other is lost, and nobody is told", least: s, most: 2 * s, rest: 2 * s,
			targets: (*world).nodeCount, takes: each("to Redis"), do: onLinks(busLink, func(k *link, _ *planned) { k.halfOpen() })},
		{Name: "MariaDB and Redis killed", About: "kill -9 of both at once", least: 100 * ms, most: 2 * s, rest: 4 * s,
			takes: func(*world, int) []string { return []string{mariadb, redis} },
			do: func(ctx context.Context, w *world, f *planned) error {
				return w.killed(ctx, f.hold, w.mariadb.Service, w.redis.Service)
			}},

		{Name: "nginx killed", About: "kill -9 of nginx", least: 100 * ms, most: s, rest: 2 * s, takes: one(nginx), do: on(theNginx, kill1)},
		{Name: "nginx stopped", About: "SIGTERM of nginx", least: 100 * ms, most: s, rest: 2 * s, takes: one(nginx), do: on(theNginx, (*world).stopped)},
		{Name: "nginx frozen", About: "SIGSTOP of nginx", least: s, most: 5 * s, rest: s, takes: one(nginx), do: on(theNginx, (*world).frozen)},
		{Name: "nginx reloaded", About: "nginx changes its workers", rest: s, takes: one(nginx), do: func(ctx context.Context, w *world, _ *planned) error {
			return w.with(func() error { return w.nginx.Reload(ctx, w.conf) }, w.nginx.Service)
		}},

		{Name: "connections cut", About: "resets of clients' connections", rest: 500 * ms,
			targets: (*world).frontCount, takes: each("front"), do: onLinks(frontLink, func(k *link, _ *planned) { k.cut() })},
		{Name: "connections half open", About: "what clients and servers send is lost, and nobody is told", rest: s,
			targets: (*world).frontCount, takes: each("front"), do: onLinks(frontLink, func(k *link, _ *planned) { k.halfOpen() })},
		{Name: "connections stalled", About: "nothing passes for a while", least: s, most: 5 * s, rest: s,
			targets: (*world).frontCount, takes: each("front"), do: onLinks(frontLink, func(k *link, _ *planned) { k.stall() })},
		{Name: "connections slow", About: "each packet takes long", least: s, most: 5 * s, rest: s,
			targets: (*world).frontCount, takes: each("front"), do: onLinks(frontLink, func(k *link, f *planned) { k.slow(f.between(50*ms, 400*ms)) })},
		{Name: "connections refused", About: "clients are cut and can't come back for a while", least: 500 * ms, most: 3 * s, rest: s,
			targets: (*world).frontCount, takes: each("front"), do: onLinks(frontLink, func(k *link, _ *planned) { k.refuse(); k.cut() })},

		{Name: "client deaf", About: "a client reads nothing", least: s, most: 8 * s, rest: s,
			targets: (*world).deviceCount, takes: each("device"), do: func(ctx context.Context, w *world, f *planned) error {
				hear := w.devices[f.target].deaf()
				sleep(ctx, f.hold)
				hear()
				return nil
			}},
		{Name: "client killed", About: "a client's program is gone and comes back with what it had saved", rest: s,
			targets: (*world).deviceCount, takes: each("device"), do: func(_ context.Context, w *world, f *planned) error {
				w.devices[f.target].restart(0)
				return nil
			}},
		{Name: "client's clock off", About: "a client comes back with its clock years off", rest: s,
			targets: (*world).deviceCount, takes: each("device"), do: func(_ context.Context, w *world, f *planned) error {
				const year = 365 * 24 * time.Hour
				w.devices[f.target].restart([]time.Duration{-30 * year, -year, 20 * year}[int(f.salt%3)])
				return nil
			}},
	}
}

// between is a duration that depends on the plan alone.
func (f *planned) between(least, most time.Duration) time.Duration {
	return least + time.Duration(f.salt%uint64(most-least+1))
}

// faultsNamed are those with these names; all where there are none.
func faultsNamed(names []string) ([]*Fault, error) {
	all := Faults()
	if len(names) == 0 {
		return all, nil
	}
	var some []*Fault
	for _, name := range names {
		i := slices.IndexFunc(all, func(f *Fault) bool { return f.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no fault named %q", name)
		}
		some = append(some, all[i])
	}
	return some, nil
}

// planned is a fault with its time.
type planned struct {
	*Fault
	at, hold time.Duration
	target   int
	salt     uint64 // what else is left to chance
}

func (f *planned) String() string {
	what := f.Name
	if f.targets != nil {
		what = fmt.Sprint(f.Name, " ", f.target+1)
	}
	if f.hold == 0 {
		return what
	}
	return fmt.Sprintf("%s for %s", what, f.hold.Round(ms))
}

// Between the beginnings of two faults; some last longer than that, so that
// several are going on at a time.
const leastPause, mostPause = 300 * ms, 2500 * ms

// plan lays out the faults of a run: the same for the same seed, kinds and
// world. Each kind has its turn, in an order left to chance, and nothing is
// done to what hasn't recovered from the fault before.
func plan(w *world, kinds []*Fault, seed uint64, duration time.Duration) []*planned {
	rng := random(seed, 0)
	kinds = slices.DeleteFunc(slices.Clone(kinds), func(f *Fault) bool { return f.disk && w.disk == nil })
	busy := make(map[string]time.Duration)
	var bag []*Fault // those that haven't had their turn
	var all []*planned
	for at := leastPause; len(kinds) > 0; at += leastPause + rand64(rng, mostPause-leastPause) {
		if len(bag) < len(kinds) { // some that were busy may be left
			order := rng.Perm(len(kinds))
			for _, i := range order {
				bag = append(bag, kinds[i])
			}
		}
		for i, k := range bag {
			f := &planned{Fault: k, at: at, hold: k.least + rand64(rng, k.most-k.least), salt: rng.Uint64()}
			if k.targets != nil {
				f.target = rng.IntN(k.targets(w))
			}
			if at+f.hold > duration {
				continue
			}
			takes := k.takes(w, f.target)
			if slices.ContainsFunc(takes, func(r string) bool { return busy[r] > at }) {
				continue
			}
			for _, r := range takes {
				busy[r] = at + f.hold + f.rest
			}
			all = append(all, f)
			bag = slices.Delete(bag, i, i+1)
			break
		}
		if at > duration {
			return all
		}
	}
	return all
}

func rand64(rng *rand.Rand, n time.Duration) time.Duration {
	if n <= 0 {
		return 0
	}
	return time.Duration(rng.Int64N(int64(n) + 1))
}
