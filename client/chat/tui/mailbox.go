package tui

import (
	"sync"
	"sync/atomic"

	tea "charm.land/bubbletea/v2"

	"chatd/client"
)

// maxEvents is how many events wait in a mailbox before the client's handlers
// wait for the screen. Answers to what was sent come on top: the client's
// outbox bounds them.
const maxEvents = 1024

// mailbox brings what the client tells to the model, all that has come
// meanwhile in one message: the screen is drawn once for it. Its methods may be
// called from any goroutine.
type mailbox struct {
	mu     sync.Mutex
	items  []tea.Msg
	closed bool
	wake   chan struct{} // 1
	room   *sync.Cond
	waits  atomic.Uint64 // how often handlers had to wait
}

// events is what a mailbox had.
type events []tea.Msg

// settled is what became of a message that was sent from here.
type sendResult struct {
	conv    client.Conv
	local   int64
	receipt client.Receipt
	err     error
}

func newMailbox() *mailbox {
	b := &mailbox{wake: make(chan struct{}, 1)}
	b.room = sync.NewCond(&b.mu)
	return b
}

// put adds an event; it waits while there are too many. After close it drops
// the event, which nobody would see.
func (b *mailbox) put(e tea.Msg) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.items) >= maxEvents {
		b.waits.Add(1)
	}
	for len(b.items) >= maxEvents && !b.closed {
		b.room.Wait()
	}
	b.add(e)
}

// putNow adds an event without waiting.
func (b *mailbox) putNow(e tea.Msg) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(e)
}

func (b *mailbox) add(e tea.Msg) {
	if b.closed {
		return
	}
	b.items = append(b.items, e)
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// deliver sends what comes until close.
func (b *mailbox) deliver(send func(tea.Msg)) {
	for range b.wake {
		b.mu.Lock()
		items := b.items
		b.items = nil
		b.room.Broadcast()
		b.mu.Unlock()
		if len(items) > 0 {
			send(events(items))
		}
	}
}

// close ends deliver, and lets go who waits in put.
func (b *mailbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.closed = true
		close(b.wake)
		b.room.Broadcast()
	}
}

// handlers put everything into the mailbox.
func (b *mailbox) handlers() client.Handlers {
	return client.Handlers{
		State:    func(v client.StateChange) { b.put(v) },
		Message:  func(v client.Message) { b.put(v) },
		Event:    func(v client.Event) { b.put(v) },
		Read:     func(v client.Read) { b.put(v) },
		Presence: func(v client.Presence) { b.put(v) },
		Change:   func(v client.Change) { b.put(v) },
	}
}
