package service

// Poison has the delivery of the next message in a conversation panic on its
// loop. cure takes that back, on the loop.
func (s *Service) Poison(t Turn, conv int64) (cure func(t Turn)) {
	tp := s.loops[t.Loop()].topics[conv]
	tp.subs = append(tp.subs, sub{sent: tp.last}) // of no session
	return func(Turn) { tp.subs = tp.subs[:len(tp.subs)-1] }
}
