package bus

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
)

// testBus is a node's side of a bus, as the service uses it.
type testBus interface {
	Subscribe(Channel)
	Unsubscribe(Channel)
	Await(context.Context) error
	MayHaveSubscribers(Channel) bool
	Publish(context.Context, []Message) error
	Online(context.Context, []int64) ([]bool, error)
	Now(context.Context) int64
}

// inbox is what a node has received.
type inbox struct {
	mu  sync.Mutex
	got []string
}

func (in *inbox) receive(ms []Message) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, m := range ms {
		in.got = append(in.got, m.Channel.String()+" "+string(m.Payload.Notice.Body))
	}
}

func (in *inbox) take() []string {
	in.mu.Lock()
	defer in.mu.Unlock()
	got := in.got
	in.got = nil
	return got
}

// suite is what every bus has to do. barrier returns once all that was
// published before has been received.
func suite(t *testing.T, join func(receive func([]Message)) testBus, barrier func()) {
	ctx := t.Context()
	var ins [3]inbox
	var nodes [3]testBus
	for i := range nodes {
		nodes[i] = join(ins[i].receive)
	}
	a, b := nodes[0], nodes[1]
	say := func(from testBus, c Channel, text string) {
		t.Helper()
		if err := from.Publish(ctx, []Message{{c, Payload{Notice: &Notice{Body: []byte(text)}}}}); err != nil {
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
	subscribe := func(n testBus, c Channel) {
		t.Helper()
		n.Subscribe(c)
		if err := n.Await(ctx); err != nil {
			t.Fatal(err)
		}
	}

	// Only subscribers of just that channel hear of it; users and groups of one number differ.
	subscribe(a, User(7))
	subscribe(b, Group(7))
	say(nodes[2], User(7), "one")
	expect("subscriber", &ins[0], "u:7 one")
	expect("subscriber of another channel", &ins[1])

	// A node never hears itself.
	subscribe(b, User(7))
	say(b, User(7), "two")
	expect("other", &ins[0], "u:7 two")
	expect("publisher", &ins[1])

	// Subscriptions count: the last Unsubscribe ends it.
	subscribe(a, User(7))
	a.Unsubscribe(User(7))
	if err := a.Await(ctx); err != nil {
		t.Fatal(err)
	}
	say(b, User(7), "three")
	expect("counted", &ins[0], "u:7 three")
	a.Unsubscribe(User(7))
	if err := a.Await(ctx); err != nil {
		t.Fatal(err)
	}
	say(b, User(7), "four")
	expect("ended", &ins[0])

	// Where somebody listens, Reaches must not deny it.
	if !a.MayHaveSubscribers(User(7)) {
		t.Error("Reaches denies a subscriber on another node")
	}

	// The subscription is the presence, one's own included.
	on, err := b.Online(ctx, []int64{7, 8})
	if err != nil || !slices.Equal(on, []bool{true, false}) {
		t.Errorf("Online: %v, %v", on, err)
	}

	// All nodes have one clock, and it doesn't go back.
	if one, two := a.Now(ctx), b.Now(ctx); one > two || one < 1e15 {
		t.Errorf("it is %d, and then %d", one, two)
	}

	// One publisher's order is kept.
	subscribe(a, Group(1))
	var want []string
	for i := range 100 {
		say(b, Group(1), fmt.Sprint(i))
		want = append(want, fmt.Sprintf("g:1 %d", i))
	}
	expect("order", &ins[0], want...)
}

// The bus within one process has to behave as the one between nodes.
func TestHub(t *testing.T) {
	var h Hub
	suite(t, func(receive func([]Message)) testBus { return h.Join(receive) }, func() {})
}

// A node alone has nobody to tell, and must know it: encoding for nobody is
// what a single node would pay for being a cluster of one.
func TestHubAlone(t *testing.T) {
	var h Hub
	n := h.Join(func([]Message) { t.Error("heard itself") })
	n.Subscribe(User(1))
	if n.MayHaveSubscribers(User(1)) {
		t.Error("reaches somebody")
	}
	o := h.Join(func([]Message) {})
	o.Subscribe(User(1))
	if !n.MayHaveSubscribers(User(1)) || n.MayHaveSubscribers(User(2)) {
		t.Error("Reaches doesn't go by the other's subscriptions")
	}
	o.Close(context.Background())
	if n.MayHaveSubscribers(User(1)) {
		t.Error("reaches a node that has left")
	}
}
