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

// Fault is a kind of fault.
type Fault struct {
	Name  string
	About string

	minDuration, maxDuration time.Duration // how long it lasts; recovery is the time after it in which no other fault uses its resources
	recovery                 time.Duration
	disk                     bool // it needs a disk that can be filled
	clock                    bool // it needs a server whose clock can be stepped
	// OnlyCluster: it needs MariaDB, Redis or several nodes, which a node with
	// SQLite doesn't have.
	OnlyCluster bool
	// targets returns how many targets there are. nil means one.
	targets func(w *environment) int
	// resources lists the parts that no other fault may touch meanwhile.
	resources func(w *environment, target int) []string
	// run causes the fault and repairs it. It blocks for about the planned
	// duration, less if ctx ends.
	run func(ctx context.Context, w *environment, f *plannedFault) error
}

// environment is what faults act on.
type environment struct {
	*cluster
	devices []device
}

func (env *environment) nodeCount() int   { return len(env.nodes) }
func (env *environment) frontCount() int  { return len(env.frontLinks) }
func (env *environment) deviceCount() int { return len(env.devices) }

// Names of resources.
const (
	mariadb = "MariaDB"
	redis   = "Redis"
	nginx   = "nginx"
)

func one(name string) func(*environment, int) []string {
	return func(*environment, int) []string { return []string{name} }
}

func each(what string) func(*environment, int) []string {
	return func(_ *environment, i int) []string { return []string{fmt.Sprint(what, " ", i+1)} }
}

func every(what string) func(*environment, int) []string {
	return func(env *environment, _ int) (all []string) {
		for i := range env.nodes {
			all = append(all, fmt.Sprint(what, " ", i+1))
		}
		return all
	}
}

// killed, stopped and frozen work on any service.
func (env *environment) killed(ctx context.Context, hold time.Duration, which ...*services.Service) error {
	return env.withLocked(func() error {
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

// startAll starts services in order. It continues after an error, since the
// supervisor tries again.
func startAll(which []*services.Service) error {
	var all []error
	for _, x := range which {
		if x.PID() == 0 {
			all = append(all, x.Start(context.Background())) // also if the run is interrupted
		}
	}
	return errors.Join(all...)
}

func (env *environment) stopped(ctx context.Context, hold time.Duration, x *services.Service) error {
	return env.withLocked(func() error {
		var err error
		if x.PID() != 0 {
			err = x.Stop()
		}
		sleep(ctx, hold)
		return errors.Join(err, startAll([]*services.Service{x}))
	}, x)
}

func (env *environment) frozen(ctx context.Context, hold time.Duration, x *services.Service) error {
	return env.withLocked(func() error {
		if x.PID() == 0 {
			return nil // the supervisor is about to start it
		}
		err := x.Freeze()
		sleep(ctx, hold)
		return errors.Join(err, x.Thaw())
	}, x)
}

// onService returns a fault of one service.
func onService(service func(env *environment, target int) *services.Service, do func(*environment, context.Context, time.Duration, *services.Service) error) func(context.Context, *environment, *plannedFault) error {
	return func(ctx context.Context, env *environment, f *plannedFault) error {
		return do(env, ctx, f.duration, service(env, f.target))
	}
}

func theNode(env *environment, i int) *services.Service    { return env.nodes[i].Service }
func theMariaDB(env *environment, _ int) *services.Service { return env.mariadb.Service }
func theRedis(env *environment, _ int) *services.Service   { return env.redis.Service }
func theNginx(env *environment, _ int) *services.Service   { return env.nginx.Service }

func kill1(env *environment, ctx context.Context, hold time.Duration, x *services.Service) error {
	return env.killed(ctx, hold, x)
}

// onLinks returns a fault of links. bad causes it, link.resume ends it.
func onLinks(links func(env *environment, f *plannedFault) []*link, bad func(k *link, f *plannedFault)) func(context.Context, *environment, *plannedFault) error {
	return func(ctx context.Context, env *environment, f *plannedFault) error {
		all := links(env, f)
		for _, k := range all {
			bad(k, f)
		}
		sleep(ctx, f.duration)
		for _, k := range all {
			k.resume()
		}
		return nil
	}
}

// cutOff returns a partition: nothing passes, then connections are reset.
func cutOff(links func(env *environment, f *plannedFault) []*link) func(context.Context, *environment, *plannedFault) error {
	return func(ctx context.Context, env *environment, f *plannedFault) error {
		all := links(env, f)
		for _, k := range all {
			k.stall()
		}
		sleep(ctx, f.duration)
		for _, k := range all {
			k.cut()
			k.resume()
		}
		return nil
	}
}

func oneFrontLink(env *environment, f *plannedFault) []*link {
	return env.frontLinks[f.target : f.target+1]
}
func oneDBLink(env *environment, f *plannedFault) []*link { return env.dbLinks[f.target : f.target+1] }
func oneRedisLink(env *environment, f *plannedFault) []*link {
	return env.redisLinks[f.target : f.target+1]
}

// ofNode returns the links of node i: from nginx, to MariaDB and to Redis.
func (env *environment) ofNode(i int) []*link {
	all := []*link{env.nodeLinks[i]}
	if env.sqlite == "" {
		all = append(all, env.dbLinks[i], env.redisLinks[i])
	}
	return all
}

// losesPower ends a node without a word to anyone: its connections seem to be
// open, and nobody answers on them.
func losesPower(ctx context.Context, env *environment, f *plannedFault) error {
	return env.withLocked(func() error {
		links, node := env.ofNode(f.target), env.nodes[f.target].Service
		for _, k := range links {
			k.losePower()
		}
		var err error
		if node.PID() != 0 {
			err = node.Kill()
		}
		sleep(ctx, f.duration)
		for _, k := range links {
			k.resume()
		}
		return errors.Join(err, startAll([]*services.Service{node}))
	}, env.nodes[f.target].Service)
}

// stepsClock sets a node's clock to a wrong time, and back.
func stepsClock(ctx context.Context, env *environment, f *plannedFault) error {
	off := []time.Duration{-time.Hour, -30 * s, -5 * s, -s, s, 5 * s, 30 * s, time.Hour}[int(f.random%8)]
	err := env.setClock(f.target, off)
	sleep(ctx, f.duration)
	return errors.Join(err, env.setClock(f.target, 0))
}

func allDBLinks(env *environment, _ *plannedFault) []*link { return env.dbLinks }

const (
	ms = time.Millisecond
	s  = time.Second
)

// clockSteps is the name of the fault that needs a server built for it.
const clockSteps = "node's clock stepped"

// Faults lists all kinds of faults.
func Faults() []*Fault {
	return []*Fault{
		{Name: "node killed", About: "kill -9 of a node", minDuration: 100 * ms, maxDuration: 2 * s, recovery: 2 * s,
			targets: (*environment).nodeCount, resources: each("node"), run: onService(theNode, kill1)},
		{Name: "node stopped", About: "SIGTERM of a node, which drains", minDuration: 100 * ms, maxDuration: 2 * s, recovery: 2 * s,
			targets: (*environment).nodeCount, resources: each("node"), run: onService(theNode, (*environment).stopped)},
		{Name: "node frozen", About: "SIGSTOP of a node", minDuration: s, maxDuration: 7 * s, recovery: s,
			targets: (*environment).nodeCount, resources: each("node"), run: onService(theNode, (*environment).frozen)},
		{Name: "node loses power", About: "a node ends, and nobody is told: connections to it stay open and silent", minDuration: 100 * ms, maxDuration: 4 * s, recovery: 4 * s,
			targets: (*environment).nodeCount, resources: func(env *environment, i int) []string {
				return []string{fmt.Sprint("node ", i+1), fmt.Sprint("to MariaDB ", i+1), fmt.Sprint("to Redis ", i+1)}
			}, run: losesPower},
		{Name: clockSteps, About: "a node's clock is set to a wrong time, up to an hour off, and back", minDuration: s, maxDuration: 6 * s, clock: true,
			targets: (*environment).nodeCount, resources: each("clock of node"), run: stepsClock},
		{Name: "all nodes killed", OnlyCluster: true, About: "kill -9 of all nodes at once", minDuration: 100 * ms, maxDuration: 2 * s, recovery: 3 * s,
			resources: every("node"), run: func(ctx context.Context, env *environment, f *plannedFault) error {
				var all []*services.Service
				for _, n := range env.nodes {
					all = append(all, n.Service)
				}
				return env.killed(ctx, f.duration, all...)
			}},
		{Name: "rolling restart", OnlyCluster: true, About: "SIGTERM of one node after the other", minDuration: 100 * ms, maxDuration: s, recovery: 2 * s,
			resources: every("node"), run: func(ctx context.Context, env *environment, f *plannedFault) error {
				var all []error
				for _, n := range env.nodes {
					all = append(all, env.stopped(ctx, f.duration, n.Service))
				}
				return errors.Join(all...)
			}},

		{Name: "MariaDB killed", OnlyCluster: true, About: "kill -9 of MariaDB", minDuration: 100 * ms, maxDuration: 2 * s, recovery: 4 * s, resources: one(mariadb), run: onService(theMariaDB, kill1)},
		{Name: "MariaDB stopped", OnlyCluster: true, About: "SIGTERM of MariaDB", minDuration: 100 * ms, maxDuration: 2 * s, recovery: 4 * s, resources: one(mariadb), run: onService(theMariaDB, (*environment).stopped)},
		{Name: "MariaDB frozen", OnlyCluster: true, About: "SIGSTOP of MariaDB", minDuration: s, maxDuration: 6 * s, recovery: 2 * s, resources: one(mariadb), run: onService(theMariaDB, (*environment).frozen)},
		{Name: "database slow", OnlyCluster: true, About: "each packet to and from MariaDB is delayed, so that a commit takes seconds", minDuration: 3 * s, maxDuration: 7 * s, recovery: 2 * s,
			resources: every("to MariaDB"), run: onLinks(allDBLinks, func(k *link, f *plannedFault) { k.slow(f.between(100*ms, 400*ms)) })},
		{Name: "disk full", About: "the database's disk has no free space", minDuration: s, maxDuration: 5 * s, recovery: 3 * s, disk: true,
			resources: one("disk"), run: func(ctx context.Context, env *environment, f *plannedFault) error {
				err := env.disk.fill()
				sleep(ctx, f.duration)
				return errors.Join(err, env.disk.free())
			}},
		{Name: "node cut off from MariaDB", OnlyCluster: true, About: "a partition: nothing gets through, then connections are reset", minDuration: s, maxDuration: 7 * s, recovery: 2 * s,
			targets: (*environment).nodeCount, resources: each("to MariaDB"), run: cutOff(oneDBLink)},
		{Name: "MariaDB's connections cut", OnlyCluster: true, About: "a node's connections to MariaDB are reset", recovery: s,
			targets: (*environment).nodeCount, resources: each("to MariaDB"), run: onLinks(oneDBLink, func(k *link, _ *plannedFault) { k.cut() })},

		{Name: "Redis killed", OnlyCluster: true, About: "kill -9 of Redis", minDuration: 100 * ms, maxDuration: 4 * s, recovery: 3 * s, resources: one(redis), run: onService(theRedis, kill1)},
		{Name: "Redis stopped", OnlyCluster: true, About: "SIGTERM of Redis", minDuration: 100 * ms, maxDuration: 4 * s, recovery: 3 * s, resources: one(redis), run: onService(theRedis, (*environment).stopped)},
		{Name: "Redis frozen", OnlyCluster: true, About: "SIGSTOP of Redis", minDuration: 300 * ms, maxDuration: 7 * s, recovery: 2 * s, resources: one(redis), run: onService(theRedis, (*environment).frozen)},
		{Name: "subscribers cut off", OnlyCluster: true, About: "Redis drops all subscribers", recovery: s, resources: one(redis), run: func(ctx context.Context, env *environment, _ *plannedFault) error {
			return env.withLocked(func() error {
				_, err := env.redis.Client(ctx, "CLIENT", "KILL", "TYPE", "pubsub")
				return err
			}, env.redis.Service)
		}},
		{Name: "node cut off from Redis", OnlyCluster: true, About: "a partition: nothing gets through, then connections are reset", minDuration: 300 * ms, maxDuration: 7 * s, recovery: 2 * s,
			targets: (*environment).nodeCount, resources: each("to Redis"), run: cutOff(oneRedisLink)},
		{Name: "Redis half open", OnlyCluster: true, About: "everything a node and Redis send each other is silently dropped", minDuration: s, maxDuration: 2 * s, recovery: 2 * s,
			targets: (*environment).nodeCount, resources: each("to Redis"), run: onLinks(oneRedisLink, func(k *link, _ *plannedFault) { k.halfOpen() })},
		{Name: "MariaDB and Redis killed", OnlyCluster: true, About: "kill -9 of both at once", minDuration: 100 * ms, maxDuration: 2 * s, recovery: 4 * s,
			resources: func(*environment, int) []string { return []string{mariadb, redis} },
			run: func(ctx context.Context, env *environment, f *plannedFault) error {
				return env.killed(ctx, f.duration, env.mariadb.Service, env.redis.Service)
			}},

		{Name: "nginx killed", About: "kill -9 of nginx", minDuration: 100 * ms, maxDuration: s, recovery: 2 * s, resources: one(nginx), run: onService(theNginx, kill1)},
		{Name: "nginx stopped", About: "SIGTERM of nginx", minDuration: 100 * ms, maxDuration: s, recovery: 2 * s, resources: one(nginx), run: onService(theNginx, (*environment).stopped)},
		{Name: "nginx frozen", About: "SIGSTOP of nginx", minDuration: s, maxDuration: 5 * s, recovery: s, resources: one(nginx), run: onService(theNginx, (*environment).frozen)},
		{Name: "nginx reloaded", About: "nginx reloads its configuration and replaces its workers", recovery: s, resources: one(nginx), run: func(ctx context.Context, env *environment, _ *plannedFault) error {
			return env.withLocked(func() error { return env.nginx.Reload(ctx, env.conf) }, env.nginx.Service)
		}},

		{Name: "connections cut", About: "clients' connections are reset", recovery: 500 * ms,
			targets: (*environment).frontCount, resources: each("front"), run: onLinks(oneFrontLink, func(k *link, _ *plannedFault) { k.cut() })},
		{Name: "connections half open", About: "everything clients and servers send each other is silently dropped", recovery: s,
			targets: (*environment).frontCount, resources: each("front"), run: onLinks(oneFrontLink, func(k *link, _ *plannedFault) { k.halfOpen() })},
		{Name: "connections stalled", About: "nothing gets through for a while", minDuration: s, maxDuration: 5 * s, recovery: s,
			targets: (*environment).frontCount, resources: each("front"), run: onLinks(oneFrontLink, func(k *link, _ *plannedFault) { k.stall() })},
		{Name: "connections slow", About: "each packet is delayed", minDuration: s, maxDuration: 5 * s, recovery: s,
			targets: (*environment).frontCount, resources: each("front"), run: onLinks(oneFrontLink, func(k *link, f *plannedFault) { k.slow(f.between(50*ms, 400*ms)) })},
		{Name: "connections refused", About: "clients' connections are reset, and new ones are refused for a while", minDuration: 500 * ms, maxDuration: 3 * s, recovery: s,
			targets: (*environment).frontCount, resources: each("front"), run: onLinks(oneFrontLink, func(k *link, _ *plannedFault) { k.refuse(); k.cut() })},

		{Name: "client deaf", About: "a client reads nothing", minDuration: s, maxDuration: 8 * s, recovery: s,
			targets: (*environment).deviceCount, resources: each("device"), run: func(ctx context.Context, env *environment, f *plannedFault) error {
				resume := env.devices[f.target].stopReading()
				sleep(ctx, f.duration)
				resume()
				return nil
			}},
		{Name: "client killed", About: "a client is killed and restarts from the state it saved", recovery: s,
			targets: (*environment).deviceCount, resources: each("device"), run: func(_ context.Context, env *environment, f *plannedFault) error {
				env.devices[f.target].restart(0)
				return nil
			}},
		{Name: "client's clock off", About: "a client restarts with its clock off by years", recovery: s,
			targets: (*environment).deviceCount, resources: each("device"), run: func(_ context.Context, env *environment, f *plannedFault) error {
				const year = 365 * 24 * time.Hour
				env.devices[f.target].restart([]time.Duration{-30 * year, -year, 20 * year}[int(f.random%3)])
				return nil
			}},
	}
}

// between returns a duration that depends on the plan only.
func (f *plannedFault) between(least, most time.Duration) time.Duration {
	return least + time.Duration(f.random%uint64(most-least+1))
}

// faultsNamed returns the faults with these names, or all if there are none.
func faultsNamed(names []string) ([]*Fault, error) {
	all := Faults()
	if len(names) == 0 {
		return all, nil
	}
	var some []*Fault
	for _, name := range names {
		i := slices.IndexFunc(all, func(f *Fault) bool { return f.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("unknown fault %q; chatbench crash --list shows all", name)
		}
		some = append(some, all[i])
	}
	return some, nil
}

// possible reports whether the fault can happen in env.
func (f *Fault) possible(env *environment) bool {
	return (!f.disk || env.disk != nil) && (!f.OnlyCluster || env.sqlite == "") && (!f.clock || len(env.clocks) > 0)
}

// plannedFault is a fault with a time and a target.
type plannedFault struct {
	*Fault
	at, duration time.Duration
	target       int
	random       uint64 // for other random choices
}

func (f *plannedFault) String() string {
	what := f.Name
	if f.targets != nil {
		what = fmt.Sprint(f.Name, " ", f.target+1)
	}
	if f.duration == 0 {
		return what
	}
	return fmt.Sprintf("%s for %s", what, f.duration.Round(ms))
}

// Bounds of the time between the starts of two faults. Some faults last longer,
// so that several overlap.
const minInterval, maxInterval = 300 * ms, 2500 * ms

// plan returns the faults of a run, which depend only on the arguments. All kinds
// take turns in random order. A part that a fault has touched isn't touched by
// another before it has recovered.
func plan(env *environment, kinds []*Fault, seed uint64, duration time.Duration) []*plannedFault {
	rng := random(seed, 0)
	kinds = slices.DeleteFunc(slices.Clone(kinds), func(f *Fault) bool { return !f.possible(env) })
	busy := make(map[string]time.Duration)
	var bag []*Fault // kinds that haven't had their turn
	var all []*plannedFault
	for at := minInterval; len(kinds) > 0; at += minInterval + rand64(rng, maxInterval-minInterval) {
		if len(bag) < len(kinds) { // some were busy and remain
			order := rng.Perm(len(kinds))
			for _, i := range order {
				bag = append(bag, kinds[i])
			}
		}
		for i, k := range bag {
			f := &plannedFault{Fault: k, at: at, duration: k.minDuration + rand64(rng, k.maxDuration-k.minDuration), random: rng.Uint64()}
			if k.targets != nil {
				f.target = rng.IntN(k.targets(env))
			}
			if at+f.duration > duration {
				continue
			}
			takes := k.resources(env, f.target)
			if slices.ContainsFunc(takes, func(r string) bool { return busy[r] > at }) {
				continue
			}
			for _, r := range takes {
				busy[r] = at + f.duration + f.recovery
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
