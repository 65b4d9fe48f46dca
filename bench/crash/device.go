package crash

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// Times of devices are short, so that they notice a broken connection within a
// run of a minute.
const (
	pingEvery    = 2 * time.Second
	loginTimeout = 8 * time.Second
	backoffMin   = 50 * time.Millisecond
	backoffMax   = time.Second
	receiptEvery = 200 * time.Millisecond
)

type user struct {
	id             int64
	name, password string
}

// convKey identifies a conversation: by its group, or by two users with the
// lower id first.
type convKey struct{ group, lo, hi int64 }

func newConvKey(group, a, b int64) convKey {
	if group != 0 {
		return convKey{group: group}
	}
	return convKey{lo: min(a, b), hi: max(a, b)}
}

// directory is what all devices know about a run.
type directory struct {
	users []*user
	convs []conv
	byKey map[convKey]int // index of a conversation
}

// to returns a conversation as a user addresses it: by its group, or by the ID of
// the other user.
func (d *directory) to(conv, user int) (group, peer int64) {
	c := &d.convs[conv]
	if c.group != 0 {
		return c.group, 0
	}
	other := c.members[0]
	if other == user && len(c.members) > 1 {
		other = c.members[1]
	}
	return 0, d.users[other].id
}

// device is a device of a user, as faults treat it.
type device interface {
	log() *journal
	// run keeps the device logged in, and sending if it is a sender, until ctx
	// ends. It blocks.
	run(ctx context.Context)
	// stopSending ends sending for good.
	stopSending()
	// stopReading makes the device read nothing until resume is called.
	stopReading() (resume func())
	// restart kills the device's program and starts it again with its clock off
	// by skew.
	restart(skew time.Duration)
	// loggedIn reports whether the device has ever logged in.
	loggedIn() bool
	// allAnswered reports whether every message has its answer.
	allAnswered() bool
}

// readLock keeps a device from reading while it is held.
type readLock struct{ readMu sync.Mutex }

func (l *readLock) stopReading() (resume func()) {
	l.readMu.Lock()
	return sync.OnceFunc(l.readMu.Unlock)
}

// waitReadable blocks while reading is stopped.
func (l *readLock) waitReadable() {
	l.readMu.Lock()
	defer l.readMu.Unlock()
}

// sleep waits for d. It returns false if ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// random returns a source that depends on the run's seed and a purpose.
func random(seed uint64, what uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, what)) }
