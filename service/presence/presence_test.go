package presence

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"chatd/service/bus"
	"chatd/service/cluster"
	"chatd/service/session"
)

// newTest returns the Presence of a node without goroutines, connections and
// store. Users 1 and 2 are online on it.
func newTest(t *testing.T) *Presence {
	log, set := slog.New(slog.DiscardHandler), metrics.NewSet()
	cfg := &Config{Grace: time.Hour, SweepEvery: time.Hour}
	p := New(cfg, log)
	clusterCfg, sessionCfg := cluster.DefaultConfig(), session.DefaultConfig()
	c := cluster.New(&clusterCfg, log, set)
	hub := new(bus.Hub)
	b := hub.Join(func([]bus.Message) {})
	other := hub.Join(func([]bus.Message) {})
	other.Subscribe(bus.User(1)) // so that hints for user 1 are published
	c.Start("one", b, p, cfg.Grace)
	p.Start(c, b, bus.NewCourier(b, set.NewCounter("dropped")), nil, session.NewSessions(&sessionCfg, log, set))
	p.Up(1)
	p.Up(2)
	t.Cleanup(p.stop)
	return p
}

// told returns the friends who a user has been told are online.
func (p *Presence) told(user int64) (friends []int64) {
	p.with(user, func(st *stay) { friends = slices.Clone(st.told) })
	return friends
}

func (p *Presence) set(user, friend int64, online bool) {
	p.with(user, func(st *stay) { p.tell(st, user, friend, online, nil) })
}

// settle does what RunGone does.
func (p *Presence) settle() {
	for user := range p.gone.take() {
		p.partWith(user)
	}
}

// Each user who was told that a friend is online is told when the friend leaves,
// but not if the friend has come back by then.
func TestGone(t *testing.T) {
	p := newTest(t)
	p.cluster.Add(9)
	p.set(1, 9, true)
	p.set(2, 9, true)
	p.cluster.Remove(9)
	p.cluster.Add(9)
	p.settle()
	if one, two := p.told(1), p.told(2); len(one) != 1 || len(two) != 1 {
		t.Errorf("after the friend came back: told %v and %v, want user 9 for both", one, two)
	}
	p.cluster.Remove(9)
	p.settle()
	if one, two := p.told(1), p.told(2); len(one)+len(two) != 0 || p.watching(9) != nil {
		t.Errorf("after the friend left: told %v and %v, watchers %v; want none", one, two, p.watching(9))
	}
}

// If a user is told that a friend is online just after the friend has left, they
// are told about that, too.
func TestToldAfterGone(t *testing.T) {
	p := newTest(t)
	p.cluster.Add(9)
	p.cluster.Remove(9)
	p.settle() // finds no watcher
	p.set(1, 9, true)
	p.settle()
	if told := p.told(1); len(told) != 0 {
		t.Errorf("told %v, want none: the friend had left before", told)
	}
}

// The sweep finds a friend who isn't online although nobody has said so, the
// second time that it sees that.
func TestSweep(t *testing.T) {
	p := newTest(t)
	p.cluster.Add(9)
	p.set(1, 9, true)
	p.cluster.Remove(9)
	p.gone.take() // lost
	p.sweep()
	p.settle()
	if told := p.told(1); len(told) != 1 {
		t.Errorf("after one sweep: told %v, want user 9", told)
	}
	p.sweep()
	p.settle()
	if told := p.told(1); len(told) != 0 {
		t.Errorf("after two sweeps: told %v, want none", told)
	}
}

// When a user leaves this node, nobody watches friends for them any more.
func TestLeave(t *testing.T) {
	p := newTest(t)
	for f := range int64(100) {
		p.cluster.Add(100 + f)
		p.set(1, 100+f, true)
		p.set(2, 100+f, true)
	}
	p.Down(1)
	var st *stay
	p.with(1, func(s *stay) { st = s })
	p.leave(1, st, 1)
	for f := range int64(100) {
		if w := p.watching(100 + f); !slices.Equal(w, []int64{2}) {
			t.Fatalf("user %d is watched by %v, want only user 2", 100+f, w)
		}
	}
	if p.isHere(1) || p.cluster.Online(1) {
		t.Error("the user is still online")
	}
}

// A flood of changed relations takes up bounded memory: users with too many of
// them have all their friends compared.
func TestManyRelations(t *testing.T) {
	p := newTest(t)
	for f := range int64(2 * maxChecks) {
		p.RelationElsewhere(1, &bus.Relation{A: 1, B: 100 + f, Echo: true})
	}
	if n := len(p.work.checks); n > maxChecks {
		t.Errorf("%d queued checks, want at most %d", n, maxChecks)
	}
	if _, ok := p.work.comparisons[1]; !ok {
		t.Error("the user's friends are not compared, so some changes are lost")
	}
}

// If the courier's queue is full when a relation changes, the hint is published
// again later.
func TestHintsDropped(t *testing.T) {
	p := newTest(t)
	for range 1 << 14 { // more than the queue holds; nobody empties it
		p.courier.Publish(bus.User(1), bus.Payload{Presence: &bus.Presence{User: 9}})
	}
	if p.recent.dropped.Load() {
		t.Fatal("a change counts as dropped before there was one")
	}
	p.BlockChanged(2, 1)
	if !p.recent.dropped.Load() {
		t.Fatal("the change doesn't count as dropped although the queue was full")
	}
	want := bus.Relation{A: 2, B: 1}
	if all := p.recent.all(); !slices.Equal(all, []bus.Relation{want}) {
		t.Errorf("to be published again: %v, want %v", all, want)
	}
	// What is published again must not make clients forget what they were told.
	p.Befriended(2, 1, nil)
	if all := p.recent.all(); !slices.Equal(all, []bus.Relation{want}) {
		t.Errorf("to be published again: %v, want %v without Friendship", all, want)
	}
}
