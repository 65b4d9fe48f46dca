package presence

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"chatd/service/bus"
)

const (
	loginBatch   = 256     // most users in one query for the friends who see them
	checkBatch   = 64      // most checks and comparisons between two batches of logins
	comparers    = 4       // comparisons that run at the same time
	maxChecks    = 1 << 16 // most queued checks; further ones become comparisons
	maxRecent    = 1 << 16 // most changes that are remembered
	recentFor    = 10 * time.Second
	publishBatch = 256 // most hints in one Publish
)

// work is what Run has to do. Every part of it is bounded by the number of users
// who are online, or by a constant.
type work struct {
	mu   sync.Mutex
	wake chan struct{} // tells Run that there is work
	jobs
}

type jobs struct {
	// logins has users who have come online on this node. Their friends on all
	// nodes are told, and they themselves if they are learning.
	logins map[int64]struct{}
	// found has users who were online on another node before this node learned
	// of it. Their friends on this node are told.
	found map[int64]struct{}
	// checks has pairs to check, and whether the user must be told the friend's
	// state even if it hasn't changed.
	checks map[pair]bool
	// comparisons has the users on this node whose friends must all be checked.
	comparisons map[int64]struct{}
	recovering  bool // hints may have been lost
}

// pair is a user and one of their friends.
type pair struct{ user, friend int64 }

func (w *work) init() {
	w.wake = make(chan struct{}, 1)
	w.jobs.init()
}

func (j *jobs) init() {
	*j = jobs{logins: make(map[int64]struct{}), found: make(map[int64]struct{}), checks: make(map[pair]bool),
		comparisons: make(map[int64]struct{})}
}

func (w *work) update(f func(j *jobs)) {
	w.mu.Lock()
	f(&w.jobs)
	w.mu.Unlock()
	w.signal()
}

func (w *work) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *work) check(user, friend int64, always bool) {
	w.update(func(j *jobs) { j.check(pair{user, friend}, always) })
}

func (j *jobs) check(p pair, always bool) {
	if len(j.checks) >= maxChecks {
		j.comparisons[p.user] = struct{}{}
		return
	}
	j.checks[p] = j.checks[p] || always
}

func (w *work) compare(user int64) {
	w.update(func(j *jobs) { j.comparisons[user] = struct{}{} })
}

func (w *work) recover() { w.update(func(j *jobs) { j.recovering = true }) }

// tooManyFound reports whether there are more users in found than there are here.
// If so, it removes them: comparing the friends of all users here is then less
// work.
func (w *work) tooManyFound(here int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if int64(len(w.found)) <= here {
		return false
	}
	clear(w.found)
	return true
}

// take returns some of the work, and removes it.
func (w *work) take() (j jobs, more bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	j.logins, j.found = some(w.logins, loginBatch), some(w.found, loginBatch)
	j.checks, j.comparisons = some(w.checks, checkBatch), some(w.comparisons, checkBatch)
	j.recovering, w.recovering = w.recovering, false
	return j, len(w.logins)+len(w.found)+len(w.checks)+len(w.comparisons) > 0
}

// some moves up to n entries of a map to a new one.
func some[K comparable, V any](from map[K]V, n int) map[K]V {
	to := make(map[K]V, min(n, len(from)))
	for k, v := range from {
		if len(to) == n {
			break
		}
		to[k] = v
		delete(from, k)
	}
	return to
}

// add adds j to the work.
func (w *work) add(j *jobs) {
	w.update(func(all *jobs) {
		maps.Copy(all.logins, j.logins)
		maps.Copy(all.found, j.found)
		maps.Copy(all.comparisons, j.comparisons)
		for p, always := range j.checks {
			all.check(p, always)
		}
	})
}

// recent has changes of friendships and blocks that were published in the last
// few seconds, or while the bus was unavailable. They are published again when it
// returns, or if the courier has dropped one.
type recent struct {
	dropped atomic.Bool

	mu      sync.Mutex
	changes map[bus.Relation]time.Time
}

func (r *recent) add(change *bus.Relation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.changes) < maxRecent {
		c := *change
		c.Friendship = false // the second time, clients must not forget what they were told
		r.changes[c] = time.Now()
	}
}

// prune forgets changes that were published long ago.
func (r *recent) prune() {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.changes, func(_ bus.Relation, at time.Time) bool { return time.Since(at) > recentFor })
}

func (r *recent) all() []bus.Relation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.changes))
}

// Announced makes Run tell the friends of users that they are online.
func (p *Presence) Announced(users []int64) {
	p.work.update(func(j *jobs) {
		for _, u := range users {
			j.logins[u] = struct{}{}
		}
	})
}

// Found makes Run tell users on this node about friends who were already online
// on another one.
func (p *Presence) Found(users []int64) {
	p.work.update(func(j *jobs) {
		for _, u := range users {
			j.found[u] = struct{}{}
		}
	})
}

// Gone makes RunGone tell users on this node that friends are offline.
func (p *Presence) Gone(users []int64) { p.gone.add(users) }

// Run does the work that needs the store, until t ends.
func (p *Presence) Run(t Off) {
	var failed jobs
	failed.init()
	retry := time.NewTicker(p.cfg.SweepEvery)
	defer retry.Stop()
	for {
		select {
		case <-t.Done():
			p.stop()
			return
		case <-retry.C:
			if p.BusAway() {
				continue // what was meant for other nodes would fail again; recovering retries everything
			}
			if p.recent.dropped.Swap(false) {
				p.publishRecent(t)
			}
			p.recent.prune()
			p.work.add(&failed)
			failed.init()
		case <-p.work.wake:
			if p.work.tooManyFound(p.count.Load()) { // for example when this node has just started
				p.compareAll()
			}
			j, more := p.work.take()
			if j.recovering {
				p.recover(t)
				p.work.add(&failed)
				failed.init()
			}
			p.do(t, &j, &failed)
			if more {
				p.work.signal()
			}
		}
	}
}

// recover makes up for hints that were lost while the bus was unavailable: those
// of other nodes by comparing the friends of all users on this node, and those of
// this node by publishing them again. Rosters tell everyone who came and went.
func (p *Presence) recover(t Off) {
	p.compareAll()
	p.publishRecent(t)
}

// publishRecent publishes recent changes of friendships and blocks again. It
// waits for room in the courier's queue.
func (p *Presence) publishRecent(t Off) {
	for _, r := range p.recent.all() {
		for _, user := range []int64{r.A, r.B} {
			p.courier.WaitForRoom(t)
			p.courier.Publish(bus.User(user), bus.Payload{Relation: &r})
		}
	}
}

// compareAll queues comparisons for all users on this node.
func (p *Presence) compareAll() {
	for i := range p.users {
		sh := &p.users[i]
		sh.mu.Lock()
		users := slices.Collect(maps.Keys(sh.here))
		sh.mu.Unlock()
		if len(users) > 0 {
			p.work.update(func(j *jobs) {
				for _, u := range users {
					j.comparisons[u] = struct{}{}
				}
			})
		}
	}
}

// do does j, and adds to failed whatever should be retried.
func (p *Presence) do(t Off, j, failed *jobs) {
	p.try(t, "logins not reported to friends", p.introduce(t, j.logins, true), func() { maps.Copy(failed.logins, j.logins) })
	p.try(t, "users not reported to friends", p.introduce(t, j.found, false), func() { maps.Copy(failed.found, j.found) })
	for c, always := range j.checks {
		p.try(t, "friend not checked", p.check(t, c, always), func() { failed.check(c, always) })
	}
	if len(j.comparisons) > 0 && !p.courier.Await(t) { // then hints that come after the comparison may be missed
		maps.Copy(failed.comparisons, j.comparisons)
		return
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	free := make(chan struct{}, comparers)
	for user := range j.comparisons {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			if p.isHere(user) {
				_, _, err := p.compare(t, user, nil)
				mu.Lock()
				defer mu.Unlock()
				p.try(t, "friends not compared", err, func() { failed.comparisons[user] = struct{}{} })
			}
		})
	}
	wg.Wait()
}

// try calls again, and logs err, if it isn't nil.
func (p *Presence) try(t Off, what string, err error, again func()) {
	if err != nil {
		again()
		if t.Err() == nil && !errors.Is(err, bus.ErrUnavailable) { // the bus has logged that already
			p.log.Error(what+"; retrying", "err", err)
		}
	}
}

func (p *Presence) isHere(user int64) (here bool) {
	p.with(user, func(*stay) { here = true })
	return here
}

// introduce tells friends on this node that users are online. If the users have
// logged in here, it also sends hints to the other nodes of their friends, and
// tells those who are learning which friends are online. It needs only a few
// queries for all of them, because many users may log in at the same time.
func (p *Presence) introduce(t Off, users map[int64]struct{}, here bool) error {
	maps.DeleteFunc(users, func(u int64, _ struct{}) bool { return !p.cluster.Online(u) })
	if len(users) == 0 {
		return nil
	}
	if here {
		// From here on, this node hears of changes that are committed after the
		// first query.
		p.courier.Await(t)
	}
	var learning map[int64]*stay
	if here {
		learning = p.learning(users)
	}
	friendships, err := p.store.Friendships(t, slices.Collect(maps.Keys(users)))
	if err != nil {
		return err
	}
	var hints []bus.Message
	told := make(map[pair]struct{})
	toldOf := make(map[int64]struct{})
	for _, f := range friendships {
		if learns := learning[f.User]; learns != nil && !f.Blocked {
			// If a change has been reported since the query, it is checked after this.
			p.with(f.User, func(st *stay) {
				if st == learns && p.cluster.Online(f.Friend) {
					p.tell(st, f.User, f.Friend, true, nil)
				}
			})
		}
		if f.Blocks {
			continue
		}
		hit := false
		p.with(f.Friend, func(st *stay) {
			hit = true
			if p.cluster.Online(f.User) {
				p.tell(st, f.Friend, f.User, true, nil)
			}
		})
		if here {
			// This node may not know yet that the friend has logged in elsewhere. If
			// the hint comes before the other node has subscribed, that node knows
			// of f.User when it lists the friend's friends.
			hit = true
			hints = append(hints, bus.Message{Channel: bus.User(f.Friend), Payload: bus.Payload{Presence: &bus.Presence{User: f.User}}})
		}
		if hit {
			told[pair{f.Friend, f.User}], toldOf[f.User] = struct{}{}, struct{}{}
		}
	}
	for user, learns := range learning {
		p.with(user, func(st *stay) { st.complete = st.complete || st == learns })
	}
	if len(told) == 0 {
		return nil
	}
	// Publish now and not through the courier: the second query must come after
	// that.
	var lost error
	for batch := range slices.Chunk(hints, publishBatch) {
		if lost = p.courier.PublishNow(t, batch); lost != nil {
			break
		}
	}
	// A user may have blocked or unfriended another since the first query. Then
	// the hint about that may have come before the one above.
	friendships, err = p.store.Friendships(t, slices.Collect(maps.Keys(toldOf)))
	for _, f := range friendships {
		if !f.Blocks {
			delete(told, pair{f.Friend, f.User})
		}
	}
	// After an error, all are checked: running introduce again would skip those who
	// are no longer friends, or are blocked now.
	for v := range told {
		p.publish(&bus.Relation{A: v.friend, B: v.user})
	}
	return errors.Join(err, lost)
}

// learning returns those of some users on this node who have to be told which
// friends are online. From here on, Learn doesn't leave that to introduce.
func (p *Presence) learning(users map[int64]struct{}) map[int64]*stay {
	learning := make(map[int64]*stay)
	for user := range users {
		p.with(user, func(st *stay) {
			st.introduced = true
			if st.learning {
				learning[user] = st
			}
		})
	}
	return learning
}

// check reads from the store whether a user on this node may see a friend, and
// tells the user the friend's state if it has changed, or always.
func (p *Presence) check(t Off, c pair, always bool) error {
	if !p.isHere(c.user) {
		return nil
	}
	friends, hidden, err := p.store.AreFriends(t, c.user, c.friend)
	if err != nil {
		return err
	}
	p.with(c.user, func(st *stay) {
		online := !hidden && p.cluster.Online(c.friend)
		switch {
		case !friends:
			p.setTold(st, c.user, c.friend, false)
		case p.setTold(st, c.user, c.friend, online) || always:
			p.sessions.TellHere(c.user, body(c.friend, online), nil)
		}
	})
	return nil
}
