package service

import (
	"slices"
	"sync"
	"sync/atomic"
)

// registry is what all goroutines of a node may ask: which sessions has a
// user here, and which loops have members of a group. It is sharded by id;
// nothing is called and nothing sent under a shard's lock.
type registry struct {
	shards [64]shard
	count  atomic.Int64 // sessions
}

type shard struct {
	mu sync.RWMutex
	// users: a user's sessions. The slices are never changed, only replaced.
	users map[int64][]*Session
	// elsewhere: users with sessions here who have some on other nodes too, or
	// had: what is said in their name has to be told there. Of those sessions,
	// when the latest heard of logged in.
	elsewhere map[int64]int64
	// groups: the set of loops with a topic of the group, a bit each.
	groups map[int64]uint64
}

func (r *registry) init() {
	for i := range r.shards {
		r.shards[i].users = make(map[int64][]*Session)
		r.shards[i].elsewhere = make(map[int64]int64)
		r.shards[i].groups = make(map[int64]uint64)
	}
}

func (r *registry) shard(id int64) *shard { return &r.shards[uint64(id)%uint64(len(r.shards))] }

// add puts a session in, and gives it what the user's sessions share. older is the session of the same device that it
// takes the place of, if there is one; first tells whether the user had none.
// Not ok: that one has logged in later, and stays.
func (r *registry) add(ss *Session) (older *Session, first, ok bool) {
	sh := r.shard(ss.user)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	had := sh.users[ss.user]
	if len(had) > 0 {
		ss.rate = had[0].rate
	}
	now := make([]*Session, 0, len(had)+1)
	for _, o := range had {
		if o.device == ss.device {
			if o.nth > ss.nth {
				return nil, false, false
			}
			older = o
		} else {
			now = append(now, o)
		}
	}
	sh.users[ss.user] = append(now, ss)
	r.count.Add(int64(len(now) + 1 - len(had)))
	return older, len(had) == 0, true
}

// remove takes this very session out, if it is still in.
func (r *registry) remove(ss *Session) {
	sh := r.shard(ss.user)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	had := sh.users[ss.user]
	i := slices.Index(had, ss)
	if i < 0 {
		return
	}
	r.count.Add(-1)
	if len(had) == 1 {
		delete(sh.users, ss.user)
		delete(sh.elsewhere, ss.user)
	} else {
		sh.users[ss.user] = slices.Concat(had[:i], had[i+1:])
	}
}

// sessions are the user's sessions on this node; not to be changed.
func (r *registry) sessions(user int64) []*Session {
	sh := r.shard(user)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.users[user]
}

// loopsOf is the set of loops with a session of the user.
func (r *registry) loopsOf(user int64) (set uint64) {
	for _, ss := range r.sessions(user) {
		set |= 1 << ss.loop
	}
	return set
}

// isElsewhere notes that a user has a session on another node, which logged
// in at that time, and reports whether it is later than all heard of before:
// that node may not know of those here. Of users without one here nothing is
// noted.
func (r *registry) isElsewhere(user, at int64) (news bool) {
	sh := r.shard(user)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if len(sh.users[user]) == 0 {
		return false
	}
	if had, ok := sh.elsewhere[user]; ok && at <= had {
		return false
	}
	sh.elsewhere[user] = at
	return true
}

// knownElsewhere reports what isElsewhere noted, and true of users without a
// session here: who has left with a message on its way may have moved on.
func (r *registry) knownElsewhere(user int64) bool {
	sh := r.shard(user)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	_, ok := sh.elsewhere[user]
	return ok || len(sh.users[user]) == 0
}

// each calls f with all sessions, a shard's at a time, under no lock.
func (r *registry) each(f func(sessions []*Session)) {
	for i := range r.shards {
		var all []*Session
		sh := &r.shards[i]
		sh.mu.RLock()
		for _, l := range sh.users {
			all = append(all, l...)
		}
		sh.mu.RUnlock()
		if len(all) > 0 {
			f(all)
		}
	}
}

// watch notes that a loop has a topic of the group, or no longer.
func (r *registry) watch(group int64, loop int, on bool) {
	sh := r.shard(group)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	set := sh.groups[group]
	if on {
		set |= 1 << loop
	} else {
		set &^= 1 << loop
	}
	if set == 0 {
		delete(sh.groups, group)
	} else {
		sh.groups[group] = set
	}
}

// watchers is the set of loops with a topic of the group.
func (r *registry) watchers(group int64) uint64 {
	sh := r.shard(group)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.groups[group]
}
