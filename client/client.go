package client

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"chatd/proto"
)

// Client is one device of one user. New makes one; Close ends it. While it
// is logged in it owns three goroutines: one reads, one writes, one calls the
// handlers; a fourth reconnects where that is needed.
type Client struct {
	cfg   Config
	queue *queue
	stats counters

	ctx          context.Context // ends when Close begins
	cancel       context.CancelFunc
	stopping     atomic.Bool    // Close was called
	wg           sync.WaitGroup // all goroutines but the dispatcher
	dispatchDone chan struct{}  // the dispatcher has ended
	closeDone    chan struct{}  // Close has ended
	loginLock    chan struct{}  // 1: taken by who connects, logs in or out
	saveMu       sync.Mutex     // held around Store.Save
	nextAddr     atomic.Uint64  // picks the next address

	mu               sync.Mutex // guards what follows, and tracks, outbox and lists; innermost but for queue.mu
	session          *session   // nil: not connected
	rid              int64
	loginGeneration  int64     // counts Login and Logout: a reconnect for an older one gives up
	reconnectAttempt int       // reconnects since a connection held
	retryAt          time.Time // when the next one is

	userID       int64 // 0: never logged in
	name         string
	device       string
	token        string
	epoch        int64
	stayLoggedIn bool // stay logged in

	lists               lists
	outbox              outbox
	conversations       map[Conv]*conversation
	historyEnd          map[Conv]int64 // the last one that History has returned
	gaps                map[*conversation]struct{}
	receiptsDue         []*conversation // have receipts to send
	receiptsDueSince    time.Time
	receiptsDueMessages int       // messages that came since
	wakeTime            time.Time // when the writer wakes up at the latest
	throttledUntil      time.Time // the server has said "too fast": nothing is sent before, PING where it must; zero: it hasn't
	unsaved             bool
}

// New makes a client. It neither connects nor blocks, but for reading
// Config.State. The error names a setting that is none, or is that of Store.Load,
// such as ErrBadState. A client has a goroutine: Close it.
func New(cfg Config) (*Client, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Client{
		cfg: cfg, queue: newQueue(), dispatchDone: make(chan struct{}), closeDone: make(chan struct{}),
		loginLock: make(chan struct{}, 1), lists: newLists(), outbox: newOutbox(cfg),
		conversations: make(map[Conv]*conversation), historyEnd: make(map[Conv]int64), gaps: make(map[*conversation]struct{}),
	}
	if cfg.State != nil {
		saved, err := cfg.State.Load()
		if err != nil {
			return nil, err
		}
		if saved != nil {
			c.restore(saved)
		}
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	go c.dispatch()
	return c, nil
}

// Close ends the client: no handler is called any more, what was handled is
// receipted, the connection closed, progress saved, and all goroutines are
// waited for. Messages that are not acknowledged get ErrClosed; Flush first
// to know of them. It must not be called by a handler. It blocks for 2 s at
// most beyond the handler that runs. The error is that of saving; a second
// Close waits for the first and returns nil.
func (c *Client) Close() error {
	if c.stopping.Swap(true) {
		<-c.closeDone
		return nil
	}
	defer close(c.closeDone)
	c.cancel()
	c.mu.Lock()
	failed := c.outbox.takeAll()
	var calls map[int64]*call
	if s := c.session; s != nil {
		calls, s.calls = s.calls, make(map[int64]*call)
	}
	c.mu.Unlock()
	// A handler may be waiting for one of these.
	for _, cl := range calls {
		cl.complete(nil, ErrClosed)
	}
	failAll(failed, ErrClosed)
	<-c.dispatchDone

	c.mu.Lock()
	if s := c.session; s != nil {
		c.appendReceipts(s)
		s.closeAfterWrite()
	}
	c.stayLoggedIn = false
	c.mu.Unlock()
	c.wg.Wait()
	return c.save()
}

// Me is the id and name of the user, 0 and "" before the first login.
func (c *Client) Me() (id int64, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.userID, c.name
}

// Token is what LoginToken takes, "" before the first login and after Logout.
// It is a secret.
func (c *Client) Token() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.token
}

// State is how far the client is connected at the moment.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.session == nil:
		return Disconnected
	case c.session.loggedIn:
		return LoggedIn
	}
	return Connected
}

// Stats are counters since New.
type Stats struct {
	Sent        uint64 // chat messages put on the wire, repeats included
	Acked       uint64 // chat messages acknowledged
	Repeated    uint64 // chat messages put on the wire again
	Refused     uint64 // chat messages refused for good
	OutboxFull  uint64 // chat messages not taken
	Received    uint64 // chat messages given to the handler
	Duplicates  uint64 // chat messages dropped because they were known
	Syncs       uint64 // holes asked for with SYNC
	QueueFull   uint64 // chat messages left to SYNC because handlers were slow
	Dropped     uint64 // presence, reads, events dropped because handlers were slow
	Receipts    uint64 // sent
	Undecodable uint64 // frames of the server that were skipped
	Reconnects  uint64 // logins after a lost connection
}

type counters struct {
	sent, acked, repeated, refused, outboxFull, received, duplicates, syncs, queueFull, dropped,
	receipts, undecodable, reconnects atomic.Uint64
}

// Stats returns the counters.
func (c *Client) Stats() Stats {
	s := &c.stats
	return Stats{
		Sent: s.sent.Load(), Acked: s.acked.Load(), Repeated: s.repeated.Load(), Refused: s.refused.Load(),
		OutboxFull: s.outboxFull.Load(), Received: s.received.Load(), Duplicates: s.duplicates.Load(),
		Syncs: s.syncs.Load(), QueueFull: s.queueFull.Load(), Dropped: s.dropped.Load(),
		Receipts: s.receipts.Load(), Undecodable: s.undecodable.Load(), Reconnects: s.reconnects.Load(),
	}
}

// restore takes over what an earlier run saved.
func (c *Client) restore(s *Saved) {
	c.userID, c.name, c.device, c.token, c.epoch = s.User, s.Name, s.Device, s.Token, s.Epoch
	for conv, last := range s.Last {
		if conv.check() == nil && last > 0 && last <= proto.MaxID {
			t := newConversation(conv)
			t.startAt(last, nil)
			t.receiptSent = t.handled
			c.conversations[conv] = t
		}
	}
}

// save writes what has changed to the Store. It blocks as that does.
func (c *Client) save() error {
	if c.cfg.State == nil {
		return nil
	}
	c.saveMu.Lock()
	defer c.saveMu.Unlock()
	c.mu.Lock()
	if !c.unsaved {
		c.mu.Unlock()
		return nil
	}
	c.unsaved = false
	s := &Saved{User: c.userID, Name: c.name, Device: c.device, Token: c.token, Epoch: c.epoch,
		Last: make(map[Conv]int64, len(c.conversations))}
	for conv, t := range c.conversations {
		if t.handled > 0 {
			s.Last[conv] = t.handled
		}
	}
	c.mu.Unlock()
	err := c.cfg.State.Save(s)
	if err != nil {
		c.mu.Lock()
		c.unsaved = true
		c.mu.Unlock()
	}
	return err
}

// saveOrLog saves where a failure must not fail what is saved.
func (c *Client) saveOrLog() bool {
	err := c.save()
	if err != nil {
		c.cfg.Logger.Error("saving the state failed", "error", err)
	}
	return err == nil
}

// say queues a state change for the handlers. Such are few: they are never
// dropped.
func (c *Client) queueStateChange(s StateChange) { c.queue.put(queueItem{what: s}) }
