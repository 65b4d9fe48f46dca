package reactor

import (
	"sync/atomic"
	"time"
)

// fastTick is the interval of ticks while a loop has connections that wait for
// output to drain. Otherwise the interval is timerTick.
const fastTick = 10 * time.Millisecond

// ticker makes the loops run onTick. It is one goroutine for all loops. (gnet's
// own ticker doesn't run on the loops.)
type ticker struct {
	loops     []*loop
	fastLoops atomic.Int32  // loops that want fast ticks
	speedUp   chan struct{} // holds a value after fastLoops has become 1
	quit      chan struct{}
	done      chan struct{}
}

func newTicker(loops []*loop) *ticker {
	return &ticker{loops: loops, speedUp: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
}

// setFast starts or ends fast ticks for a loop.
func (k *ticker) setFast(fast bool) {
	if !fast {
		k.fastLoops.Add(-1)
		return
	}
	if k.fastLoops.Add(1) == 1 {
		select {
		case k.speedUp <- struct{}{}:
		default:
		}
	}
}

func (k *ticker) run() {
	defer close(k.done)
	timer := time.NewTimer(timerTick)
	defer timer.Stop()
	for {
		select {
		case <-k.quit:
			return
		case <-k.speedUp:
		case <-timer.C:
			for _, l := range k.loops {
				if !l.tickDue.Swap(true) {
					l.wake()
				}
			}
		}
		if k.fastLoops.Load() > 0 {
			timer.Reset(fastTick)
		} else {
			timer.Reset(timerTick)
		}
	}
}

// stop ends the ticker's goroutine and waits for it.
func (k *ticker) stop() {
	close(k.quit)
	<-k.done
}
