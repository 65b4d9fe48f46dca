package service

// Poison has the delivery of the next message in a conversation panic on its
// loop. cure takes that back, on the loop.
func (s *Service) Poison(t Turn, conv int64) (cure func(t Turn)) {
	tp := s.loops[t.Loop()].topics[conv]
	tp.subs = append(tp.subs, sub{sent: tp.last}) // of no session
	return func(Turn) { tp.subs = tp.subs[:len(tp.subs)-1] }
}

// PoisonAcks has what follows the answer to each of a user's messages panic on
// the loop.
func (s *Service) PoisonAcks(t Turn, user int64) {
	for _, ss := range s.loops[t.Loop()].users[user].sessions {
		ss.client.sending = append(ss.client.sending, nil)
	}
}
