package service

import (
	"math/bits"
	"time"

	"chatd/model"
	"chatd/proto"
)

// sweep is the repair: it asks the log what has grown, and brings sessions
// up to date that were not told, whatever the reason: now and then always,
// often while the bus is away, at once when it goes or comes back.
func (s *Service) sweep(t Off) {
	since := int64(-1) // no look yet; later by the database's clock
	for {
		wait := s.cfg.SweepEvery
		if s.away.Load() {
			wait = min(wait, awaySweep)
		}
		timer := time.NewTimer(wait)
		select {
		case <-t.Done():
			timer.Stop()
			return
		case <-s.nudge:
			timer.Stop()
			if !s.away.Load() {
				s.announce(t)
			}
		case <-timer.C:
		}
		now, err := s.repair(t, since)
		if err == nil {
			since = now
		} else if t.Err() == nil {
			s.log.Error("the repair sweep failed", "err", err)
		}
	}
}

// repair raises what has grown since a time of the database's, and returns
// what time it is there.
func (s *Service) repair(t Off, since int64) (now int64, err error) {
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
	return now, nil
}

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
