package session

import (
	"slices"
	"sync"
	"sync/atomic"
)

const shardCount = 64

// Registry has the sessions of each user on this node, and the event loops that
// have a topic of each group. It is sharded by ID, safe for concurrent use, and
// calls no other code while it holds a lock.
type Registry struct {
	shards [shardCount]shard
	count  atomic.Int64 // sessions
}

type shard struct {
	mu sync.RWMutex
	// users has the sessions of each user. The slices are replaced, never
	// modified.
	users map[int64][]*Session
	// elsewhere has the users on this node who also have sessions on other
	// nodes, or had some, with the number of their latest session there. The
	// messages that they send are published to their own channel.
	elsewhere map[int64]int64
	// groups has the set of loops with a topic of each group, as a bit mask.
	groups map[int64]uint64
	// version counts the changes of users. It is written under the lock.
	version atomic.Uint64
}

func (r *Registry) init() {
	for i := range r.shards {
		r.shards[i].users = make(map[int64][]*Session)
		r.shards[i].elsewhere = make(map[int64]int64)
		r.shards[i].groups = make(map[int64]uint64)
	}
}

func (r *Registry) shard(id int64) *shard { return &r.shards[uint64(id)%uint64(len(r.shards))] }

// Add adds a session, and sets its Rate to the one that the user's sessions
// share. older is the session of the same device that it replaces, or nil.
// first reports whether the user had no session on this node. ok is false if
// the existing session of the device has logged in later: ss was not added
// then.
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
			if o.Number > ss.Number {
				return nil, false, false
			}
			older = o
		} else {
			now = append(now, o)
		}
	}
	sh.users[ss.User] = append(now, ss)
	r.count.Add(int64(len(now) + 1 - len(had)))
	sh.version.Add(1)
	return older, len(had) == 0, true
}

// Remove removes a session, if it hasn't been removed or replaced.
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
	sh.version.Add(1)
	if len(had) == 1 {
		delete(sh.users, ss.User)
		delete(sh.elsewhere, ss.User)
	} else {
		sh.users[ss.User] = slices.Concat(had[:i], had[i+1:])
	}
}

// Sessions returns the user's sessions on this node. Don't modify the slice.
func (r *Registry) Sessions(user int64) []*Session {
	sh := r.shard(user)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.users[user]
}

// Version returns a number that changes whenever the user's sessions do, and
// sometimes without that. Callers can keep what Sessions returns until then; they must
// call Version before Sessions. It is much cheaper, as it takes no lock.
func (r *Registry) Version(user int64) uint64 { return r.shard(user).version.Load() }

// Has reports whether a session is in the registry: it isn't any more once it has
// ended or was replaced.
func (r *Registry) Has(ss *Session) bool { return slices.Contains(r.Sessions(ss.User), ss) }

// LoopsOf returns the set of loops with a session of the user, as a bit mask.
func (r *Registry) LoopsOf(user int64) (set uint64) {
	for _, ss := range r.Sessions(user) {
		set |= 1 << ss.Loop
	}
	return set
}

// SetElsewhere records that a user with a session on this node has logged in on
// another node, with the given session number. It reports whether that login is the
// latest one so far: if so, that node may not know of the sessions here.
func (r *Registry) SetElsewhere(user, number int64) (news bool) {
	sh := r.shard(user)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if len(sh.users[user]) == 0 {
		return false
	}
	if had, ok := sh.elsewhere[user]; ok && number <= had {
		return false
	}
	sh.elsewhere[user] = number
	return true
}

// Elsewhere reports whether the user may have sessions on other nodes. It
// returns true for users without a session here: they may have reconnected to
// another node while a message was in flight.
func (r *Registry) Elsewhere(user int64) bool {
	sh := r.shard(user)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	_, ok := sh.elsewhere[user]
	return ok || len(sh.users[user]) == 0
}

// Each calls f with the sessions of each shard, without holding a lock.
func (r *Registry) Each(f func(sessions []*Session)) {
	for i := range r.shards {
		if all := r.some(i); len(all) > 0 {
			f(all)
		}
	}
}

// some returns the sessions of one shard.
func (r *Registry) some(shard int) (all []*Session) {
	sh := &r.shards[shard]
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	for _, l := range sh.users {
		all = append(all, l...)
	}
	return all
}

// Watch records whether a loop has a topic of the group.
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

// Watchers returns the set of loops with a topic of the group, as a bit mask.
func (r *Registry) Watchers(group int64) uint64 {
	sh := r.shard(group)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.groups[group]
}
