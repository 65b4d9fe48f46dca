package presence

import (
	"slices"
	"sync"

	"chatd/service/session"
)

// This file keeps what each user was told about friends, and its inverse: who was
// told that a friend is online.

// watcherShard has friends who some users on this node have been told are
// online.
type watcherShard struct {
	mu      sync.Mutex
	friends map[int64]*watch
}

// watch is the inverse of stay.told.
type watch struct {
	users  []int64
	absent bool // the friend wasn't online at the last sweep
}

// tell notifies a user's sessions on this node, except one, that a friend is
// online or offline, if that is news to them. The user's shard must be locked, so
// that the notices are in the order of the changes of st.
func (p *Presence) tell(st *stay, user, friend int64, online bool, except *session.Session) {
	if p.setTold(st, user, friend, online) {
		p.sessions.TellHere(user, body(friend, online), except)
	}
}

// setTold records what a user was told about a friend. It reports whether that
// has changed. The user's shard must be locked.
func (p *Presence) setTold(st *stay, user, friend int64, online bool) (changed bool) {
	i, told := slices.BinarySearch(st.told, friend)
	switch {
	case told == online:
		return false
	case online:
		st.told = slices.Insert(st.told, i, friend)
		p.watch(friend, user)
		if !p.cluster.Online(friend) { // partWith may have come just before watch
			p.gone.add([]int64{friend})
		}
	default:
		st.told = slices.Delete(st.told, i, i+1)
		p.unwatch(friend, user)
	}
	return true
}

func (st *stay) wasTold(friend int64) bool {
	_, told := slices.BinarySearch(st.told, friend)
	return told
}

func (p *Presence) watch(friend, user int64) {
	sh := &p.watchers[uint64(friend)%shards]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	w := sh.friends[friend]
	if w == nil {
		w = new(watch)
		sh.friends[friend] = w
	}
	w.users = append(w.users, user)
}

func (p *Presence) unwatch(friend, user int64) {
	sh := &p.watchers[uint64(friend)%shards]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	w := sh.friends[friend]
	if w == nil {
		return
	}
	if i, last := slices.Index(w.users, user), len(w.users)-1; i >= 0 {
		w.users[i] = w.users[last]
		w.users = w.users[:last]
	}
	if len(w.users) == 0 {
		delete(sh.friends, friend)
	}
}

// watching returns the users on this node who have been told that a friend is
// online.
func (p *Presence) watching(friend int64) []int64 {
	sh := &p.watchers[uint64(friend)%shards]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if w := sh.friends[friend]; w != nil {
		return slices.Clone(w.users)
	}
	return nil
}
