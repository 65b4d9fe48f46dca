package crash

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// Times of devices: short, so that what happens to a connection is noticed
// within a run of a minute.
const (
	pingEvery    = 2 * time.Second
	loginTimeout = 8 * time.Second
	backoffMin   = 50 * time.Millisecond
	backoffMax   = time.Second
	receiptEvery = 200 * time.Millisecond
)

// user is a user of the run.
type user struct {
	id             int64
	name, password string
}

// convKey names a conversation as the wire does: a group, or two users, the lower
// id first.
type convKey struct{ group, lo, hi int64 }

func newConvKey(group, a, b int64) convKey {
	if group != 0 {
		return convKey{group: group}
	}
	return convKey{lo: min(a, b), hi: max(a, b)}
}

// directory is what all devices of a run know.
type directory struct {
	users []*user
	convs []conv
	byKey map[convKey]int // the conversation, by how the wire names it
}

// device is one device of a user, as faults treat it.
type device interface {
	log() *journal
	// run keeps the device logged in, and talking where it talks, until ctx
	// ends. It blocks.
	run(ctx context.Context)
	// quiet has the device say nothing more.
	stopSending()
	// deaf has the device read nothing until the function returned is called.
	stopReading() (hear func())
	// restart ends the device's program at once and starts it again, with its
	// clock off by skew.
	restart(skew time.Duration)
	// present says whether the device has been logged in.
	loggedIn() bool
	// settled says whether each message has had its answer.
	allAnswered() bool
}

// readLock can be held shut.
type readLock struct{ readMu sync.Mutex }

func (l *readLock) stopReading() (hear func()) {
	l.readMu.Lock()
	return sync.OnceFunc(l.readMu.Unlock)
}

// waitReadable blocks while the ears are held shut.
func (l *readLock) waitReadable() {
	l.readMu.Lock()
	defer l.readMu.Unlock()
}

// sleep waits for d, and reports false where ctx ended first.
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

// random is a source that depends on the run's seed and on what it is for.
func random(seed uint64, what uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, what)) }
