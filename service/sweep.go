package service

import (
	"errors"
	"math/bits"
	"time"

	"chatd/model"
	"chatd/proto"
)

// sweep is the repair: it asks the log what has grown, and brings sessions
// up to date that were not told, whatever the reason: now and then always,
// often while the bus is away, at once when it goes or comes back.
func (s *Service) sweep(t Off) {
	known := make(map[int64]int64)
	since, err := s.repair(t, -1, known)
	if err != nil && t.Err() == nil {
		s.log.Error("the repair sweep failed", "err", err)
		since = -1
	}
	for {
		wait := s.cfg.SweepEvery
		if !s.presence.certain() { // nor do other nodes publish as soon as this one is back
			wait = min(wait, awaySweep)
		}
		timer := time.NewTimer(wait)
		nudged := false
		select {
		case <-t.Done():
			timer.Stop()
			return
		case <-s.nudge:
			timer.Stop()
			nudged = true
		case <-timer.C:
		}
		now, err := s.repair(t, since, known)
		if err == nil {
			since = now
		} else if t.Err() == nil {
			s.log.Error("the repair sweep failed", "err", err)
		}
		if nudged && !s.away.Load() {
			s.announce(t)
			s.recheck(t)
		}
	}
}

// repair raises what has grown since a time of the database's, and returns
// what time it is there. known has, of groups, the version of the membership
// that the loops go by.
func (s *Service) repair(t Off, since int64, known map[int64]int64) (now int64, err error) {
	if since < 0 {
		since = farFuture // only to learn the time: who came before has read the log as it came
	} else {
		since -= sweepOverlap
	}
	now, heads, err := s.store.Touched(t, since)
	if err != nil {
		return 0, err
	}
	todo := make([][]delivery, len(s.loops))
	for i := range heads {
		s.raise(&heads[i], todo)
	}
	for i, list := range todo {
		if len(list) > 0 {
			_ = s.r.Post(i, func(t Turn) { // stopped: nobody is left to tell
				for j := range list {
					s.loops[i].deliver(t, &list[j])
				}
			})
		}
	}
	for i := range heads {
		if h := &heads[i]; h.Group != 0 && known[h.Group] != h.Version {
			if err := s.enlist(t, h); err != nil {
				return 0, err
			}
			if len(known) >= maxKnown {
				clear(known) // rare, and cheaper than to keep an order
			}
			known[h.Group] = h.Version
		}
	}
	return now, nil
}

// enlist brings a group to those loops that don't have it, though one of its
// members is there: who joined on another node, whose word of it was lost.
func (s *Service) enlist(t Off, h *model.Head) error {
	_, members, err := s.store.MemberIDs(t, h.Group)
	if err != nil && !errors.Is(err, model.ErrNotFound) { // dismissed: whoever had it was told
		return err
	}
	for _, m := range members {
		for loops := s.registry.loopsOf(m.User) &^ s.registry.watchers(h.Group); loops != 0; loops &= loops - 1 {
			l := s.loops[bits.TrailingZeros64(loops)]
			_ = s.r.Post(l.index, func(t Turn) { l.enlist(t, h, m.User) }) // stopped: nobody is left to tell
		}
	}
	return nil
}

func (l *loop) enlist(t Turn, h *model.Head, user int64) {
	if u := l.users[user]; l.topics[h.Group] == nil && u != nil {
		tp := l.newGroup(h.Group, h.Version, h.Last)
		l.add(tp, user, unknown)
		l.notifyUser(t, u, joined(h.Group, u.sessions[0], &model.Joined{}).Notice, nil)
		l.reload(t, tp, h.Version) // brings the others here, or ends it where the user has left
	}
}

// maxKnown is how many groups' versions a sweep remembers.
const maxKnown = 1 << 16

const farFuture = 1 << 40 // seconds

// raise notes a conversation's head for the loops that have sessions for it.
func (s *Service) raise(h *model.Head, todo [][]delivery) {
	loops := s.registry.watchers(h.Group)
	if h.Group == 0 {
		loops = s.registry.loopsOf(h.Lo) | s.registry.loopsOf(h.Hi)
	}
	for ; loops != 0; loops &= loops - 1 {
		i := bits.TrailingZeros64(loops)
		todo[i] = append(todo[i], delivery{conv: h.Conv, group: h.Group, lo: h.Lo, hi: h.Hi, version: h.Version, seq: h.Last})
	}
}

// revoke ends the sessions of users whom an operator has banned, deleted or
// given a new password, from another process.
func (s *Service) revoke(t Off) {
	last, _, err := s.store.Revocations(t, -1)
	if err != nil {
		last = -1 // the next look begins with the latest, not with the first there ever was
		if t.Err() == nil {
			s.log.Error("reading revocations failed", "err", err)
		}
	}
	s.every(t, revokeEvery, func(t Off) {
		now, users, err := s.store.Revocations(t, last)
		if err != nil {
			if t.Err() == nil {
				s.log.Error("reading revocations failed", "err", err)
			}
			return
		}
		last = now
		for _, u := range users {
			for _, ss := range s.registry.sessions(u) {
				s.kick(ss, proto.LoggedOut, "an operator has ended this session")
			}
		}
	})
}
