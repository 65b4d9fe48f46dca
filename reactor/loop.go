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

// loop is one event loop: a gnet client of its own, so that it is ours to say
// which connection goes where. (gnet's server would accept by itself, and end
// when that fails.)
type loop struct {
	gnet.BuiltinEventEngine

	r       *Reactor
	idx     int
	turnEnd func(t Turn) // the handler's; as a method value it would be made anew each time
	client  *gnet.Client
	el      gnet.EventLoop
	// bell is our end of a socket pair whose other end the loop polls like a
	// connection. A byte wakes the loop in its turn among the sockets; a task
	// given to gnet instead would run before all I/O, again and again.
	bell   net.Conn
	conns  atomic.Int32 // connections given to it
	box    mailbox
	tick   atomic.Bool   // the wheel is to be turned
	waits  atomic.Int64  // lag.bytes at the end of the last turn
	lastID atomic.Uint64 // of a connection

	stateOnLoop
}

// stateOnLoop is what of a loop belongs to its goroutine.
type stateOnLoop struct {
	now     time.Time
	inTurn  bool
	worked  bool // the handler did something since its last TurnEnd
	nudged  bool // the loop rang its own bell
	polling bool // the ticker goes faster for us
	n       countsOnLoop
	all     []*Conn
	dirty   []*Conn // have something to write
	resumed []*Conn // whose held frames are to be taken up
	abusive []*Conn // were kicked for abuse, and Abused isn't called yet
	gone    []*Conn // closed, and Closed isn't called yet
	fresh   []*Conn // began to wait for WhenBelow in this turn
	waiting []*Conn // looked after at every fast tick
	lag     unsentOnLoop
	in      []*batch // taken from the mailbox
	inNext  int      // the one at hand
	out     []*batch // by loop, what this turn has for it
	outTo   []*loop  // those that have some
	dec     proto.Decoder
	wheel   wheelOnLoop
	scratch []byte

	// Scratch for WebSocket headers, which would be allocated each time.
	wsReader bytes.Reader
	wsBuf    [ws.MaxHeaderSize]byte
}

func newLoop(r *Reactor, idx int) *loop {
	l := &loop{r: r, idx: idx, turnEnd: r.h.TurnEnd}
	l.out, l.lag = make([]*batch, r.cfg.Loops), newUnsent(&r.cfg)
	newWheel(&l.wheel, r.cfg.Now())
	return l
}

// start runs the loop's goroutine and waits until it polls.
func (l *loop) start() error {
	client, err := gnet.NewClient(l, gnet.WithLogger(gnetLog{l.r.log}), gnet.WithNumEventLoop(1))
	if err != nil {
		return fmt.Errorf("reactor: make loop %d: %w", l.idx, err)
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return fmt.Errorf("reactor: bell of loop %d: %w", l.idx, err)
	}
	if err := client.Start(); err != nil {
		return errors.Join(fmt.Errorf("reactor: start loop %d: %w", l.idx, err), ours.Close(), theirs.Close())
	}
	gc, err := client.EnrollContext(theirs, nil)
	if err != nil {
		return errors.Join(fmt.Errorf("reactor: bell of loop %d: %w", l.idx, err), ours.Close(), client.Stop())
	}
	l.client, l.el, l.bell = client, gc.EventLoop(), ours
	l.box.setOpen(true)
	return nil
}

// stop ends the loop's goroutine and waits for it. Its connections are closed
// before; what is still in its mailbox never runs.
func (l *loop) stop() error {
	if l.client == nil {
		return nil
	}
	l.box.setOpen(false)
	return errors.Join(l.client.Stop(), l.bell.Close())
}

// OnOpen is gnet's: a connection has joined the loop.
func (l *loop) OnOpen(gc gnet.Conn) ([]byte, gnet.Action) {
	c, ok := gc.Context().(*Conn)
	if !ok {
		return nil, gnet.None
	}
	t := Turn{l}
	l.beginTurn(t)
	c.begin(t, gc)
	l.endTurn(t)
	return nil, gnet.None
}

// OnTraffic is gnet's: a socket was read. All of it is taken, so that gnet
// keeps nothing back: what is left of a frame is ours to bound.
func (l *loop) OnTraffic(gc gnet.Conn) gnet.Action {
	data, err := gc.Next(-1)
	if err != nil {
		return gnet.Close
	}
	action := gnet.None
	t := Turn{l}
	l.beginTurn(t)
	if c, ok := gc.Context().(*Conn); ok {
		l.n.bytesIn += len(data)
		if c.finishing && c.discard(t, len(data)) {
			action = gnet.Close
		}
		c.feed(t, data)
	} else {
		l.nudged = false
		l.drain(t)
		if l.tick.Swap(false) {
			l.onTick(t)
		}
	}
	l.endTurn(t)
	return action
}

// OnClose is gnet's: a connection has ended, by itself, by ours, or within a
// Write that failed. From here on its file descriptor may be someone else's.
func (l *loop) OnClose(gc gnet.Conn, err error) gnet.Action {
	c, ok := gc.Context().(*Conn)
	if !ok || !c.open {
		return gnet.None
	}
	t := Turn{l}
	outer := !l.inTurn
	if outer {
		l.beginTurn(t)
	}
	c.ended(t, gc, err)
	if outer {
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
