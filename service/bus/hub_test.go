package bus

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
)

// inbox records what a node has received.
type inbox struct {
	mu  sync.Mutex
	got []string
}

func (in *inbox) receive(ms []Message) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, m := range ms {
		in.got = append(in.got, m.Channel.String()+" "+string(m.Payload.Push.Body))
	}
}

func (in *inbox) take() []string {
	in.mu.Lock()
	defer in.mu.Unlock()
	got := in.got
	in.got = nil
	return got
}

// testBus tests a Bus. barrier returns once all messages published before have
// been received.
func testBus(t *testing.T, join func(receive func([]Message)) Bus, barrier func()) {
	ctx := t.Context()
	var ins [3]inbox
	var nodes [3]Bus
	for i := range nodes {
		nodes[i] = join(ins[i].receive)
	}
	a, b := nodes[0], nodes[1]
	publish := func(from Bus, c Channel, text string) {
		t.Helper()
		if err := from.Publish(ctx, []Message{{c, Payload{Push: &Push{Body: []byte(text)}}}}); err != nil {
			t.Fatal(err)
		}
		barrier()
	}
	expect := func(what string, in *inbox, want ...string) {
		t.Helper()
		if got := in.take(); !slices.Equal(got, want) {
			t.Errorf("%s: received %q, want %q", what, got, want)
		}
	}
	subscribe := func(n Bus, c Channel) {
		t.Helper()
		n.Subscribe(c)
		if err := n.Await(ctx); err != nil {
			t.Fatal(err)
		}
	}

	// Only subscribers of the channel receive a message. A user and a group
	// with the same id have different channels.
	subscribe(a, User(7))
	subscribe(b, Group(7))
	publish(nodes[2], User(7), "one")
	expect("subscriber", &ins[0], "u:7 one")
	expect("subscriber of another channel", &ins[1])

	// A node doesn't receive its own messages.
	subscribe(b, User(7))
	publish(b, User(7), "two")
	expect("other", &ins[0], "u:7 two")
	expect("publisher", &ins[1])

	// Subscriptions are counted: it takes as many Unsubscribes to end them.
	subscribe(a, User(7))
	a.Unsubscribe(User(7))
	if err := a.Await(ctx); err != nil {
		t.Fatal(err)
	}
	publish(b, User(7), "three")
	expect("counted", &ins[0], "u:7 three")
	a.Unsubscribe(User(7))
	if err := a.Await(ctx); err != nil {
		t.Fatal(err)
	}
	publish(b, User(7), "four")
	expect("ended", &ins[0])

	// MayHaveSubscribers must be true if another node has subscribed.
	if !a.MayHaveSubscribers(User(7)) {
		t.Error("MayHaveSubscribers: false with a subscriber on another node, want true")
	}

	// The order of one publisher is kept.
	subscribe(a, Group(1))
	var want []string
	for i := range 100 {
		publish(b, Group(1), fmt.Sprint(i))
		want = append(want, fmt.Sprintf("g:1 %d", i))
	}
	expect("order", &ins[0], want...)
}

// Hub passes the same test as Redis.
func TestHub(t *testing.T) {
	var h Hub
	testBus(t, func(receive func([]Message)) Bus { return h.Join(receive) }, func() {})
}

// On a Hub with one node, MayHaveSubscribers is false, so that a single node
// doesn't encode messages that nobody receives.
func TestHubAlone(t *testing.T) {
	var h Hub
	n := h.Join(func([]Message) { t.Error("the node received its own message") })
	n.Subscribe(User(1))
	if n.MayHaveSubscribers(User(1)) {
		t.Error("MayHaveSubscribers on a Hub with one node: true, want false")
	}
	o := h.Join(func([]Message) {})
	o.Subscribe(User(1))
	if !n.MayHaveSubscribers(User(1)) || n.MayHaveSubscribers(User(2)) {
		t.Error("MayHaveSubscribers must be true for u:1 and false for u:2: the other node has subscribed to u:1")
	}
	o.Close(context.Background())
	if n.MayHaveSubscribers(User(1)) {
		t.Error("MayHaveSubscribers after the other node was closed: true, want false")
	}
}
