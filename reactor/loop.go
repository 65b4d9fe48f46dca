package reactor

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"
	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"chatd/proto"
)

// maxRounds is how often the end of a turn may start over because what it did
// had consequences, before I/O gets its turn again.
const maxRounds = 4

// turnEnd names the one call of the handler after which TurnEnd isn't due.
const turnEnd = "TurnEnd"

// loop is one event loop: a gnet client of its own, so that it is ours to say
// which connection goes where. (gnet's server would accept by itself, and end
// when that fails.) Fields below the line belong to its goroutine.
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
	bell  net.Conn
	conns atomic.Int32 // connections given to it
	box   mailbox
	tick  atomic.Bool  // the wheel is to be turned
	waits atomic.Int64 // lag.bytes at the end of the last turn

	// ----
	now     time.Time
	inTurn  bool
	worked  bool // the handler did something since its last TurnEnd
	nudged  bool // the loop rang its own bell
	polling bool // the ticker goes faster for us
	n       tally
	all     []*Conn
	dirty   []*Conn // have something to write
	resumed []*Conn // whose held frames are to be taken up
	abusive []*Conn // were kicked for abuse, and Abused isn't called yet
	gone    []*Conn // closed, and Closed isn't called yet
	fresh   []*Conn // began to wait for WhenBelow in this turn
	waiting []*Conn // looked after at every fast tick
	lag     lagging
	in      []*batch // taken from the mailbox
	inNext  int      // the one at hand
	out     []*batch // by loop, what this turn has for it
	outTo   []*loop  // those that have some
	dec     proto.Decoder
	wheel   wheel
	scratch []byte
	lastID  uint64

	// Scratch for WebSocket headers, which would be allocated each time.
	wsReader bytes.Reader
	wsBuf    [ws.MaxHeaderSize]byte
}

func newLoop(r *Reactor, idx int) *loop {
	l := &loop{r: r, idx: idx, turnEnd: r.h.TurnEnd, out: make([]*batch, r.cfg.Loops), lag: newLagging(&r.cfg)}
	l.wheel.init(r.cfg.Now())
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

// socketPair has two connected sockets as net.Conns.
func socketPair() (a, b net.Conn, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	var cs [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "bell")
		c, e := net.FileConn(f)
		err = errors.Join(err, e, f.Close())
		cs[i] = c
	}
	if err != nil {
		for _, c := range cs {
			if c != nil {
				_ = c.Close()
			}
		}
		return nil, nil, err
	}
	return cs[0], cs[1], nil
}

// wake has the loop look at its mailbox; for any goroutine. An error can only
// mean that the loop has stopped, and a full socket that it will wake anyway.
func (l *loop) wake() { _, _ = l.bell.Write([]byte{0}) }

// again has the loop go on with what it left for later, after a round of I/O.
func (l *loop) again() {
	if !l.nudged {
		l.nudged = true
		l.wake()
	}
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
		if c.finishing && c.discard(len(data)) {
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

func (l *loop) beginTurn(t Turn) {
	l.now = l.r.cfg.Now()
	l.inTurn = true
}

// endTurn ends a turn: what it set off is done, then handed over, then
// written, each connection once.
func (l *loop) endTurn(t Turn) {
	for round := 0; ; round++ {
		l.takeUp(t)
		l.blame(t)
		l.bury(t)
		if l.worked {
			l.worked = false
			l.call(t, nil, turnEnd, l.turnEnd)
		}
		l.handOver()
		l.flush(t)
		l.lag.relieve(t)
		l.checkFresh(t)
		if !l.worked && len(l.resumed)+len(l.abusive)+len(l.gone)+len(l.fresh)+len(l.outTo)+len(l.dirty) == 0 {
			break
		}
		if round == maxRounds {
			l.again()
			break
		}
	}
	if p := len(l.waiting) > 0; p != l.polling {
		l.polling = p
		l.r.ticker.faster(p)
	}
	l.n.flush(l.r.count)
	if b := int64(l.lag.bytes); b != l.waits.Load() {
		l.waits.Store(b)
	}
	l.inTurn = false
}

// takeUp goes on with connections whose held frames are wanted again. Those
// that ask once more meanwhile come in the next round.
func (l *loop) takeUp(t Turn) {
	n := len(l.resumed)
	for i := range n {
		l.resumed[i].takeUp(t)
	}
	l.resumed = slices.Delete(l.resumed, 0, n)
}

// blame tells the handler whom the reactor has kicked for abuse.
func (l *loop) blame(t Turn) {
	for i := 0; i < len(l.abusive); i++ {
		c := l.abusive[i]
		l.abusive[i] = nil
		l.call(t, c, "Abused", func(t Turn) { l.r.h.Abused(t, c) })
	}
	l.abusive = l.abusive[:0]
}

// bury tells the handler of connections that have ended.
func (l *loop) bury(t Turn) {
	for i := 0; i < len(l.gone); i++ {
		c := l.gone[i]
		l.gone[i] = nil
		l.worked = true
		l.call(t, nil, "Closed", func(t Turn) { l.r.h.Closed(t, c) })
		c.release()
	}
	l.gone = l.gone[:0]
}

// flush writes what connections have, each in one go.
func (l *loop) flush(t Turn) {
	for i := 0; i < len(l.dirty); i++ {
		c := l.dirty[i]
		l.dirty[i] = nil
		c.dirty = false
		c.flush(t)
	}
	l.dirty = l.dirty[:0]
}

// onTick turns the wheel and looks after those that wait for the kernel.
func (l *loop) onTick(t Turn) {
	l.wheel.advance(l.now, func(tm *timer) {
		if tm.c != nil {
			tm.c.check(t)
		} else {
			l.call(t, nil, "timer", tm.fn)
		}
	})
	for i, c := range l.waiting {
		if c.checkWaiting(t) {
			c.polled = false
			l.waiting[i] = nil
		}
	}
	l.waiting = compact(l.waiting)
	l.lag.look()
}

// checkFresh looks at those that began to wait in this turn, now that it is
// known what the kernel took.
func (l *loop) checkFresh(t Turn) {
	fresh := l.fresh
	l.fresh = nil
	for _, c := range fresh {
		if !c.checkWaiting(t) && !c.polled {
			c.polled = true
			l.waiting = append(l.waiting, c)
		}
	}
	if l.fresh == nil {
		clear(fresh)
		l.fresh = fresh[:0]
	}
}

func (l *loop) add(c *Conn) {
	c.slot = len(l.all)
	l.all = append(l.all, c)
}

func (l *loop) remove(c *Conn) {
	last := len(l.all) - 1
	l.all[c.slot] = l.all[last]
	l.all[c.slot].slot = c.slot
	l.all[last] = nil
	l.all = l.all[:last]
}

// call runs a function that isn't ours; c, which may be nil, pays if it
// panics.
func (l *loop) call(t Turn, c *Conn, what string, fn func(t Turn)) {
	defer l.caught(t, c, what)
	l.worked = l.worked || what != turnEnd
	fn(t)
}

// request has the handler take a frame.
func (l *loop) request(t Turn, c *Conn, r *proto.Request) (taken bool) {
	taken = true
	defer l.caught(t, c, "Request")
	l.worked = true
	return l.r.h.Request(t, c, r)
}

// caught is deferred around all that isn't ours.
func (l *loop) caught(t Turn, c *Conn, what string) {
	v := recover()
	if v == nil {
		return
	}
	l.r.count.panics.Inc()
	l.r.log.Error("panic on a loop", "in", what, "panic", v, "stack", string(debug.Stack()))
	if c != nil {
		c.finish(t)
	}
}

// compact takes the nils out of a list and keeps the order.
func compact(list []*Conn) []*Conn {
	kept := list[:0]
	for _, c := range list {
		if c != nil {
			kept = append(kept, c)
		}
	}
	clear(list[len(kept):])
	return kept
}
