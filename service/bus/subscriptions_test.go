package bus

import (
	"context"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// In any order of Subscribe, Unsubscribe, writes, confirmations and lost
// connections: the channels requested from Redis end up as the wanted ones, no
// command is sent twice, and await blocks exactly while there is a connection
// and an earlier change isn't confirmed.
func TestSubscriptionsAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSubscriptions()
		want := map[Channel]int{}
		redis := map[Channel]bool{}     // what Redis has confirmed on this connection
		pending := []Channel{}          // unconfirmed, in the order of the commands
		requested := map[Channel]bool{} // the result of the commands on this connection
		startChange, connected := uint64(0), false
		channel := rapid.Custom(func(t *rapid.T) Channel {
			return Channel{rapid.Bool().Draw(t, "group"), int64(rapid.IntRange(1, 3).Draw(t, "id"))}
		})
		write := func() {
			subscribe, unsubscribe := s.takeChanges()
			for _, c := range subscribe {
				if requested[c] {
					t.Fatalf("SUBSCRIBE %v was sent twice", c)
				}
				requested[c] = true
				pending = append(pending, c)
			}
			for _, c := range unsubscribe {
				if !requested[c] {
					t.Fatalf("UNSUBSCRIBE %v was sent without a subscription", c)
				}
				requested[c] = false
				pending = append(pending, c)
			}
		}
		awaitBlocks := func() bool {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			return errors.Is(s.await(ctx), context.Canceled)
		}
		confirm := func() {
			redis[pending[0]] = !redis[pending[0]]
			pending = pending[1:]
			s.onConfirm()
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				c := channel.Draw(t, "c")
				want[c]++
				s.add(c)
			},
			"remove": func(t *rapid.T) {
				c := channel.Draw(t, "c")
				want[c] = max(0, want[c]-1)
				s.remove(c)
			},
			"write": func(t *rapid.T) {
				if connected {
					write()
				}
			},
			"confirm": func(t *rapid.T) {
				if len(pending) > 0 {
					confirm()
				}
			},
			"connect": func(t *rapid.T) {
				if !connected {
					startChange, connected = s.onConnect(), true
					redis, requested, pending = map[Channel]bool{}, map[Channel]bool{}, nil
				}
			},
			"disconnect": func(t *rapid.T) {
				if connected {
					s.onDisconnect()
					connected, pending = false, nil
				}
			},
			"sync": func(t *rapid.T) {
				if connected && s.updateSynced(startChange) && len(pending) == 0 && !awaitBlocks() {
					for c, n := range want {
						if redis[c] != (n > 0) {
							t.Fatalf("await returns, but %v is wanted %d times and subscribed: %v", c, n, redis[c])
						}
					}
				}
			},
			"": func(t *rapid.T) {
				if !connected && awaitBlocks() {
					t.Fatal("await blocks without a connection, want it to return")
				}
				if n, _ := s.size(); n != wanted(want) {
					t.Fatalf("size: %d wanted channels, want %d", n, wanted(want))
				}
			},
		})
		// Once everything is written and confirmed, Redis has what is wanted.
		if !connected {
			startChange = s.onConnect()
			redis, requested, pending = map[Channel]bool{}, map[Channel]bool{}, nil
		}
		write()
		for len(pending) > 0 {
			confirm()
		}
		if !s.updateSynced(startChange) || awaitBlocks() {
			t.Fatal("everything is confirmed, but updateSynced is false or await blocks")
		}
		for c, n := range want {
			if redis[c] != (n > 0) {
				t.Fatalf("%v is wanted %d times, but subscribed: %v", c, n, redis[c])
			}
		}
		for c, on := range redis {
			if on && want[c] == 0 {
				t.Fatalf("%v is subscribed but not wanted", c)
			}
		}
	})
}

func wanted(want map[Channel]int) (n int) {
	for _, k := range want {
		if k > 0 {
			n++
		}
	}
	return n
}

// await returns once the changes before the call are confirmed, not earlier.
func TestAwaitWaitsForEarlierChanges(t *testing.T) {
	s := newSubscriptions()
	startChange := s.onConnect()
	s.takeChanges()
	if !s.updateSynced(startChange) {
		t.Fatal("updateSynced: false with no channels, want true")
	}
	s.add(User(1))
	s.takeChanges()
	s.add(User(2))
	first, second := make(chan error, 1), make(chan error, 1)
	s.onConfirm() // u:1
	go func() { second <- s.await(context.Background()) }()
	select {
	case err := <-second:
		t.Errorf("await returned %v before u:2 was confirmed", err)
	default:
	}
	s.takeChanges()
	s.onConfirm()
	go func() { first <- s.await(context.Background()) }()
	for _, c := range []chan error{first, second} {
		if err := <-c; err != nil {
			t.Error(err)
		}
	}
}

// Changes that cancel each other out before they are written are not sent.
func TestCancelledChangesAreNotSent(t *testing.T) {
	s := newSubscriptions()
	s.onConnect()
	s.add(User(1))
	s.remove(User(1))
	s.add(User(1))
	s.add(User(2))
	s.remove(User(2))
	s.remove(User(2)) // without a subscription
	if subscribe, unsubscribe := s.takeChanges(); len(subscribe) != 1 || subscribe[0] != User(1) || len(unsubscribe) != 0 {
		t.Errorf("subscribe %v, unsubscribe %v; want only u:1 to subscribe", subscribe, unsubscribe)
	}
	s.add(User(2))
	if subscribe, _ := s.takeChanges(); len(subscribe) != 1 {
		t.Errorf("subscribe after a surplus Unsubscribe: %v, want u:2", subscribe)
	}
}
