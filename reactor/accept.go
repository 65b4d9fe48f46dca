package reactor

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"chatd/proto"
)

const (
	// acceptors is the number of goroutines that accept. There are several
	// because handing a connection to a loop waits for the loop.
	acceptors = 4
	// How long to wait before trying again when there are no file descriptors.
	acceptBackoffMin = 10 * time.Millisecond
	acceptBackoffMax = time.Second
	// How often that is logged, at most.
	acceptLogEvery = 10 * time.Second
	// How long writing to a refused client may take.
	refuseTimeout = 50 * time.Millisecond
	retryAfterMS  = 5000
)

var errFull = errors.New("reactor: too many connections")

// acceptor accepts connections and assigns them to loops.
type acceptor struct {
	r      *Reactor
	ctx    context.Context // done when accepting ends
	logged atomic.Int64    // when a failure was last logged, Unix nanoseconds
}

// run accepts until the listener is closed.
func (a *acceptor) run() {
	backoff := time.Duration(0)
	for {
		nc, err := a.r.ln.Accept()
		if err == nil {
			err = a.admit(nc)
		}
		switch {
		case a.ctx.Err() != nil:
			return
		case err == nil, errors.Is(err, syscall.ECONNABORTED):
			backoff = 0
		case errors.Is(err, net.ErrClosed):
			return
		default:
			// No file descriptors or no memory. Trying again at once doesn't
			// help. Existing connections aren't affected.
			backoff = min(max(2*backoff, acceptBackoffMin), acceptBackoffMax)
			a.backOff(err, backoff)
		}
	}
}

func (a *acceptor) backOff(err error, d time.Duration) {
	a.r.count.acceptBackoff.Inc()
	now, last := time.Now().UnixNano(), a.logged.Load()
	if now-last > int64(acceptLogEvery) && a.logged.CompareAndSwap(last, now) {
		a.r.log.Error("accept failed; trying again", "err", err, "in", d)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-a.ctx.Done():
	}
}

// admit assigns a connection to the loop with the fewest, or refuses it. It
// returns an error if the machine can't serve it, not if a limit forbids it.
func (a *acceptor) admit(nc net.Conn) error {
	r := a.r
	addr := remoteAddr(nc)
	charged := addr
	if r.trusted(addr) {
		charged = netip.Addr{}
	}
	if err := r.countIn(charged); err != nil {
		r.countRefused(err)
		refuse(nc)
		return nil
	}
	l := r.loops[0]
	for _, o := range r.loops[1:] {
		if o.conns.Load() < l.conns.Load() {
			l = o
		}
	}
	l.conns.Add(1)
	c := newConn(l, addr, charged)
	_, err := l.client.EnrollContext(nc, c) // copies the descriptor and closes nc; waits until OnOpen has run
	if err == nil && !c.joined.Load() {
		err = errors.New("reactor: the loop couldn't poll the connection")
	}
	if err != nil {
		r.countOut(l, charged)
		r.count.refusedFailed.Inc()
		return err
	}
	r.count.accepted.Inc()
	return nil
}

// remoteAddr returns the address at the other end. It removes the zones of both
// addresses, because gnet would put the bytes of their strings into its buffer
// pool.
func remoteAddr(nc net.Conn) netip.Addr {
	for _, a := range []net.Addr{nc.LocalAddr(), nc.RemoteAddr()} {
		if tcp, ok := a.(*net.TCPAddr); ok {
			tcp.Zone = ""
		}
	}
	if tcp, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// refuse tells a client that there are too many connections, and closes. It
// uses the TCP framing, as the client's framing isn't known yet.
func refuse(nc net.Conn) {
	body := proto.AppendResponse(nil, &proto.Response{Op: proto.ERROR, Errno: proto.TooFast,
		ErrMsg: "too many connections; try again later", RetryAfter: retryAfterMS})
	if nc.SetWriteDeadline(time.Now().Add(refuseTimeout)) == nil {
		_, _ = nc.Write(proto.AppendFrame(nil, body)) // best effort
	}
	_ = nc.Close()
}

// countIn counts a new connection, or returns the limit that forbids it.
func (r *Reactor) countIn(addr netip.Addr) error {
	if r.open.Add(1) > int64(r.cfg.MaxConns) {
		r.open.Add(-1)
		return errFull
	}
	if addr.IsValid() {
		if err := r.limits.admit(addr, r.cfg.Now()); err != nil {
			r.open.Add(-1)
			return err
		}
	}
	return nil
}

// countOut takes a connection of l off all counts. charged is the address that
// limits count it for.
func (r *Reactor) countOut(l *loop, charged netip.Addr) {
	l.conns.Add(-1)
	r.open.Add(-1)
	r.limits.leave(charged)
}

// countRefused counts a refused connection by the limit that forbade it.
func (r *Reactor) countRefused(err error) {
	switch {
	case errors.Is(err, errFull):
		r.count.refusedFull.Inc()
	case errors.Is(err, errAddrRate):
		r.count.refusedRate.Inc()
	default:
		r.count.refusedAddr.Inc()
	}
}
