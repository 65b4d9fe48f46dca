package reactor

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"
	"github.com/panjf2000/gnet/v2"

	"chatd/proto"
)

// loop is an event loop. Each has its own gnet client, so that the reactor decides
// to which loop a connection goes. (gnet's server accepts connections itself, and
// stops when accept fails.)
type loop struct {
	gnet.BuiltinEventEngine

	r       *Reactor
	idx     int
	turnEnd func(t Turn) // Handler.TurnEnd, kept here to save an allocation per turn
	client  *gnet.Client
	el      gnet.EventLoop
	// wakeConn is our end of a socket pair. The loop polls the other end like a
	// connection, so a byte wakes it. gnet's own tasks aren't used because they
	// all run before any I/O: a busy mailbox would starve the sockets.
	wakeConn net.Conn

	// Any goroutine may use these.
	mailbox     mailbox
	conns       atomic.Int32  // connections assigned to the loop
	lastID      atomic.Uint64 // the last connection's ID
	tickDue     atomic.Bool   // the ticker wants onTick to run
	unsentBytes atomic.Int64  // unsent.bytes at the end of the last turn

	stateOnLoop
}

// stateOnLoop is the state that only the loop's goroutine may touch.
type stateOnLoop struct {
	now        time.Time // when the turn began
	inTurn     bool
	handlerRan bool // the handler was called since its last TurnEnd
	selfWoken  bool // the loop has woken itself to continue after a round of I/O
	fastTicks  bool // the loop has asked the ticker for fast ticks
	counts     countsOnLoop
	unsent     unsentOnLoop
	decoder    proto.Decoder

	all        []*Conn
	dirty      []*Conn // have output for the end of the turn
	resumed    []*Conn // Resume was called; their held frames come next
	abusers    []*Conn // kicked for abuse; KickedForAbuse isn't called yet
	closed     []*Conn // Closed isn't called yet
	newWaiters []*Conn // began to wait for output to drain in this turn
	waiters    []*Conn // wait for output to drain; checked on every fast tick

	inbox     []*batch // taken from the mailbox
	inboxNext int      // index of the current batch
	outbox    []*batch // by loop index: the batch of this turn for that loop
	outboxTo  []*loop  // loops that have a batch in outbox

	// Scratch space, to save allocations per frame.
	scratch  []byte
	wsReader bytes.Reader
	wsBuf    [ws.MaxHeaderSize]byte

	timers timerWheelOnLoop // last, as it is large
}

func newLoop(r *Reactor, idx int) *loop {
	l := &loop{r: r, idx: idx, turnEnd: r.h.TurnEnd}
	l.outbox, l.unsent = make([]*batch, r.cfg.Loops), newUnsent(&r.cfg)
	newTimerWheel(&l.timers, r.cfg.Now())
	return l
}

// start starts the loop's goroutine and waits until it polls.
func (l *loop) start() error {
	client, err := gnet.NewClient(l, gnet.WithLogger(gnetLog{l.r.log}), gnet.WithNumEventLoop(1))
	if err != nil {
		return fmt.Errorf("reactor: create loop %d: %w", l.idx, err)
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return fmt.Errorf("reactor: create the wake-up socket of loop %d: %w", l.idx, err)
	}
	if err := client.Start(); err != nil {
		return errors.Join(fmt.Errorf("reactor: start loop %d: %w", l.idx, err), ours.Close(), theirs.Close())
	}
	gc, err := client.EnrollContext(theirs, nil)
	if err != nil {
		return errors.Join(fmt.Errorf("reactor: poll the wake-up socket of loop %d: %w", l.idx, err), ours.Close(), client.Stop())
	}
	l.client, l.el, l.wakeConn = client, gc.EventLoop(), ours
	l.mailbox.setOpen(true)
	return nil
}

// stop ends the loop's goroutine and waits for it. Its connections must be closed
// already. Functions that are left in its mailbox never run.
func (l *loop) stop() error {
	if l.client == nil {
		return nil
	}
	l.mailbox.setOpen(false)
	return errors.Join(l.client.Stop(), l.wakeConn.Close())
}

// OnOpen is called by gnet when a connection has joined the loop.
func (l *loop) OnOpen(gc gnet.Conn) ([]byte, gnet.Action) {
	c, ok := gc.Context().(*Conn)
	if !ok { // the wake-up socket
		return nil, gnet.None
	}
	t := Turn{l}
	l.beginTurn(t)
	c.begin(t, gc)
	l.endTurn(t)
	return nil, gnet.None
}

// OnTraffic is called by gnet when it has read a socket. It takes all bytes, so
// that the reactor, and not gnet, keeps incomplete frames and limits their size.
func (l *loop) OnTraffic(gc gnet.Conn) gnet.Action {
	data, err := gc.Next(-1)
	if err != nil {
		return gnet.Close
	}
	action := gnet.None
	t := Turn{l}
	l.beginTurn(t)
	if c, ok := gc.Context().(*Conn); ok {
		l.counts.bytesIn += len(data)
		if c.finishing && c.discard(t, len(data)) {
			action = gnet.Close
		}
		c.feed(t, data)
	} else { // the wake-up socket
		l.selfWoken = false
		l.readMailbox(t)
		if l.tickDue.Swap(false) {
			l.onTick(t)
		}
	}
	l.endTurn(t)
	return action
}

// OnClose is called by gnet when a connection has ended: closed by the client or
// by the reactor, or within a Write that failed. Afterwards, the file descriptor
// may belong to another connection.
func (l *loop) OnClose(gc gnet.Conn, err error) gnet.Action {
	t := Turn{l}
	c, ok := gc.Context().(*Conn)
	if !ok || !c.open {
		return gnet.None
	}
	nested := l.inTurn // within a Write
	if !nested {
		l.beginTurn(t)
	}
	c.ended(t, gc, err)
	if !nested {
		l.endTurn(t)
	}
	return gnet.None
}

func (l *loop) add(t Turn, c *Conn) {
	c.slot = len(l.all)
	l.all = append(l.all, c)
}

func (l *loop) remove(t Turn, c *Conn) {
	last := len(l.all) - 1
	l.all[c.slot] = l.all[last]
	l.all[c.slot].slot = c.slot
	l.all[last] = nil
	l.all = l.all[:last]
}
