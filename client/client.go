package client

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"chatd/proto"
)

// Client is one device of one user. Create it with New, and call Close when done.
// A dispatcher goroutine calls the handlers. Each connection has a reader and a
// writer, and a further goroutine reconnects when needed.
type Client struct {
	cfg   Config
	queue *queue
	stats counters

	ctx          context.Context // canceled when Close begins
	cancel       context.CancelFunc
	stopping     atomic.Bool    // Close was called
	wg           sync.WaitGroup // all goroutines except the dispatcher
	dispatchDone chan struct{}  // closed when the dispatcher has ended
	closeDone    chan struct{}  // closed when Close is done
	loginLock    chan struct{}  // a mutex that respects contexts; held while connecting, logging in or out
	saveMu       sync.Mutex     // held during Store.Save
	nextAddr     atomic.Uint64  // counts dials; selects the next address

	mu               sync.Mutex // guards the fields below and what they point to. Only queue.mu may be locked while holding it
	session          *session   // nil if not connected
	rid              int64
	loginGeneration  int64     // incremented by Login and Logout; makes an older reconnect stop
	abandonedAt      time.Time // when a login was given up without an answer; see replacedItself
	reconnectAttempt int       // attempts since the last stable connection
	retryAt          time.Time // when the next reconnect is

	userID       int64 // 0 before the first login
	name         string
	device       string
	token        string
	epoch        int64
	features     []string // of the last LOGIN_ACK
	stayLoggedIn bool     // reconnect if needed, and accept messages

	lists               lists
	outbox              outbox
	conversations       map[Conv]*conversation
	historyEnd          map[Conv]int64 // highest seq that History has returned
	gaps                map[*conversation]struct{}
	receiptsDue         []*conversation // conversations that have a receipt to send
	receiptsDueSince    time.Time
	receiptsDueMessages int // messages handled since receiptsDueSince
	// settleAt is when the missed messages of a login have probably all arrived:
	// unknownStartDelay after the last push. It is zero after that, and if all of
	// them were in LOGIN_ACK.
	settleAt       time.Time
	wakeTime       time.Time // when the writer's timer fires
	throttledUntil time.Time // send nothing but PINGs before this; zero if not throttled
	unsaved        bool
}

// New returns a client. It doesn't connect, and blocks only to load
// Config.State. An error says that a setting is invalid, or comes from Store.Load,
// such as ErrBadState. The client runs a goroutine until Close.
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

// Close ends the client. It stops calling handlers, sends receipts for the handled
// messages, closes the connection, saves the progress, and waits for all
// goroutines. Unacknowledged messages fail with ErrClosed; call Flush first to
// wait for them. Close blocks until the running handler returns, and up to 2 s
// more, so a handler must not call it. The error is from saving the progress. A second
// Close waits for the first one and returns nil.
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
	// Before waiting for the dispatcher: a handler may be waiting for one of these.
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

// Me returns the user's ID and name, or 0 and "" before the first login.
func (c *Client) Me() (id int64, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.userID, c.name
}

// Token returns the token for LoginToken, or "" before the first login and after
// Logout. It is a secret.
func (c *Client) Token() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.token
}

// Features returns the names of what the server had enabled at the last login, such as
// proto.FeatureRegister. Ignore names that you don't know. It is empty before the first
// login. The caller may modify the result.
func (c *Client) Features() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.features)
}

// State returns the current state of the connection.
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
	Sent        uint64 // chat messages sent, including retries
	Acked       uint64 // chat messages acknowledged
	Repeated    uint64 // chat messages resent
	Refused     uint64 // chat messages refused for good
	OutboxFull  uint64 // chat messages refused by Send because the outbox was full
	Received    uint64 // chat messages passed to the handler
	Duplicates  uint64 // chat messages received again and dropped
	Syncs       uint64 // SYNC requests for missing messages
	QueueFull   uint64 // chat messages left to SYNC because handlers were slow
	Dropped     uint64 // other notifications dropped because handlers were slow
	Receipts    uint64 // receipts sent
	Undecodable uint64 // frames from the server that couldn't be decoded
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

// restore loads the state that an earlier run saved.
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

// save writes the state to the Store if it has changed. It blocks while the
// Store does.
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
		if seq := t.toSave(); seq > 0 {
			s.Last[conv] = seq
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

// saveOrLog saves the state and logs an error. It reports success.
func (c *Client) saveOrLog() bool {
	err := c.save()
	if err != nil {
		c.cfg.Logger.Error("failed to save state", "error", err)
	}
	return err == nil
}

// queueStateChange queues a state change for the handlers. State changes are
// rare and never dropped.
func (c *Client) queueStateChange(s StateChange) { c.queue.put(queueItem{what: s}) }
