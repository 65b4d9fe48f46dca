package reactor

import (
	"sync/atomic"
	"time"
)

// flushTick is how often connections are looked at that wait for the kernel
// to take what they have.
const flushTick = 10 * time.Millisecond

// ticker has the loops turn their wheels: ten times a second, and more often
// while a loop waits for a slow client. (gnet's own runs beside the loops.)
type ticker struct {
	loops   []*loop
	hurried atomic.Int32 // loops that want it faster
	hurry   chan struct{}
	quit    chan struct{}
	done    chan struct{}
}

func newTicker(loops []*loop) *ticker {
	return &ticker{loops: loops, hurry: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
}

// faster says that one loop more, or less, wants fast ticks.
func (k *ticker) faster(yes bool) {
	if !yes {
		k.hurried.Add(-1)
		return
	}
	if k.hurried.Add(1) == 1 {
		select {
		case k.hurry <- struct{}{}:
		default:
		}
	}
}

func (k *ticker) run() {
	defer close(k.done)
	timer := time.NewTimer(wheelTick)
	defer timer.Stop()
	for {
		select {
		case <-k.quit:
			return
		case <-k.hurry:
		case <-timer.C:
			for _, l := range k.loops {
				if !l.tick.Swap(true) {
					l.wake()
				}
			}
		}
		if k.hurried.Load() > 0 {
			timer.Reset(flushTick)
		} else {
			timer.Reset(wheelTick)
		}
	}
}

// stop ends the ticker's goroutine and waits for it.
func (k *ticker) stop() {
	close(k.quit)
	<-k.done
}
