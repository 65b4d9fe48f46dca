package bus

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"chatd/internal/realservice"
)

// If Redis closes the subscriber connection, the node reports that messages may
// be lost, reconnects and subscribes again.
func TestSubscriberKilled(t *testing.T) {
	server := realservice.Redis(t)
	a, b := dial(t, RedisConfig{Redis: server.URL}), dial(t, RedisConfig{Redis: server.URL})
	b.subscribe(t, User(1), Group(2))
	for i := range 3 {
		if n := server.Client(t, "CLIENT", "KILL", "TYPE", "pubsub"); n != "1" { // a has no subscription
			t.Fatalf("CLIENT KILL closed %s connections, want 1", n)
		}
		b.waitUp(t, false)
		if i == 1 { // changes made without a connection are active on the next one
			b.Unsubscribe(Group(2))
			b.Subscribe(Group(3))
		}
		b.waitUp(t, true)
		a.publish(t, User(1), fmt.Sprint(i))
		b.waitReceived(t, i+1)
	}
	if got := server.Client(t, "PUBSUB", "CHANNELS"); got != "u:1\ng:3" && got != "g:3\nu:1" {
		t.Errorf("subscribed channels: %q, want u:1 and g:3", got)
	}
	if n := b.count(t, "chatd_bus_reconnects_total"); n != 3 {
		t.Errorf("chatd_bus_reconnects_total is %d, want 3", n)
	}
	if len(a.upChanges) > 0 {
		t.Error("node a reported a change, want none: its connection was not closed")
	}
}

// After Redis is killed and started again, without data, all nodes reconnect
// and subscribe again by themselves.
func TestRedisKilled(t *testing.T) {
	server := realservice.Redis(t)
	a, b := dial(t, RedisConfig{Redis: server.URL}), dial(t, RedisConfig{Redis: server.URL})
	a.subscribe(t, User(1))
	b.subscribe(t, User(2))
	a.publish(t, User(2), "before")
	b.waitReceived(t, 1) // so that Redis isn't killed before it delivers it
	for i := range 2 {
		server.Kill(t)
		a.waitUp(t, false)
		b.waitUp(t, false)
		checkUnavailable(t, a)
		server.Start(t)
		a.waitUp(t, true)
		b.waitUp(t, true)
		b.publish(t, User(1), "again")
		a.publish(t, User(2), "again")
		a.waitReceived(t, i+1)
		b.waitReceived(t, i+2)
	}
}

// checkUnavailable checks the methods of a node while Redis is unavailable: none
// blocks.
func checkUnavailable(t *testing.T, a *testNode) {
	t.Helper()
	if err := a.Publish(t.Context(), []Message{notice(User(2), "lost")}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Publish: %v, want ErrUnavailable", err)
	}
	if a.MayHaveSubscribers(User(2)) {
		t.Error("MayHaveSubscribers: true while Redis is unavailable, want false")
	}
	a.subscribe(t, User(9)) // Await returns at once
	a.Unsubscribe(User(9))
}

// A Redis that accepts connections but doesn't answer is detected: by a Publish,
// which times out, and by a subscriber, whose PING gets no reply.
func TestRedisFrozen(t *testing.T) {
	server := realservice.Redis(t)
	a, b := dial(t, RedisConfig{Redis: server.URL, commandTimeout: commandTimeout}), dial(t, RedisConfig{Redis: server.URL})
	a.subscribe(t, User(1))
	b.subscribe(t, User(2))
	server.Stop(t)
	var wg sync.WaitGroup
	for range 4 { // no call waits for another
		wg.Go(func() {
			if err := a.Publish(t.Context(), []Message{notice(User(2), "lost")}); err == nil {
				t.Error("Publish to a frozen Redis returned nil, want an error")
			}
		})
	}
	wg.Wait()
	a.waitUp(t, false)
	checkUnavailable(t, a)
	b.waitUp(t, false)
	mayHave := b.MayHaveSubscribers(User(1))
	server.Cont(t)
	a.waitUp(t, true)
	b.waitUp(t, true)
	if mayHave {
		t.Error("MayHaveSubscribers: true while Redis is frozen, want false")
	}
	a.publish(t, User(2), "again")
	got := b.waitReceived(t, 1)
	if last := got[len(got)-1]; last != "u:2 again" { // Redis may deliver the lost ones now, before or after
		b.waitReceived(t, len(got)+1)
	}
	b.publish(t, User(1), "again")
	a.waitReceived(t, 1)
}

// A node can start before Redis does.
func TestRedisStartsLater(t *testing.T) {
	server := realservice.Redis(t)
	server.Kill(t)
	a, b := dial(t, RedisConfig{Redis: server.URL}), dial(t, RedisConfig{Redis: server.URL})
	a.subscribe(t, User(1))
	a.waitUp(t, false)
	b.waitUp(t, false)
	checkUnavailable(t, a)
	server.Start(t)
	a.waitUp(t, true)
	b.waitUp(t, true)
	b.publish(t, User(1), "hello")
	a.waitReceived(t, 1)
}

// After a reconnect all of 10,000 channels are subscribed to again before the
// node reports that Redis is available.
func TestResubscribe(t *testing.T) {
	server := realservice.Redis(t)
	a, b := dial(t, RedisConfig{Redis: server.URL}), dial(t, RedisConfig{Redis: server.URL})
	const n = 10_000
	var channels []Channel
	var ms []Message
	for i := range n {
		channels = append(channels, Group(int64(i)))
		ms = append(ms, notice(Group(int64(i)), "x"))
	}
	b.subscribe(t, channels...)
	for i := range 3 {
		if i > 0 {
			if killed := server.Client(t, "CLIENT", "KILL", "TYPE", "pubsub"); killed != "1" {
				t.Fatalf("CLIENT KILL closed %s connections, want 1", killed)
			}
			b.waitUp(t, false)
			b.waitUp(t, true)
		}
		if got := strings.Count(server.Client(t, "PUBSUB", "CHANNELS"), "\n") + 1; got != n {
			t.Fatalf("%d channels are subscribed to, want %d", got, n)
		}
		if err := a.Publish(t.Context(), ms); err != nil {
			t.Fatal(err)
		}
		b.waitReceived(t, (i+1)*n)
	}
}

// Redis disconnects a node that reads too slowly. The node must report that
// messages may be lost, and subscribe again.
func TestSubscriberTooSlow(t *testing.T) {
	server := realservice.Redis(t, "--client-output-buffer-limit", "pubsub", "1mb", "0", "0")
	a, b := dial(t, RedisConfig{Redis: server.URL}), dial(t, RedisConfig{Redis: server.URL})
	b.subscribe(t, User(1))
	b.mu.Lock() // blocks receive
	long := strings.Repeat("x", 1<<20)
	for server.Client(t, "PUBSUB", "CHANNELS") != "" {
		a.publish(t, User(1), long)
	}
	b.mu.Unlock()
	b.waitUp(t, false)
	b.waitUp(t, true)
	// The node may have reconnected before PUBSUB CHANNELS was asked, and been
	// disconnected again. A message published in between is lost.
	for end := time.Now().Add(testTimeout); !b.hasReceived("u:1 again"); {
		if time.Now().After(end) {
			t.Fatalf("no message arrives after the reconnect; the log:\n%s", b.log.String())
		}
		a.publish(t, User(1), "again")
		select {
		case <-b.wake:
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// haltingProxy is a TCP proxy to Redis. halt makes it discard all data on its
// current connections, without closing them.
type haltingProxy struct {
	l      net.Listener
	mu     sync.Mutex
	pairs  [][2]net.Conn
	halted map[net.Conn]bool
	wg     sync.WaitGroup
}

func newHaltingProxy(t *testing.T, to string) *haltingProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &haltingProxy{l: l, halted: make(map[net.Conn]bool)}
	s.wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				t.Error(err)
				in.Close()
				return
			}
			s.mu.Lock()
			s.pairs = append(s.pairs, [2]net.Conn{in, out})
			s.mu.Unlock()
			s.wg.Go(func() { s.copy(out, in) })
			s.wg.Go(func() { s.copy(in, out) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		s.mu.Lock()
		for _, p := range s.pairs {
			p[0].Close()
			p[1].Close()
		}
		s.mu.Unlock()
		s.wg.Wait()
	})
	return s
}

func (s *haltingProxy) copy(to, from net.Conn) {
	b := make([]byte, 4096)
	for {
		n, err := from.Read(b)
		s.mu.Lock()
		halted := s.halted[to] || s.halted[from]
		s.mu.Unlock()
		if err != nil {
			to.Close()
			return
		}
		if halted {
			continue
		}
		if _, err := to.Write(b[:n]); err != nil {
			from.Close()
			return
		}
	}
}

// halt stops the current connections. Later ones work.
func (s *haltingProxy) halt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pairs {
		s.halted[p[0]], s.halted[p[1]] = true, true
	}
}

// A call must not wait for another call that is blocked, nor use that call's
// connection: it could take the reply to the other command for its own.
func TestPublishWhileAnotherBlocks(t *testing.T) {
	server := realservice.Redis(t)
	proxy := newHaltingProxy(t, strings.TrimPrefix(server.URL, "redis://"))
	b := dial(t, RedisConfig{Redis: server.URL})
	b.subscribe(t, User(1))
	a := dial(t, RedisConfig{Redis: "redis://" + proxy.l.Addr().String(), commandTimeout: 3 * time.Second}) // for the blocked call
	a.publish(t, User(1), "one")                                                                            // leaves an idle connection
	proxy.halt()
	blocked := make(chan error, 1)
	go func() { blocked <- a.Publish(t.Context(), []Message{notice(User(1), "lost")}) }()
	for len(a.pool.slots) == 0 && len(blocked) == 0 { // until it has taken the idle connection
		runtime.Gosched()
	}
	if err := a.Publish(t.Context(), []Message{notice(User(1), "two")}); err != nil {
		t.Errorf("the second Publish: %v, want no error", err)
	}
	if err := <-blocked; err == nil {
		t.Error("the blocked Publish returned nil, want an error")
	}
	a.waitUp(t, false)
	for up := true; ; { // its subscriber connection is halted as well
		if up = <-a.upChanges; up {
			break
		}
	}
	a.publish(t, User(1), "three")
	if got := b.waitReceived(t, 3); !slices.Equal(got, []string{"u:1 one", "u:1 two", "u:1 three"}) {
		t.Errorf("received %q, want one, two and three on u:1, in this order", got)
	}
}
