package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"chatd/internal/realservice"
)

// The bus between nodes has to behave as the one within a process.
func TestRedis(t *testing.T) {
	server := realservice.Redis(t)
	var nodes []*Redis
	var mu sync.Mutex
	passed := make(map[string]chan struct{}) // barriers
	publisher := dial(t, RedisConfig{Redis: server.URL})
	join := func(receive func([]Message)) testBus {
		mark := User(int64(1_000_000 + len(nodes)))
		c := make(chan struct{}, 1)
		mu.Lock()
		passed[mark.String()] = c
		mu.Unlock()
		r, err := DialRedis(t.Context(), RedisConfig{Redis: server.URL}, func(ms []Message) {
			if ms[0].Channel == mark {
				c <- struct{}{}
				return
			}
			receive(ms)
		}, func(up bool) { t.Errorf("told that Redis is up: %v", up) })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := r.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
		r.Subscribe(mark)
		if err := r.Await(t.Context()); err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, r)
		return r
	}
	// What Redis has sent a node before the mark is there before the mark.
	barrier := func() {
		for i := range nodes {
			mark := User(int64(1_000_000 + i))
			publisher.publish(t, mark, "")
			<-passed[mark.String()]
		}
	}
	suite(t, join, barrier)
}

// All that one Publish has for a channel is one payload, so that a group's
// messages cost Redis and the other nodes once per batch.
func TestOnePayloadForAChannel(t *testing.T) {
	server := realservice.Redis(t)
	a, b := dial(t, RedisConfig{Redis: server.URL}), dial(t, RedisConfig{Redis: server.URL})
	b.subscribe(t, User(1), Group(1))
	err := a.Publish(t.Context(), []Message{notice(User(1), "1"), notice(Group(1), "2"), notice(User(1), "3"), notice(User(2), "4"), notice(Group(1), "5")})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := b.waitReceived(t, 4), []string{"u:1 1", "u:1 3", "g:1 2", "g:1 5"}; !slices.Equal(got, want) {
		t.Errorf("received %q, want %q", got, want)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.calls) != 2 {
		t.Errorf("%d payloads for two channels", len(b.calls))
	}
}

// A node knows its echoes by a random id: two nodes of one name hear each
// other, and none hears itself.
func TestEchoes(t *testing.T) {
	server := realservice.Redis(t)
	a := dial(t, RedisConfig{Redis: server.URL, Node: "same"})
	b := dial(t, RedisConfig{Redis: server.URL, Node: "same"})
	a.subscribe(t, User(1))
	b.subscribe(t, User(1))
	a.publish(t, User(1), "from a")
	b.publish(t, User(1), "from b")
	if got := b.waitReceived(t, 1); !slices.Equal(got, []string{"u:1 from a"}) {
		t.Errorf("b received %q", got)
	}
	if got := a.waitReceived(t, 1); !slices.Equal(got, []string{"u:1 from b"}) { // and before it, its own
		t.Errorf("a received %q", got)
	}
	if n := a.count(t, "chatd_bus_echoes_total"); n != 1 {
		t.Errorf("%d echoes were counted at a", n)
	}
}

// Several writers of a node publish at once: the order of each is kept.
func TestConcurrentPublishers(t *testing.T) {
	server := realservice.Redis(t)
	a, b := dial(t, RedisConfig{Redis: server.URL}), dial(t, RedisConfig{Redis: server.URL})
	const writers, each = 4, 200
	b.subscribe(t, Group(1))
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := a.Publish(t.Context(), []Message{notice(Group(1), fmt.Sprintf("%d %d", w, i))}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	var next [writers]int
	for _, m := range b.waitReceived(t, writers*each) {
		var w, i int
		if _, err := fmt.Sscanf(m, "g:1 %d %d", &w, &i); err != nil {
			t.Fatal(err)
		}
		if i != next[w] {
			t.Fatalf("writer %d: %d comes where %d should", w, i, next[w])
		}
		next[w]++
	}
}

// A node that has just left a user's channel must not take its own last
// subscription for another node's: nobody would hear that the user is offline.
func TestOnlineAfterUnsubscribe(t *testing.T) {
	server := realservice.Redis(t)
	a, b := dial(t, RedisConfig{Redis: server.URL}), dial(t, RedisConfig{Redis: server.URL})
	for i := range 200 {
		u := int64(i)
		a.subscribe(t, User(u))
		a.Unsubscribe(User(u))
		if on, err := a.Online(t.Context(), []int64{u}); err != nil || on[0] {
			t.Fatalf("user %d is online on no node: %v, %v", u, on, err)
		}
	}
	// More than one command's worth of users, some of them online.
	users, want := make([]int64, 3*channelBatch+7), make([]bool, 3*channelBatch+7)
	for i := range users {
		users[i], want[i] = int64(1000+i), i%3 != 0
		switch i % 3 {
		case 1:
			a.Subscribe(User(users[i]))
		case 2:
			b.Subscribe(User(users[i]))
		}
	}
	b.subscribe(t)
	if on, err := a.Online(t.Context(), users); err != nil || !slices.Equal(on, want) {
		t.Errorf("Online is wrong: %v", err)
	}
}

// Nodes of another release, and what isn't a node at all, may speak on the
// same channels: it is counted, and what this node understands is heard.
func TestStrangePayloads(t *testing.T) {
	server := realservice.Redis(t)
	a, b := dial(t, RedisConfig{Redis: server.URL}), dial(t, RedisConfig{Redis: server.URL})
	b.subscribe(t, User(1))
	c, err := redis.DialURL(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	other := appendHeader(nil, senderID{1})
	newer := slices.Clone(other)
	newer[0] = version + 1
	before, behind := notice(User(1), "before").Payload, notice(User(1), "behind").Payload
	mixed := appendPayload(slices.Clone(other), &before)
	mixed = append(mixed, 2, 200, 1) // two bytes of a kind from the future
	mixed = appendPayload(mixed, &behind)
	for _, p := range [][]byte{newer, mixed, {}, {version}, append(slices.Clone(other), 200, 200, 1), []byte("hello")} {
		if _, err := c.Do("PUBLISH", "u:1", p); err != nil {
			t.Fatal(err)
		}
	}
	a.publish(t, User(1), "end")
	if got, want := b.waitReceived(t, 3), []string{"u:1 before", "u:1 behind", "u:1 end"}; !slices.Equal(got, want) {
		t.Errorf("received %q, want %q", got, want)
	}
	if unknown, broken := b.count(t, "chatd_bus_unknown_versions_total"), b.count(t, "chatd_bus_broken_total"); unknown != 3 || broken != 3 {
		t.Errorf("%d of an unknown version, %d broken", unknown, broken) // newer, "hello", the future; empty, cut short twice
	}
}

// The clock that decides which of two logins is the older one is Redis's.
func TestNow(t *testing.T) {
	server := realservice.Redis(t)
	a := dial(t, RedisConfig{Redis: server.URL})
	ask := func() int64 {
		f := strings.Fields(server.Client(t, "TIME"))
		s, err1 := strconv.ParseInt(f[0], 10, 64)
		us, err2 := strconv.ParseInt(f[1], 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		return s*1e6 + us
	}
	before, now, after := ask(), a.Now(t.Context()), ask()
	if now < before || now > after {
		t.Errorf("%d isn't between %d and %d", now, before, after)
	}
	server.Kill(t)
	a.waitUp(t, false)
	if now := a.Now(t.Context()); now < before {
		t.Errorf("while Redis is away it is %d, before it was %d", now, before)
	}
}

// Close lets nobody wait, and may come at any time.
func TestClose(t *testing.T) {
	server := realservice.Redis(t)
	a := dial(t, RedisConfig{Redis: server.URL})
	a.subscribe(t, User(1))
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.Subscribe(User(2))
	if err := a.Await(t.Context()); err != nil {
		t.Errorf("Await: %v", err)
	}
	if err := a.Publish(t.Context(), []Message{notice(User(1), "")}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Publish: %v", err)
	}
	if a.MayHaveSubscribers(User(1)) {
		t.Error("reaches somebody")
	}
	select {
	case up := <-a.upChanges:
		t.Errorf("told that Redis is up: %v", up)
	default:
	}

	frozen := dial(t, RedisConfig{Redis: server.URL})
	server.Stop(t)
	frozen.Subscribe(User(1))
	done := make(chan error, 1)
	go func() { done <- frozen.Await(context.Background()) }()
	if err := frozen.Close(t.Context()); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := <-done; err != nil {
		t.Errorf("Await: %v", err)
	}
	server.Cont(t)
}

// An Await that the caller gives up is the caller's error alone.
func TestAwaitGivenUp(t *testing.T) {
	server := realservice.Redis(t)
	a := dial(t, RedisConfig{Redis: server.URL})
	server.Stop(t)
	defer server.Cont(t)
	a.Subscribe(User(1))
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := a.Await(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Await: %v", err)
	}
}
