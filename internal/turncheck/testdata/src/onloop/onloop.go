// Package onloop has state that belongs to loops.
package onloop

import (
	"slices"

	"chatd/reactor"
)

type topicOnLoop struct {
	sessions []int
	end      uint64
}

func (p *topicOnLoop) add(t reactor.Turn, n int) { p.sessions = append(p.sessions, n) }

func (p *topicOnLoop) len() int { return len(p.sessions) } // want `len is a method of a type that belongs to an event loop` `sessions belongs to an event loop`

func (p topicOnLoop) last(n int, t reactor.Turn) uint64 { return p.end } // want `last is a method of a type that belongs to an event loop`

type service struct {
	name string
	topicOnLoop
	loops []topicOnLoop
}

func newService(n int) *service {
	s := &service{loops: make([]topicOnLoop, n)}
	s.end = 1
	return s
}

func (s *service) touch(t reactor.Turn) {
	s.end++
	s.loops[t.Now()].end++
	s.topicOnLoop.add(t, 1)
	s.add(t, 1)
	s.sessions = slices.DeleteFunc(s.sessions, func(n int) bool { return n == len(s.sessions) })
	t.Post(1, func(t reactor.Turn) { s.end++ })
	t.Post(1, func(reactor.Turn) { s.end++ }) // the parameter needs no name
	go func() {
		s.end++ // want `end belongs to an event loop`
	}()
}

func (s *service) without(i int) uint64 {
	_ = s.name
	p := &s.loops[i]
	_ = p
	return s.end + // want `end belongs to an event loop`
		s.topicOnLoop.end + // want `end belongs to an event loop`
		s.loops[i].end // want `end belongs to an event loop`
}

type listOnLoop []int // want `listOnLoop isn't a struct`

func (s *service) copied(p *topicOnLoop) int {
	all := s.loops         // allowed: the slice itself has no owner
	s.topicOnLoop = all[0] // want `topicOnLoop belongs to an event loop: copy` `topicOnLoop belongs to an event loop: copy`
	return size(*p)        // want `topicOnLoop belongs to an event loop: copy`
}

func (s *service) copiedOnLoop(t reactor.Turn, p *topicOnLoop) int { return size(*p) }

func size(p topicOnLoop) int { return 0 }

func (s *service) job(t reactor.Turn, c *reactor.Conn) error {
	return reactor.Go(t, c, func(t reactor.Off) (uint64, error) {
		return s.end, nil // want `end belongs to an event loop`
	}, func(t reactor.Turn, v uint64, err error) { s.end = v })
}
