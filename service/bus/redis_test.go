package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"chatd/internal/realservice"
)

// Redis passes the same test as Hub.
func TestRedis(t *testing.T) {
	server := realservice.Redis(t)
	var nodes []*Redis
	var mu sync.Mutex
	reached := make(map[string]chan struct{}) // by the name of the node's barrier channel
	publisher := dial(t, RedisConfig{Redis: server.URL})
	join := func(receive func([]Message)) Bus {
		mark := User(int64(1_000_000 + len(nodes)))
		c := make(chan struct{}, 1)
		mu.Lock()
		reached[mark.String()] = c
		mu.Unlock()
		r, err := DialRedis(t.Context(), RedisConfig{Redis: server.URL}, func(ms []Message) {
			if ms[0].Channel == mark {
				c <- struct{}{}
				return
			}
			receive(ms)
		}, func(up bool) { t.Errorf("onChange(%v), want no call", up) })
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
	// Redis delivers to each node in order, so a node that has received the mark
	// has received everything before it.
	barrier := func() {
		for i := range nodes {
			mark := User(int64(1_000_000 + i))
			publisher.publish(t, mark, "")
			<-reached[mark.String()]
		}
	}
	testBus(t, join, barrier)
}

// All messages of one Publish for a channel are one Redis message, so that the
// cost per group is one message per batch.
func TestOneEnvelopePerChannel(t *testing.T) {
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
		t.Errorf("%d envelopes for two channels, want 2", len(b.calls))
	}
}

// A node recognizes its own messages by a random id. So two nodes with the same
// name receive each other's messages, and neither receives its own.
func TestEchoes(t *testing.T) {
	server := realservice.Redis(t)
	a := dial(t, RedisConfig{Redis: server.URL, Node: "same"})
	b := dial(t, RedisConfig{Redis: server.URL, Node: "same"})
	a.subscribe(t, User(1))
	b.subscribe(t, User(1))
	a.publish(t, User(1), "from a")
	b.publish(t, User(1), "from b")
	if got := b.waitReceived(t, 1); !slices.Equal(got, []string{"u:1 from a"}) {
		t.Errorf("b received %q, want only a's message", got)
	}
	if got := a.waitReceived(t, 1); !slices.Equal(got, []string{"u:1 from b"}) { // its own message came first and was skipped
		t.Errorf("a received %q, want only b's message", got)
	}
	if n := a.count(t, "chatd_bus_echoes_total"); n != 1 {
		t.Errorf("chatd_bus_echoes_total of a is %d, want 1", n)
	}
}

// Several goroutines of a node publish at once. The order of each is kept.
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
			t.Fatalf("writer %d: got message %d, want %d", w, i, next[w])
		}
		next[w]++
	}
}

// Data that a node can't decode, from another release or another program, is
// counted. The payloads around it that it can decode are received.
func TestUndecodablePayloads(t *testing.T) {
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
	before, after := notice(User(1), "before").Payload, notice(User(1), "after").Payload
	mixed := appendPayload(slices.Clone(other), &before)
	mixed = append(mixed, 2, 200, 1) // two bytes of an unknown kind
	mixed = appendPayload(mixed, &after)
	for _, p := range [][]byte{newer, mixed, {}, {version}, append(slices.Clone(other), 200, 200, 1), []byte("hello")} {
		if _, err := c.Do("PUBLISH", "u:1", p); err != nil {
			t.Fatal(err)
		}
	}
	a.publish(t, User(1), "end")
	if got, want := b.waitReceived(t, 3), []string{"u:1 before", "u:1 after", "u:1 end"}; !slices.Equal(got, want) {
		t.Errorf("received %q, want %q", got, want)
	}
	if unknown, broken := b.count(t, "chatd_bus_unknown_versions_total"), b.count(t, "chatd_bus_broken_total"); unknown != 3 || broken != 3 {
		// Unknown: newer, "hello", the unknown kind. Broken: empty, truncated
		// twice.
		t.Errorf("%d of an unknown version and %d broken, want 3 and 3", unknown, broken)
	}
}

// Close makes blocked calls return, and works while Redis doesn't answer.
func TestClose(t *testing.T) {
	server := realservice.Redis(t)
	a := dial(t, RedisConfig{Redis: server.URL})
	a.subscribe(t, User(1))
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.Subscribe(User(2))
	if err := a.Await(t.Context()); err != nil {
		t.Errorf("Await after Close: %v, want no error", err)
	}
	if err := a.Publish(t.Context(), []Message{notice(User(1), "")}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Publish after Close: %v, want ErrUnavailable", err)
	}
	if a.MayHaveSubscribers(User(1)) {
		t.Error("MayHaveSubscribers after Close: true, want false")
	}
	select {
	case up := <-a.upChanges:
		t.Errorf("onChange(%v) after Close, want no call", up)
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
		t.Errorf("Await during Close: %v, want no error", err)
	}
	server.Cont(t)
}

// Await returns the error of its context.
func TestAwaitTimeout(t *testing.T) {
	server := realservice.Redis(t)
	a := dial(t, RedisConfig{Redis: server.URL})
	server.Stop(t)
	defer server.Cont(t)
	a.Subscribe(User(1))
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := a.Await(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Await: %v, want DeadlineExceeded", err)
	}
}
