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

// person is a user of the run.
type person struct {
	id             int64
	name, password string
}

// way names a conversation as the wire does: a group, or two users, the lower
// id first.
type way struct{ group, lo, hi int64 }

func wayOf(group, a, b int64) way {
	if group != 0 {
		return way{group: group}
	}
	return way{lo: min(a, b), hi: max(a, b)}
}

// cast is what all devices of a run know.
type cast struct {
	people []*person
	convs  []conv
	ways   map[way]int // the conversation, by how the wire names it
}

// device is one device of a user, as faults treat it.
type device interface {
	log() *journal
	// run keeps the device logged in, and talking where it talks, until ctx
	// ends. It blocks.
	run(ctx context.Context)
	// quiet has the device say nothing more.
	quiet()
	// deaf has the device read nothing until the function returned is called.
	deaf() (hear func())
	// restart ends the device's program at once and starts it again, with its
	// clock off by skew.
	restart(skew time.Duration)
	// present says whether the device has been logged in.
	present() bool
	// settled says whether each message has had its answer.
	settled() bool
}

// ears can be held shut.
type ears struct{ shut sync.Mutex }

func (e *ears) deaf() (hear func()) {
	e.shut.Lock()
	return sync.OnceFunc(e.shut.Unlock)
}

// listen blocks while the ears are held shut.
func (e *ears) listen() {
	e.shut.Lock()
	defer e.shut.Unlock()
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
