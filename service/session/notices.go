package session

import (
	"sync"

	"chatd/service/bus"
)

// notices remembers which notices the users on this node were sent, as a node may hear
// of a change twice: through a hint and from the feed. It is sharded by user.
type notices struct {
	shards [shardCount]noticeShard
}

// noticeShard is locked while a notice is posted to the loops, so that the notices about
// one subject arrive in the order of their numbers.
type noticeShard struct {
	mu sync.Mutex
	// sent has the highest number about each subject; earlier has those from before
	// the last call of ForgetNotices but one.
	sent, earlier map[noticeKey]int64
	// done has, for each user, the highest number that was removed from earlier. It
	// doesn't concern reads, which have other numbers.
	done map[int64]int64
}

// noticeKey is what a notice for a user is about.
type noticeKey struct {
	user int64
	kind bus.Subject
	id   int64
	by   int64
}

func (n *notices) init() {
	for i := range n.shards {
		n.shards[i] = noticeShard{sent: make(map[noticeKey]int64), done: make(map[int64]int64)}
	}
}

// news reports whether no notice with this number or a higher one was sent, and records
// this one. The shard must be locked.
func (sh *noticeShard) news(k noticeKey, number int64) bool {
	if number <= max(sh.sent[k], sh.earlier[k]) || k.kind != bus.ReadUpTo && number <= sh.done[k.user] {
		return false
	}
	sh.sent[k] = number
	return true
}

// forget removes what was recorded before the last call but one. has reports whether
// a user has a session on this node.
func (sh *noticeShard) forget(has func(user int64) bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for k, number := range sh.earlier {
		if k.kind != bus.ReadUpTo {
			sh.done[k.user] = max(sh.done[k.user], number)
		}
	}
	for user := range sh.done {
		if !has(user) { // later sessions have higher numbers than these changes
			delete(sh.done, user)
		}
	}
	sh.earlier, sh.sent = sh.sent, make(map[noticeKey]int64)
}

// TellOf is Tell for a notice that nodes also find in the feed. about says what it is
// about, and must have a number. It reports false, and tells nobody, if the user's
// sessions here were sent this notice or a later one about the same.
func (s *Sessions) TellOf(user int64, about bus.About, body []byte, except *Session) (fresh bool) {
	if fresh, _ = s.tellHere(user, about, body, except); fresh {
		s.courier.Publish(bus.User(user), bus.Payload{Push: &bus.Push{Body: body, About: about}})
	}
	return fresh
}

// TellOfHere is like TellOf, but only for sessions on this node. It reports whether it
// has told any. It does nothing if the user has no session here, or if they were sent this
// notice or a later one about the same.
func (s *Sessions) TellOfHere(user int64, about bus.About, body []byte, except *Session) (news bool) {
	_, news = s.tellHere(user, about, body, except)
	return news
}

// tellHere is TellOfHere. fresh reports whether the sessions here weren't sent the notice
// or a later one before; it is true if there are none.
func (s *Sessions) tellHere(user int64, about bus.About, body []byte, except *Session) (fresh, news bool) {
	sessions := s.Sessions(user)
	if len(sessions) == 0 {
		return true, false
	}
	sh := &s.notices.shards[uint64(user)%shardCount]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if !sh.news(noticeKey{user, about.Subject, about.ID, about.By}, about.Number) {
		return false, false
	}
	for _, ss := range sessions {
		// Changes and sessions of a user are numbered together: the lists of a later
		// session were read after the change.
		if later := ss.Number > about.Number && about.Subject != bus.ReadUpTo; ss != except && !later {
			news = true
			_ = s.r.Post(ss.Loop, func(t Turn) { ss.Notify(t, body) }) // an error means that the reactor has stopped
		}
	}
	return true, news
}

// ForgetNotices forgets the notices that were sent before the last call but one. Call it
// only when all that was committed before the last call has been found in the feed:
// then none of them comes again. It doesn't block.
func (s *Sessions) ForgetNotices() {
	for i := range s.notices.shards {
		s.notices.shards[i].forget(func(user int64) bool { return len(s.Sessions(user)) > 0 })
	}
}
