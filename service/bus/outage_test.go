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

// A subscriber whose connection Redis ends, because it was too slow or an
// operator wished so, says that something was lost, and hears again.
func TestSubscriberKilled(t *testing.T) {
	server := realservice.Redis(t)
	a, b := dial(t, RedisConfig{Redis: server.URL}), dial(t, RedisConfig{Redis: server.URL})
	b.subscribe(t, User(1), Group(2))
	for i := range 3 {
		if n := server.Client(t, "CLIENT", "KILL", "TYPE", "pubsub"); n != "1" { // a has no subscription
			t.Fatalf("CLIENT KILL: %s", n)
		}
		b.waitUp(t, false)
		if i == 1 { // what changes while there is no connection is in force on the next
			b.Unsubscribe(Group(2))
			b.Subscribe(Group(3))
		}
		b.waitUp(t, true)
		a.publish(t, User(1), fmt.Sprint(i))
		b.waitReceived(t, i+1)
	}
	if got := server.Client(t, "PUBSUB", "CHANNELS"); got != "u:1\ng:3" && got != "g:3\nu:1" {
		t.Errorf("channels: %q", got)
	}
	if n := b.count(t, "chatd_bus_reconnects_total"); n != 3 {
		t.Errorf("%d reconnects were counted", n)
	}
	if len(a.upChanges) > 0 {
		t.Error("a had no part in it")
	}
}

// A Redis that dies and returns empty has everything it needs again without
// a restart of any node: the original's nodes never spoke again.
func TestRedisKilled(t *testing.T) {
	server := realservice.Redis(t)
	a, b := dial(t, RedisConfig{Redis: server.URL}), dial(t, RedisConfig{Redis: server.URL})
	a.subscribe(t, User(1))
	b.subscribe(t, User(2))
	a.publish(t, User(2), "before")
	b.waitReceived(t, 1) // Redis may be killed with it otherwise
	for i := range 2 {
		server.Kill(t)
		a.waitUp(t, false)
		b.waitUp(t, false)
		away(t, a)
		server.Start(t)
		a.waitUp(t, true)
		b.waitUp(t, true)
		b.publish(t, User(1), "again")
		a.publish(t, User(2), "again")
		a.waitReceived(t, i+1)
		b.waitReceived(t, i+2)
	}
	if on, err := a.Online(t.Context(), []int64{1, 2, 3}); err != nil || !slices.Equal(on, []bool{true, true, false}) {
		t.Errorf("Online: %v, %v", on, err)
	}
}

// away checks what a node is promised while Redis isn't there: that nothing
// waits for it, and that nobody is taken for online but one's own users.
func away(t *testing.T, a *testNode) {
	t.Helper()
	if err := a.Publish(t.Context(), []Message{notice(User(2), "lost")}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Publish: %v", err)
	}
	if a.MayHaveSubscribers(User(2)) {
		t.Error("reaches somebody while Redis is away")
	}
	a.subscribe(t, User(9)) // Await doesn't wait
	a.Unsubscribe(User(9))
	if on, err := a.Online(t.Context(), []int64{1, 2}); err != nil || !slices.Equal(on, []bool{true, false}) {
		t.Errorf("Online: %v, %v", on, err)
	}
	if a.Now(t.Context()) == 0 {
		t.Error("there is no time while Redis is away")
	}
}

// A frozen Redis is noticed: by who publishes, within the time of the one
// call, and by who only listens, because nothing comes.
func TestRedisFrozen(t *testing.T) {
	server := realservice.Redis(t)
	a, b := dial(t, RedisConfig{Redis: server.URL, commandTimeout: commandTimeout}), dial(t, RedisConfig{Redis: server.URL})
	a.subscribe(t, User(1))
	b.subscribe(t, User(2))
	server.Stop(t)
	var wg sync.WaitGroup
	for range 4 { // none of them waits for another one
		wg.Go(func() {
			if err := a.Publish(t.Context(), []Message{notice(User(2), "lost")}); err == nil {
				t.Error("a frozen Redis has taken a message")
			}
		})
	}
	wg.Wait()
	a.waitUp(t, false)
	away(t, a)
	b.waitUp(t, false)
	away2 := b.MayHaveSubscribers(User(1))
	server.Cont(t)
	a.waitUp(t, true)
	b.waitUp(t, true)
	if away2 {
		t.Error("reaches somebody through a frozen Redis")
	}
	a.publish(t, User(2), "again")
	got := b.waitReceived(t, 1)
	if last := got[len(got)-1]; last != "u:2 again" { // the lost ones may come after all
		b.waitReceived(t, len(got)+1)
	}
	b.publish(t, User(1), "again")
	a.waitReceived(t, 1)
}

// A node may be there before Redis is.
func TestRedisNotThereAtStart(t *testing.T) {
	server := realservice.Redis(t)
	server.Kill(t)
	a, b := dial(t, RedisConfig{Redis: server.URL}), dial(t, RedisConfig{Redis: server.URL})
	a.subscribe(t, User(1))
	a.waitUp(t, false)
	b.waitUp(t, false)
	away(t, a)
	server.Start(t)
	a.waitUp(t, true)
	b.waitUp(t, true)
	b.publish(t, User(1), "hello")
	a.waitReceived(t, 1)
}

// Ten thousand channels are subscribed to again by themselves, and Redis is
// said to be back only then.
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
				t.Fatalf("CLIENT KILL: %s", killed)
			}
			b.waitUp(t, false)
			b.waitUp(t, true)
		}
		if got := strings.Count(server.Client(t, "PUBSUB", "CHANNELS"), "\n") + 1; got != n {
			t.Fatalf("%d channels are subscribed to", got)
		}
		if err := a.Publish(t.Context(), ms); err != nil {
			t.Fatal(err)
		}
		b.waitReceived(t, (i+1)*n)
	}
}

// A node that can't keep up is cut off by Redis before that runs out of memory.
// The node must notice, say that it has lost something, and hear again.
func TestSubscriberTooSlow(t *testing.T) {
	server := realservice.Redis(t, "--client-output-buffer-limit", "pubsub", "1mb", "0", "0")
	a, b := dial(t, RedisConfig{Redis: server.URL}), dial(t, RedisConfig{Redis: server.URL})
	b.subscribe(t, User(1))
	b.mu.Lock() // receive blocks
	long := strings.Repeat("x", 1<<20)
	for server.Client(t, "PUBSUB", "CHANNELS") != "" {
		a.publish(t, User(1), long)
	}
	b.mu.Unlock()
	b.waitUp(t, false)
	b.waitUp(t, true)
	a.publish(t, User(1), "again")
	for n := 1; ; n++ {
		if got := b.waitReceived(t, n); got[len(got)-1] == "u:1 again" {
			break
		}
	}
}

// stuck is a way to Redis that can stop carrying what comes back on the
// connections that it has.
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
			s.wg.Go(func() { s.carry(out, in) })
			s.wg.Go(func() { s.carry(in, out) })
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

func (s *haltingProxy) carry(to, from net.Conn) {
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
			continue // swallowed: the other side waits
		}
		if _, err := to.Write(b[:n]); err != nil {
			from.Close()
			return
		}
	}
}

// halt stops all connections that there are.
func (s *haltingProxy) halt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pairs {
		s.halted[p[0]], s.halted[p[1]] = true, true
	}
}

// A call must not wait behind one that is stuck, nor use its connection: it
// might take the other one's answer for its own.
func TestPublishBesideAStuckOne(t *testing.T) {
	server := realservice.Redis(t)
	way := newHaltingProxy(t, strings.TrimPrefix(server.URL, "redis://"))
	b := dial(t, RedisConfig{Redis: server.URL})
	b.subscribe(t, User(1))
	a := dial(t, RedisConfig{Redis: "redis://" + way.l.Addr().String(), commandTimeout: 3 * time.Second}) // of the stuck call
	a.publish(t, User(1), "one")                                                                          // its connection is idle then
	way.halt()
	stuckOne := make(chan error, 1)
	go func() { stuckOne <- a.Publish(t.Context(), []Message{notice(User(1), "lost")}) }()
	for len(a.pool.slots) == 0 && len(stuckOne) == 0 { // until it has the idle connection
		runtime.Gosched()
	}
	if err := a.Publish(t.Context(), []Message{notice(User(1), "two")}); err != nil {
		t.Errorf("the second call: %v", err)
	}
	if err := <-stuckOne; err == nil {
		t.Error("the stuck call says that it has published")
	}
	a.waitUp(t, false)
	for up := true; ; { // its ears are on a halted connection as well
		if up = <-a.upChanges; up {
			break
		}
	}
	a.publish(t, User(1), "three")
	if got := b.waitReceived(t, 3); !slices.Equal(got, []string{"u:1 one", "u:1 two", "u:1 three"}) {
		t.Errorf("received %q", got)
	}
}
