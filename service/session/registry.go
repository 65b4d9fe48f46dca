package session

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Registry tells which sessions a user has on this node, and which event loops have
// a topic of a group. It is sharded by id. Any goroutine may use it, and nothing is
// called while a shard is locked.
type Registry struct {
	shards [64]shard
	count  atomic.Int64 // sessions
}

type shard struct {
	mu sync.RWMutex
	// users: a user's sessions. The slices are never changed, only replaced.
	users map[int64][]*Session
	// elsewhere: users with sessions here who also have, or had, some on other nodes,
	// by the time of the latest such login. Their own messages are published, too.
	elsewhere map[int64]int64
	// groups: the set of loops with a topic of the group, a bit each.
	groups map[int64]uint64
}

func (r *Registry) init() {
	for i := range r.shards {
		r.shards[i].users = make(map[int64][]*Session)
		r.shards[i].elsewhere = make(map[int64]int64)
		r.shards[i].groups = make(map[int64]uint64)
	}
}

func (r *Registry) shard(id int64) *shard { return &r.shards[uint64(id)%uint64(len(r.shards))] }

// Add puts a session in and gives it the rate limits that the user's sessions share.
// older is the session of the same device that it replaces, or nil; first says
// that the user had no session here. Not ok: the device's present session logged
// in later, and stays.
func (r *Registry) Add(ss *Session) (older *Session, first, ok bool) {
	sh := r.shard(ss.User)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	had := sh.users[ss.User]
	if len(had) > 0 {
		ss.Rate = had[0].Rate
	}
	now := make([]*Session, 0, len(had)+1)
	for _, o := range had {
		if o.Device == ss.Device {
			if o.Nth > ss.Nth {
				return nil, false, false
			}
			older = o
		} else {
			now = append(now, o)
		}
	}
	sh.users[ss.User] = append(now, ss)
	r.count.Add(int64(len(now) + 1 - len(had)))
	return older, len(had) == 0, true
}

// Remove takes this very session out, if it is still in.
func (r *Registry) Remove(ss *Session) {
	sh := r.shard(ss.User)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	had := sh.users[ss.User]
	i := slices.Index(had, ss)
	if i < 0 {
		return
	}
	r.count.Add(-1)
	if len(had) == 1 {
		delete(sh.users, ss.User)
		delete(sh.elsewhere, ss.User)
	} else {
		sh.users[ss.User] = slices.Concat(had[:i], had[i+1:])
	}
}

// Sessions are the user's sessions on this node. Don't change the slice.
func (r *Registry) Sessions(user int64) []*Session {
	sh := r.shard(user)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.users[user]
}

// LoopsOf is the set of loops with a session of the user.
func (r *Registry) LoopsOf(user int64) (set uint64) {
	for _, ss := range r.Sessions(user) {
		set |= 1 << ss.Loop
	}
	return set
}

// SetElsewhere notes that a user with a session here also has one on another node,
// which logged in at that time. It reports whether that is later than all such
// logins before: then that node may not know of the sessions here.
func (r *Registry) SetElsewhere(user, at int64) (news bool) {
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

// Elsewhere reports what SetElsewhere noted, and true for users without a session
// here: they may have moved to another node with a message in flight.
func (r *Registry) Elsewhere(user int64) bool {
	sh := r.shard(user)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	_, ok := sh.elsewhere[user]
	return ok || len(sh.users[user]) == 0
}

// Each calls f with all sessions, shard by shard, holding no lock.
func (r *Registry) Each(f func(sessions []*Session)) {
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

// Watch notes whether a loop has a topic of the group.
func (r *Registry) Watch(group int64, loop int, on bool) {
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

// Watchers is the set of loops with a topic of the group.
func (r *Registry) Watchers(group int64) uint64 {
	sh := r.shard(group)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.groups[group]
}
