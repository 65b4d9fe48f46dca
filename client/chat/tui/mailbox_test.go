package tui

import (
	"runtime"
	"sync"
	"testing"

	tea "charm.land/bubbletea/v2"
)

// TestMailbox checks that events arrive in order, that put blocks while the
// mailbox is full, and that it doesn't after close.
func TestMailbox(t *testing.T) {
	b := newMailbox()
	for i := range maxEvents {
		b.put(i)
	}
	b.putNow(maxEvents) // never blocks
	var wg sync.WaitGroup
	wg.Go(func() { b.put(maxEvents + 1) })
	for b.waits.Load() == 0 { // until put blocks
		runtime.Gosched()
	}
	next, all := 0, make(chan struct{})
	wg.Go(func() {
		b.deliver(func(m tea.Msg) {
			for _, e := range m.(events) {
				if e != next {
					t.Errorf("got event %v, want %d", e, next)
				}
				next++
			}
			if next == maxEvents+2 {
				close(all)
			}
		})
	})
	<-all
	b.close()
	wg.Wait()
	b.put("dropped")
	for range 2 * maxEvents {
		b.put("never waits after close")
	}
	b.close()
}
