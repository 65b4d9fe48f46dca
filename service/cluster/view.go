package cluster

import (
	"sync"
	"sync/atomic"

	"chatd/service/bus"
)

const (
	maxNodes = 128     // including this one
	maxUsers = 4 << 20 // maximum number of users in a view, unless more are on this node
	self     = 0       // the slot of this node
)

// nodeSet is a set of nodes, by slot.
type nodeSet [maxNodes / 64]uint64

func (s nodeSet) has(slot int) bool { return s[slot/64]&(1<<(slot%64)) != 0 }
func (s *nodeSet) add(slot int)     { s[slot/64] |= 1 << (slot % 64) }
func (s *nodeSet) remove(slot int)  { s[slot/64] &^= 1 << (slot % 64) }

// view has the nodes on which each user is online. It is sharded by user, so that
// no lock is held for long. A RosterChunk has the users of one or more shards.
// Its methods may be called from any goroutine.
type view struct {
	shards [bus.MaxRosterChunks]viewShard
	count  atomic.Int64 // users
	max    int64        // most users; see maxUsers
}

type viewShard struct {
	mu    sync.RWMutex
	users map[int64]nodeSet // without empty sets
}

func (v *view) init() {
	v.max = maxUsers
	for i := range v.shards {
		v.shards[i].users = make(map[int64]nodeSet)
	}
}

func shardOf(user int64) int { return int(uint64(user) % bus.MaxRosterChunks) }

// get returns the nodes on which a user is online.
func (v *view) get(user int64) nodeSet {
	sh := &v.shards[shardOf(user)]
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.users[user]
}

// add records that a user is online on a node. first reports whether they were
// online on no node. ok is false if the view is full.
func (v *view) add(user int64, slot int) (first, ok bool) {
	sh := &v.shards[shardOf(user)]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return v.addTo(sh, user, slot)
}

// addTo is add for a shard that the caller has locked.
func (v *view) addTo(sh *viewShard, user int64, slot int) (first, ok bool) {
	set := sh.users[user]
	if first = set == (nodeSet{}); first {
		if slot != self && v.count.Load() >= v.max {
			return false, false
		}
		v.count.Add(1)
	}
	set.add(slot)
	sh.users[user] = set
	return first, true
}

// remove records that a user is no longer online on a node. last reports whether
// they were online on no other one.
func (v *view) remove(user int64, slot int) (last bool) {
	sh := &v.shards[shardOf(user)]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return v.removeFrom(sh, user, slot)
}

// removeFrom is remove for a shard that the caller has locked.
func (v *view) removeFrom(sh *viewShard, user int64, slot int) (last bool) {
	set := sh.users[user]
	if !set.has(slot) {
		return false
	}
	set.remove(slot)
	if set != (nodeSet{}) {
		sh.users[user] = set
		return false
	}
	delete(sh.users, user)
	v.count.Add(-1)
	return true
}

// replace sets the users of a node in the shards of a chunk. found lists those
// who were online on no node before, gone those who are online on none now. ok
// is false if a user doesn't belong to the chunk, in which case nothing changes,
// or if the view is full.
func (v *view) replace(slot int, c *bus.RosterChunk) (found, gone []int64, ok bool) {
	chunks := int(c.Chunks)
	perShard := make([][]int64, len(v.shards)/chunks) // of the shards Index, Index+Chunks, …
	for _, u := range c.Users {
		s := shardOf(u)
		if s%chunks != int(c.Index) {
			return nil, nil, false
		}
		perShard[s/chunks] = append(perShard[s/chunks], u)
	}
	ok = true
	for i, users := range perShard {
		wanted := make(map[int64]struct{}, len(users))
		for _, u := range users {
			wanted[u] = struct{}{}
		}
		sh := &v.shards[i*chunks+int(c.Index)]
		sh.mu.Lock()
		for u, set := range sh.users {
			if _, keep := wanted[u]; !keep && set.has(slot) && v.removeFrom(sh, u, slot) {
				gone = append(gone, u)
			}
		}
		for u := range wanted {
			first, fits := v.addTo(sh, u, slot)
			if first {
				found = append(found, u)
			}
			ok = ok && fits
		}
		sh.mu.Unlock()
	}
	return found, gone, ok
}

// clear removes a node. It calls gone with users who are online on no other
// one, without holding a lock.
func (v *view) clear(slot int, gone func([]int64)) {
	for i := range v.shards {
		sh := &v.shards[i]
		var last []int64
		sh.mu.Lock()
		for u := range sh.users {
			if v.removeFrom(sh, u, slot) {
				last = append(last, u)
			}
		}
		sh.mu.Unlock()
		if len(last) > 0 {
			gone(last)
		}
	}
}
