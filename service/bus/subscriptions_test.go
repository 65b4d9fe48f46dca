package bus

import (
	"context"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// Whatever the order of Subscribe, Unsubscribe, of what is written and what
// is confirmed, and of connections that end: what Redis has been told is in
// the end what is wanted, no command is given twice, and Await returns when
// and only when what it was asked about is in force, or nobody is there.
func TestSubscriptionsAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSubscriptions()
		want := map[Channel]int{}
		redis := map[Channel]bool{} // what the connection has confirmed
		owed := []Channel{}         // confirmations on their way, in the order of the commands
		told := map[Channel]bool{}  // what the commands come to
		begin, connected := uint64(0), false
		channel := rapid.Custom(func(t *rapid.T) Channel {
			return Channel{rapid.Bool().Draw(t, "group"), int64(rapid.IntRange(1, 3).Draw(t, "id"))}
		})
		pass := func() {
			on, off := s.takeChanges()
			for _, c := range on {
				if told[c] {
					t.Fatalf("%v is subscribed to twice", c)
				}
				told[c] = true
				owed = append(owed, c)
			}
			for _, c := range off {
				if !told[c] {
					t.Fatalf("%v is left twice", c)
				}
				told[c] = false
				owed = append(owed, c)
			}
		}
		waits := func() bool {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			return errors.Is(s.await(ctx), context.Canceled)
		}
		confirm := func() {
			redis[owed[0]] = !redis[owed[0]]
			owed = owed[1:]
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
					pass()
				}
			},
			"confirm": func(t *rapid.T) {
				if len(owed) > 0 {
					confirm()
				}
			},
			"connect": func(t *rapid.T) {
				if !connected {
					begin, connected = s.onConnect(), true
					redis, told, owed = map[Channel]bool{}, map[Channel]bool{}, nil
				}
			},
			"lose": func(t *rapid.T) {
				if connected {
					s.onDisconnect()
					connected, owed = false, nil
				}
			},
			"arrive": func(t *rapid.T) {
				if connected && s.updateSynced(begin) && len(owed) == 0 && !waits() {
					for c, n := range want {
						if redis[c] != (n > 0) {
							t.Fatalf("nobody waits, and %v is wanted %d times and subscribed: %v", c, n, redis[c])
						}
					}
				}
			},
			"": func(t *rapid.T) {
				if !connected && waits() {
					t.Fatal("Await waits without a connection")
				}
				if n, _ := s.size(); n != wanted(want) {
					t.Fatalf("%d channels are wanted, not %d", n, wanted(want))
				}
			},
		})
		// Left alone, all comes to what is wanted.
		if !connected {
			begin = s.onConnect()
			redis, told, owed = map[Channel]bool{}, map[Channel]bool{}, nil
		}
		pass()
		for len(owed) > 0 {
			confirm()
		}
		if !s.updateSynced(begin) || waits() {
			t.Fatal("all is confirmed, and it isn't noticed")
		}
		for c, n := range want {
			if redis[c] != (n > 0) {
				t.Fatalf("%v is wanted %d times, and subscribed: %v", c, n, redis[c])
			}
		}
		for c, on := range redis {
			if on && want[c] == 0 {
				t.Fatalf("%v is subscribed and not wanted", c)
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

// Await returns with the confirmation, and not with an earlier one.
func TestAwaitIsForWhatCameBefore(t *testing.T) {
	s := newSubscriptions()
	begin := s.onConnect()
	s.takeChanges()
	if !s.updateSynced(begin) {
		t.Fatal("nothing is wanted, and it isn't in force")
	}
	s.add(User(1))
	s.takeChanges()
	s.add(User(2))
	first, second := make(chan error, 1), make(chan error, 1)
	s.onConfirm() // u:1
	go func() { second <- s.await(context.Background()) }()
	select {
	case err := <-second:
		t.Errorf("Await returns before u:2 is confirmed: %v", err)
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

// What is subscribed to, left and subscribed to again before it was written
// costs one command, and what is left again none.
func TestWhatCancelsOutIsNotSent(t *testing.T) {
	s := newSubscriptions()
	s.onConnect()
	s.add(User(1))
	s.remove(User(1))
	s.add(User(1))
	s.add(User(2))
	s.remove(User(2))
	s.remove(User(2)) // one too many
	if on, off := s.takeChanges(); len(on) != 1 || on[0] != User(1) || len(off) != 0 {
		t.Errorf("on %v, off %v", on, off)
	}
	s.add(User(2))
	if on, _ := s.takeChanges(); len(on) != 1 {
		t.Errorf("a subscription after one Unsubscribe too many is not sent: %v", on)
	}
}
