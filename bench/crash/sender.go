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

// senderOutbox is how many unacknowledged messages a sender may have before it
// stops sending for a while.
const senderOutbox = 512

// sender is a device with the SDK. It sends messages to its user's
// conversations at random times.
type sender struct {
	*journal
	readLock
	directory *directory
	addr      string
	every     time.Duration // average time between two messages
	rng       *rand.Rand    // used by run only
	convs     []int         // conversations of its user

	silent   atomic.Bool
	online   atomic.Bool        // it has logged in
	openings chan int           // conversations to start
	restarts chan time.Duration // requests to restart, with a clock skew

	store   memory
	session int32 // used by run only
	// loginLost is when a killed program of this device last had no session, and so
	// may have sent a LOGIN that the server still carries out. Used by run only.
	loginLost time.Time
}

// lateLogin is how long after a program was killed its LOGIN may still take
// effect, for instance because a node was frozen. A new program's session is
// replaced then, and that program can't know why.
const lateLogin = time.Minute

func newSender(j *journal, dir *directory, addr string, every time.Duration, rng *rand.Rand) *sender {
	d := &sender{journal: j, directory: dir, addr: addr, every: every, rng: rng, openings: make(chan int), restarts: make(chan time.Duration, 1)}
	for i := range dir.convs {
		for _, m := range dir.convs[i].members {
			if m == j.user {
				d.convs = append(d.convs, i)
			}
		}
	}
	return d
}

func (d *sender) log() *journal  { return d.journal }
func (d *sender) stopSending()   { d.silent.Store(true) }
func (d *sender) loggedIn() bool { return d.online.Load() }

func (d *sender) allAnswered() bool { return d.tally().open == 0 }

func (d *sender) restart(skew time.Duration) {
	select {
	case d.restarts <- skew:
	default: // a restart is pending
	}
}

// memory keeps a client's saved state across restarts, as a disk would. It is
// safe for concurrent use.
type memory struct {
	mu    sync.Mutex
	saved *client.Saved
}

// owner is a program that uses the memory, until it is killed.
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

func (d *sender) run(ctx context.Context) {
	for skew := time.Duration(0); ctx.Err() == nil; {
		skew = d.runSession(ctx, skew)
	}
}

// runSession runs the device's program until it is killed. It returns the clock
// skew of the next session.
func (d *sender) runSession(ctx context.Context, skew time.Duration) time.Duration {
	disk := &owner{memory: &d.store}
	session, gone := d.session, make(chan error, 1)
	d.session++
	var in atomic.Bool       // it is logged in
	var changed atomic.Int64 // when in was last set or reset, in Unix nanoseconds
	var started atomic.Bool  // set by the State handler after the first login, so that a failed login doesn't count
	c, err := client.New(client.Config{
		Addrs: []string{d.addr}, Device: d.deviceName(), State: disk, Outbox: senderOutbox, Brief: true,
		LoginTimeout: loginTimeout, DialTimeout: dialTimeout, BackoffMin: backoffMin, BackoffMax: backoffMax, PingEvery: pingEvery,
		Now:  func() time.Time { return time.Now().Add(skew) },
		Dial: d.dial,
		Handlers: client.Handlers{
			Message: func(m client.Message) {
				d.waitReadable()
				d.recordShown(d.directory.byKey[d.keyOf(m.Conv)], m.Seq, m.Text, session)
			},
			State: func(s client.StateChange) {
				if s.Err != nil {
					d.notef("%s: %v", s.State, s.Err)
				} else {
					d.notef("%s", s.State)
				}
				in.Store(s.State == client.LoggedIn)
				changed.Store(time.Now().UnixNano())
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
		d.violate(LockedOut, "the client can't start: %v", err)
		<-ctx.Done()
		return 0
	}
	d.recordStart(disk)
	d.notef("started, with its clock off by %s", skew)
	defer func() { _ = c.Close() }() // can't fail: the state is in memory

	if !d.keepLoggingIn(ctx, c) {
		return 0
	}
	d.online.Store(true)
	for {
		timer := time.NewTimer(d.every/2 + rand.N(d.every))
		select {
		case <-ctx.Done():
			timer.Stop()
			return 0
		case next := <-d.restarts:
			timer.Stop()
			disk.die() // what it hasn't saved is lost
			d.notef("killed")
			if d.loginLost = time.Now(); in.Load() {
				d.loginLost = time.Unix(0, changed.Load())
			}
			return next
		case conv := <-d.openings:
			timer.Stop()
			d.send(c, conv)
		case err := <-gone:
			timer.Stop()
			if isFinal(err) && !d.replacedByKilled(err) { // otherwise a login was abandoned
				d.violate(LockedOut, "the client gave up reconnecting: %v", err)
			}
			return skew
		case <-timer.C:
			if !d.silent.Load() {
				d.sendAny(c)
			}
		}
	}
}

// recordStart records from which seq on a new session must get messages.
func (d *sender) recordStart(disk *owner) {
	seqs := make([]int64, len(d.directory.convs))
	if saved, _ := disk.Load(); saved != nil { // never fails
		for conv, last := range saved.Last {
			seqs[d.directory.byKey[d.keyOf(conv)]] = last
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.startSeqs = append(d.startSeqs, seqs)
}

// keepLoggingIn tries to log in until it succeeds. It returns false if ctx ends
// first.
func (d *sender) keepLoggingIn(ctx context.Context, c *client.Client) bool {
	for {
		err := d.login(ctx, c)
		if err == nil {
			return true
		}
		if isFinal(err) && !d.replacedByKilled(err) {
			d.violate(LockedOut, "login refused: %v", err)
			<-ctx.Done()
		}
		if !sleep(ctx, backoffMin+rand.N(backoffMin)) {
			return false
		}
	}
}

func (d *sender) deviceName() string { return d.name }

// login logs in once, the first time with a password.
func (d *sender) login(ctx context.Context, c *client.Client) error {
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	if c.Token() != "" {
		return c.Resume(ctx)
	}
	p := d.directory.users[d.user]
	return c.Login(ctx, p.name, p.password)
}

// isFinal reports whether a client must not try again.
func isFinal(err error) bool {
	var kick *client.KickError
	return refusedFor(err, int64(proto.Refused)) || errors.As(err, &kick) &&
		(kick.Reason == proto.Replaced || kick.Reason == proto.LoggedOut || kick.Reason == proto.Abuse)
}

// replacedByKilled reports whether err may be due to a LOGIN of a program of this
// device that was killed. Only run may call it.
func (d *sender) replacedByKilled(err error) bool {
	var kick *client.KickError
	return errors.As(err, &kick) && kick.Reason == proto.Replaced && time.Since(d.loginLost) < lateLogin
}

func (d *sender) keyOf(c client.Conv) convKey {
	return newConvKey(c.Group, d.directory.users[d.user].id, c.Peer)
}

func (d *sender) sendAny(c *client.Client) { d.send(c, d.convs[d.rng.IntN(len(d.convs))]) }

func (d *sender) send(c *client.Client, conv int) {
	m := d.recordSent(conv)
	err := c.SendAsync(d.target(conv), m.text(), func(r client.Receipt, err error) {
		switch {
		case err == nil:
			d.recordOutcome(m, acked, r.Seq, nil)
		case errors.Is(err, client.ErrClosed) || errors.Is(err, client.ErrLoggedOut) || !isRefusal(err):
			d.recordOutcome(m, unsure, 0, err)
		default:
			d.recordOutcome(m, refused, 0, err)
		}
	})
	if err != nil {
		d.dropLast(m)
	}
}

// target returns a conversation as the SDK identifies it for the sender's user.
func (d *sender) target(conv int) client.Conv {
	group, peer := d.directory.to(conv, d.user)
	if group != 0 {
		return client.Group(group)
	}
	return client.User(peer)
}
