package bus

import (
	"context"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// subscriptionsModel is the state that subscriptions should be in, and the
// Redis at the other end of its connection.
type subscriptionsModel struct {
	*subscriptions
	want        map[Channel]int  // number of add without a remove
	redis       map[Channel]bool // what Redis has confirmed on this connection
	pending     []Channel        // unconfirmed, in the order of the commands
	requests    map[Channel]bool // the result of the commands on this connection
	startChange uint64
	online      bool // there is a connection
}

func (m *subscriptionsModel) connect() {
	m.startChange, m.online = m.onConnect(), true
	m.redis, m.requests, m.pending = map[Channel]bool{}, map[Channel]bool{}, nil
}

// write sends the changes to the Redis of the model.
func (m *subscriptionsModel) write(t *rapid.T) {
	subscribe, unsubscribe := m.takeChanges()
	for _, c := range subscribe {
		if m.requests[c] {
			t.Fatalf("SUBSCRIBE %v was sent twice", c)
		}
		m.requests[c] = true
		m.pending = append(m.pending, c)
	}
	for _, c := range unsubscribe {
		if !m.requests[c] {
			t.Fatalf("UNSUBSCRIBE %v was sent without a subscription", c)
		}
		m.requests[c] = false
		m.pending = append(m.pending, c)
	}
}

// confirm makes Redis confirm the first pending channel.
func (m *subscriptionsModel) confirm() {
	c := m.pending[0]
	m.redis[c] = !m.redis[c]
	m.pending = m.pending[1:]
	m.onConfirm()
}

func (m *subscriptionsModel) awaitBlocks() bool {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return errors.Is(m.await(ctx), context.Canceled)
}

// check fails if Redis doesn't have exactly the wanted channels.
func (m *subscriptionsModel) check(t *rapid.T, when string) {
	for c, n := range m.want {
		if m.redis[c] != (n > 0) {
			t.Fatalf("%s: %v is wanted %d times, but subscribed: %v", when, c, n, m.redis[c])
		}
	}
	for c, subscribed := range m.redis {
		if subscribed && m.want[c] == 0 {
			t.Fatalf("%s: %v is subscribed but not wanted", when, c)
		}
	}
}

// In any order of Subscribe, Unsubscribe, writes, confirmations and lost
// connections: the channels requested from Redis end up as the wanted ones, no
// command is sent twice, and await blocks exactly while there is a connection
// and an earlier change isn't confirmed.
func TestSubscriptionsAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &subscriptionsModel{subscriptions: newSubscriptions(), want: map[Channel]int{}}
		channel := rapid.Custom(func(t *rapid.T) Channel {
			return Channel{ChannelKind(rapid.IntRange(0, 2).Draw(t, "kind")), int64(rapid.IntRange(1, 3).Draw(t, "id"))}
		})
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				c := channel.Draw(t, "c")
				m.want[c]++
				m.add(c)
			},
			"remove": func(t *rapid.T) {
				c := channel.Draw(t, "c")
				m.want[c] = max(0, m.want[c]-1)
				m.remove(c)
			},
			"write": func(t *rapid.T) {
				if m.online {
					m.write(t)
				}
			},
			"confirm": func(t *rapid.T) {
				if len(m.pending) > 0 {
					m.confirm()
				}
			},
			"connect": func(t *rapid.T) {
				if !m.online {
					m.connect()
				}
			},
			"disconnect": func(t *rapid.T) {
				if m.online {
					m.onDisconnect()
					m.online, m.pending = false, nil
				}
			},
			"sync": func(t *rapid.T) {
				if m.online && m.updateSynced(m.startChange) && len(m.pending) == 0 && !m.awaitBlocks() {
					m.check(t, "await returns")
				}
			},
			"": func(t *rapid.T) {
				if !m.online && m.awaitBlocks() {
					t.Fatal("await blocks without a connection, want it to return")
				}
				if n, _ := m.size(); n != wantedChannels(m.want) {
					t.Fatalf("size: %d wanted channels, want %d", n, wantedChannels(m.want))
				}
			},
		})
		// Once everything is written and confirmed, Redis has what is wanted.
		if !m.online {
			m.connect()
		}
		m.write(t)
		for len(m.pending) > 0 {
			m.confirm()
		}
		if !m.updateSynced(m.startChange) || m.awaitBlocks() {
			t.Fatal("everything is confirmed, but updateSynced is false or await blocks")
		}
		m.check(t, "everything is confirmed")
	})
}

// wantedChannels counts the channels that are wanted at least once.
func wantedChannels(want map[Channel]int) (n int) {
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
