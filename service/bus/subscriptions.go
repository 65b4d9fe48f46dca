package bus

import (
	"context"
	"maps"
	"slices"
	"sync"
)

// subscriptions is what a node wants to hear, what it has told Redis of that,
// and what Redis has confirmed. Its methods may be called from any goroutine;
// only await blocks.
//
// Commands are made from the difference between what is wanted and what was
// told, at the moment of writing: however Subscribe and Unsubscribe of a
// channel interleave, the last word is the right one, and what cancels itself
// out before it is written costs nothing.
type subscriptions struct {
	mu   sync.Mutex
	want map[Channel]int // how often subscribed

	connected bool
	live      bool // all that was wanted when the connection began is confirmed
	told      map[Channel]struct{}
	dirty     []Channel // may differ between want and told, in the order in which they changed
	marked    map[Channel]struct{}
	wake      chan struct{} // the writer has something to do

	changes uint64 // how often something became dirty
	done    uint64 // so many of the changes are in force
	flights []flight
	sent    uint64 // confirmations that the connection owes
	got     uint64 // and has sent

	progress chan struct{} // closed when done rises, and when the connection ends
}

// flight is what was written in one go.
type flight struct {
	changes uint64 // are in force,
	sent    uint64 // when so many confirmations are there
}

func newSubscriptions() *subscriptions {
	return &subscriptions{want: make(map[Channel]int), wake: make(chan struct{}, 1), progress: make(chan struct{})}
}

// add counts one subscription more to c.
func (s *subscriptions) add(c Channel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.want[c]++
	if s.want[c] == 1 {
		s.mark(c)
	}
}

// remove counts one subscription less to c. One too many changes nothing.
func (s *subscriptions) remove(c Channel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch n := s.want[c]; n {
	case 0:
	case 1:
		delete(s.want, c)
		s.mark(c)
	default:
		s.want[c] = n - 1
	}
}

// mark notes that c has changed; s.mu is held.
func (s *subscriptions) mark(c Channel) {
	if !s.connected {
		return // a connection begins with all that is wanted
	}
	s.changes++
	if _, ok := s.marked[c]; !ok {
		s.marked[c] = struct{}{}
		s.dirty = append(s.dirty, c)
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// has reports whether c is wanted here.
func (s *subscriptions) has(c Channel) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.want[c] > 0
}

// size returns how many channels are wanted, and for how many changes Redis's
// word is outstanding.
func (s *subscriptions) size() (wanted, unconfirmed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.want), int(s.changes - s.done)
}

// begin notes a new connection, which has been told nothing yet; end has to
// follow. The number is for arrived.
func (s *subscriptions) begin() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connected, s.live = true, len(s.want) == 0
	s.told = make(map[Channel]struct{}, len(s.want))
	s.dirty = slices.Collect(maps.Keys(s.want))
	s.marked = make(map[Channel]struct{}, len(s.want))
	for _, c := range s.dirty {
		s.marked[c] = struct{}{}
	}
	s.flights, s.sent, s.got = nil, 0, 0
	s.changes++
	return s.changes
}

// arrived reports whether all that was wanted at begin is in force; from then
// on await waits for what is new.
func (s *subscriptions) arrived(begin uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live = s.live || s.connected && s.done >= begin
	return s.live
}

// end notes that the connection has ended; nobody waits for it any more.
func (s *subscriptions) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connected, s.live = false, false
	s.told, s.dirty, s.marked, s.flights = nil, nil, nil, nil
	s.done = s.changes
	s.broadcast()
}

// next returns the channels to subscribe to and those to leave, and notes
// that the connection has been told. Only its writer may call it.
func (s *subscriptions) next() (on, off []Channel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.dirty) == 0 && s.changes == s.done {
		return nil, nil
	}
	for _, c := range s.dirty {
		_, told := s.told[c]
		switch wanted := s.want[c] > 0; {
		case wanted && !told:
			s.told[c] = struct{}{}
			on = append(on, c)
		case !wanted && told:
			delete(s.told, c)
			off = append(off, c)
		}
	}
	s.dirty = nil
	clear(s.marked)
	s.sent += uint64(len(on) + len(off))
	s.flights = append(s.flights, flight{changes: s.changes, sent: s.sent})
	s.settle()
	return on, off
}

// confirmed notes that the connection has confirmed one channel more.
// Confirmations come in the order of the commands.
func (s *subscriptions) confirmed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got++
	s.settle()
}

// settle notes which changes are in force; s.mu is held.
func (s *subscriptions) settle() {
	n := 0
	for ; n < len(s.flights) && s.flights[n].sent <= s.got; n++ {
		s.done = s.flights[n].changes
	}
	if n > 0 {
		s.flights = slices.Delete(s.flights, 0, n)
		s.broadcast()
	}
}

// broadcast wakes all who wait; s.mu is held.
func (s *subscriptions) broadcast() {
	close(s.progress)
	s.progress = make(chan struct{})
}

// await returns when all changes made before are in force, or at once where
// there is no connection on which they could be.
func (s *subscriptions) await(ctx context.Context) error {
	s.mu.Lock()
	target := s.changes
	for {
		if !s.live || s.done >= target {
			s.mu.Unlock()
			return nil
		}
		progress := s.progress
		s.mu.Unlock()
		select {
		case <-progress:
		case <-ctx.Done():
			return ctx.Err()
		}
		s.mu.Lock()
	}
}
