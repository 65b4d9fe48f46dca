package crash

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"chatd/client"
	"chatd/proto"
)

// talkerOutbox is how many messages a talker has unacknowledged before it
// says nothing more for a while.
const talkerOutbox = 512

// talker is a device with the SDK. It says something every now and then, in
// one of its user's conversations.
type talker struct {
	*journal
	ears
	cast  *cast
	addr  string
	every time.Duration // between two messages, on average
	rng   *rand.Rand    // of run alone
	mine  []int         // the conversations of its user

	silent  atomic.Bool
	in      atomic.Bool        // it has been logged in
	opening chan int           // conversations to begin
	again   chan time.Duration // restart, with this skew

	store memory
	life  int32 // of run alone
}

func newTalker(j *journal, c *cast, addr string, every time.Duration, rng *rand.Rand) *talker {
	t := &talker{journal: j, cast: c, addr: addr, every: every, rng: rng, opening: make(chan int), again: make(chan time.Duration, 1)}
	for i := range c.convs {
		for _, m := range c.convs[i].members {
			if m == j.user {
				t.mine = append(t.mine, i)
			}
		}
	}
	return t
}

func (t *talker) log() *journal { return t.journal }
func (t *talker) quiet()        { t.silent.Store(true) }
func (t *talker) present() bool { return t.in.Load() }

func (t *talker) settled() bool { return t.tally().open == 0 }

func (t *talker) restart(skew time.Duration) {
	select {
	case t.again <- skew:
	default: // it is about to
	}
}

// memory keeps a client's state as a disk would that outlives its program.
// Any goroutine may use it.
type memory struct {
	mu    sync.Mutex
	saved *client.Saved
}

// owner is a program that uses the memory; once it is dead, it doesn't.
type owner struct {
	*memory
	dead bool // guarded by memory.mu
}

func (o *owner) Load() (*client.Saved, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.saved == nil {
		return nil, nil
	}
	s := *o.saved
	s.Last = maps.Clone(s.Last)
	return &s, nil
}

func (o *owner) Save(s *client.Saved) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.dead {
		o.saved = s
	}
	return nil
}

func (o *owner) die() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dead = true
}

func (t *talker) run(ctx context.Context) {
	for skew := time.Duration(0); ctx.Err() == nil; {
		skew = t.live(ctx, skew)
	}
}

// live is one life of the device's program. It returns the skew of the next.
func (t *talker) live(ctx context.Context, skew time.Duration) time.Duration {
	disk := &owner{memory: &t.store}
	life, gone := t.life, make(chan error, 1)
	t.life++
	var started atomic.Bool // it was logged in once: of the handlers, in whose order a failed login's end comes before
	c, err := client.New(client.Config{
		Addrs: []string{t.addr}, Device: t.device(), State: disk, Outbox: talkerOutbox, Brief: true,
		LoginTimeout: loginTimeout, DialTimeout: dialTimeout, BackoffMin: backoffMin, BackoffMax: backoffMax, PingEvery: pingEvery,
		Now:  func() time.Time { return time.Now().Add(skew) },
		Dial: t.dial,
		Handlers: client.Handlers{
			Message: func(m client.Message) {
				t.listen()
				t.show(t.cast.ways[t.wayOf(m.Conv)], m.Seq, m.Text, life)
			},
			State: func(s client.StateChange) {
				if s.Err != nil {
					t.notef("%s: %v", s.State, s.Err)
				} else {
					t.notef("%s", s.State)
				}
				if s.State == client.LoggedIn {
					started.Store(true)
				}
				if s.Final && started.Load() {
					select {
					case gone <- s.Err:
					default:
					}
				}
			},
		}})
	if err != nil {
		t.violate(LockedOut, "its program doesn't start: %v", err)
		<-ctx.Done()
		return 0
	}
	bases := make([]int64, len(t.cast.convs))
	if saved, _ := disk.Load(); saved != nil { // it never fails
		for conv, last := range saved.Last {
			bases[t.cast.ways[t.wayOf(conv)]] = last
		}
	}
	t.mu.Lock()
	t.bases = append(t.bases, bases)
	t.mu.Unlock()
	t.notef("starts, its clock off by %s", skew)
	defer func() { _ = c.Close() }() // its state is in memory: that can't fail

	for {
		err := t.enter(ctx, c)
		if err == nil {
			break
		}
		if turnedAway(err) {
			t.violate(LockedOut, "LOGIN: %v", err)
			<-ctx.Done()
		}
		if !sleep(ctx, backoffMin+rand.N(backoffMin)) {
			return 0
		}
	}
	t.in.Store(true)
	for {
		timer := time.NewTimer(t.every/2 + rand.N(t.every))
		select {
		case <-ctx.Done():
			timer.Stop()
			return 0
		case next := <-t.again:
			timer.Stop()
			disk.die() // what it hasn't saved by now is lost
			t.notef("is killed")
			return next
		case conv := <-t.opening:
			timer.Stop()
			t.tell(c, conv)
		case err := <-gone:
			timer.Stop()
			if turnedAway(err) { // else it was a login given up halfway
				t.violate(LockedOut, "the connection ended for good: %v", err)
			}
			return skew
		case <-timer.C:
			if !t.silent.Load() {
				t.talk(c)
			}
		}
	}
}

// device is the device's name in its user's list.
func (t *talker) device() string { return t.name }

// enter logs in once, with a password the first time.
func (t *talker) enter(ctx context.Context, c *client.Client) error {
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	if c.Token() != "" {
		return c.Resume(ctx)
	}
	p := t.cast.people[t.user]
	return c.Login(ctx, p.name, p.password)
}

// turnedAway says whether a client must not try again.
func turnedAway(err error) bool {
	var kick *client.KickError
	return refusedFor(err, int64(proto.Refused)) || errors.As(err, &kick) &&
		(kick.Reason == proto.Replaced || kick.Reason == proto.LoggedOut || kick.Reason == proto.Abuse)
}

func (t *talker) wayOf(c client.Conv) way {
	return wayOf(c.Group, t.cast.people[t.user].id, c.Peer)
}

func (t *talker) talk(c *client.Client) { t.tell(c, t.mine[t.rng.IntN(len(t.mine))]) }

// tell says something in a conversation.
func (t *talker) tell(c *client.Client, conv int) {
	m := t.say(conv)
	err := c.SendAsync(t.target(conv), m.text(), func(r client.Receipt, err error) {
		switch {
		case err == nil:
			t.settle(m, acked, r.Seq, nil)
		case errors.Is(err, client.ErrClosed) || errors.Is(err, client.ErrLoggedOut) || !isRefusal(err):
			t.settle(m, unsure, 0, err)
		default:
			t.settle(m, refused, 0, err)
		}
	})
	if err != nil {
		t.unsay(m)
	}
}

// target is a conversation as the SDK names it, for the talker's user.
func (t *talker) target(conv int) client.Conv {
	c := &t.cast.convs[conv]
	if c.group != 0 {
		return client.Group(c.group)
	}
	peer := c.members[0]
	if peer == t.user && len(c.members) > 1 {
		peer = c.members[1]
	}
	return client.User(t.cast.people[peer].id)
}
