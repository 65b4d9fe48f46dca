package bus

import (
	"context"
	"maps"
	"slices"
	"sync"
)

// subscriptions tracks which channels a node wants, which of them it has
// requested on its connection, and which requests Redis has confirmed. Its
// methods may be called from any goroutine; only await blocks.
//
// Commands are computed when they are written, from the difference between
// wanted and requested. So the result is correct in whatever order Subscribe
// and Unsubscribe are called, and changes that cancel each other out are never
// sent.
type subscriptions struct {
	mu     sync.Mutex
	wanted map[Channel]int // number of Subscribe calls without an Unsubscribe

	connected bool
	synced    bool                 // everything that was wanted at onConnect is confirmed
	requested map[Channel]struct{} // on this connection
	dirty     []Channel            // wanted and requested may differ, in the order of the changes
	dirtySet  map[Channel]struct{} // the same channels as in dirty
	wake      chan struct{}        // tells the writer to call takeChanges

	changes          uint64         // number of changes so far
	confirmedChanges uint64         // how many of them, from the first on, are active
	inFlight         []requestBatch // written and not yet confirmed
	commands         uint64         // channels in commands written on this connection; each is confirmed
	confirmations    uint64         // received on this connection

	progress chan struct{} // closed and replaced when confirmedChanges grows and when the connection ends
}

// requestBatch is the result of one takeChanges: once the connection has
// received this many confirmations, this many changes are active.
type requestBatch struct {
	changes  uint64 // value of subscriptions.changes
	commands uint64 // value of subscriptions.commands
}

func newSubscriptions() *subscriptions {
	return &subscriptions{wanted: make(map[Channel]int), wake: make(chan struct{}, 1), progress: make(chan struct{})}
}

// add adds a subscription to c.
func (s *subscriptions) add(c Channel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted[c]++
	if s.wanted[c] == 1 {
		s.markDirty(c)
	}
}

// remove removes a subscription to c. It does nothing if there is none.
func (s *subscriptions) remove(c Channel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch n := s.wanted[c]; n {
	case 0:
	case 1:
		delete(s.wanted, c)
		s.markDirty(c)
	default:
		s.wanted[c] = n - 1
	}
}

// markDirty records a change of c. The caller holds s.mu.
func (s *subscriptions) markDirty(c Channel) {
	if !s.connected {
		return // onConnect requests all wanted channels
	}
	s.changes++
	if _, ok := s.dirtySet[c]; !ok {
		s.dirtySet[c] = struct{}{}
		s.dirty = append(s.dirty, c)
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// size returns the number of wanted channels, and of changes that Redis hasn't
// confirmed.
func (s *subscriptions) size() (wanted, unconfirmed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.wanted), int(s.changes - s.confirmedChanges)
}

// onConnect records a new connection, on which nothing has been requested.
// onDisconnect must follow before the next onConnect. The caller passes the
// result to updateSynced.
func (s *subscriptions) onConnect() (startChange uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connected, s.synced = true, len(s.wanted) == 0
	s.requested = make(map[Channel]struct{}, len(s.wanted))
	s.dirty = slices.Collect(maps.Keys(s.wanted))
	s.dirtySet = make(map[Channel]struct{}, len(s.wanted))
	for _, c := range s.dirty {
		s.dirtySet[c] = struct{}{}
	}
	s.inFlight, s.commands, s.confirmations = nil, 0, 0
	s.changes++
	return s.changes
}

// updateSynced reports whether everything that was wanted at onConnect is
// active. Once it has returned true, await blocks for later changes.
func (s *subscriptions) updateSynced(startChange uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.synced = s.synced || s.connected && s.confirmedChanges >= startChange
	return s.synced
}

// onDisconnect records that the connection has ended, and makes all calls of
// await return.
func (s *subscriptions) onDisconnect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connected, s.synced = false, false
	s.requested, s.dirty, s.dirtySet, s.inFlight = nil, nil, nil, nil
	s.confirmedChanges = s.changes
	s.wakeWaiters()
}

// takeChanges returns the channels to subscribe to and those to unsubscribe
// from, and records them as requested. Only the connection's writer may call
// it; it must write the commands in the order of the calls.
func (s *subscriptions) takeChanges() (subscribe, unsubscribe []Channel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.dirty) == 0 && s.changes == s.confirmedChanges {
		return nil, nil
	}
	for _, c := range s.dirty {
		_, requested := s.requested[c]
		switch wanted := s.wanted[c] > 0; {
		case wanted && !requested:
			s.requested[c] = struct{}{}
			subscribe = append(subscribe, c)
		case !wanted && requested:
			delete(s.requested, c)
			unsubscribe = append(unsubscribe, c)
		}
	}
	s.dirty = nil
	clear(s.dirtySet)
	s.commands += uint64(len(subscribe) + len(unsubscribe))
	s.inFlight = append(s.inFlight, requestBatch{changes: s.changes, commands: s.commands})
	s.updateConfirmed()
	return subscribe, unsubscribe
}

// onConfirm records that Redis has confirmed the next channel. Redis confirms
// channels in the order of the commands.
func (s *subscriptions) onConfirm() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.confirmations++
	s.updateConfirmed()
}

// updateConfirmed removes confirmed batches from inFlight. The caller holds
// s.mu.
func (s *subscriptions) updateConfirmed() {
	n := 0
	for ; n < len(s.inFlight) && s.inFlight[n].commands <= s.confirmations; n++ {
		s.confirmedChanges = s.inFlight[n].changes
	}
	if n > 0 {
		s.inFlight = slices.Delete(s.inFlight, 0, n)
		s.wakeWaiters()
	}
}

// wakeWaiters makes all calls of await check again. The caller holds s.mu.
func (s *subscriptions) wakeWaiters() {
	close(s.progress)
	s.progress = make(chan struct{})
}

// await blocks until all changes made before the call are active. It returns
// at once if there is no connection, or if the connection isn't synced yet.
func (s *subscriptions) await(ctx context.Context) error {
	s.mu.Lock()
	target := s.changes
	for {
		if !s.synced || s.confirmedChanges >= target {
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
