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
	// acceptors take connections side by side, since handing one to a loop
	// waits for the loop.
	acceptors = 4
	// How long to leave the listener alone when there are no descriptors.
	acceptBackoffMin = 10 * time.Millisecond
	acceptBackoffMax = time.Second
	// At most one line in the log about that in this time.
	acceptLogEvery = 10 * time.Second
	// What is written to those there is no room for must not hold up others.
	refuseTimeout = 50 * time.Millisecond
	retryAfterMS  = 5000
)

var errFull = errors.New("reactor: no room for more connections")

// acceptor takes connections and hands them to loops.
type acceptor struct {
	r      *Reactor
	ctx    context.Context // ends when accepting does
	logged atomic.Int64    // when the log last told of a failure, Unix nanoseconds
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
			// No descriptors, or no memory: neither is helped by trying at
			// once, and whoever is connected goes on being served.
			backoff = min(max(2*backoff, acceptBackoffMin), acceptBackoffMax)
			a.pause(err, backoff)
		}
	}
}

func (a *acceptor) pause(err error, d time.Duration) {
	a.r.count.acceptBackoff.Inc()
	now, last := time.Now().UnixNano(), a.logged.Load()
	if now-last > int64(acceptLogEvery) && a.logged.CompareAndSwap(last, now) {
		a.r.log.Error("can't accept connections; trying again", "err", err, "pause", d)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-a.ctx.Done():
	}
}

// admit hands a connection to the loop that has the fewest. An error means
// that the machine can't, not that this client may not.
func (a *acceptor) admit(nc net.Conn) error {
	r := a.r
	addr := remoteAddr(nc)
	charged := addr
	if r.trusted(addr) {
		charged = netip.Addr{}
	}
	if err := r.enter(charged); err != nil {
		r.refused(err)
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
	_, err := l.client.EnrollContext(nc, c) // closes nc; waits until OnOpen has run
	if err == nil && !c.joined.Load() {
		err = errors.New("reactor: the loop could not poll the connection")
	}
	if err != nil {
		r.uncount(l, charged)
		r.count.refusedFailed.Inc()
		return err
	}
	r.count.accepted.Inc()
	return nil
}

// remoteAddr is the address at the other end. Zones are taken out of both
// addresses: gnet would put their strings' bytes into its buffer pool.
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

// refuse tells a client that there is no room, as far as that is possible
// before its first byte, and closes.
func refuse(nc net.Conn) {
	body := proto.AppendResponse(nil, &proto.Response{Op: proto.ERROR, Errno: proto.TooFast,
		ErrMsg: "too many connections", RetryAfter: retryAfterMS})
	if nc.SetWriteDeadline(time.Now().Add(refuseTimeout)) == nil {
		_, _ = nc.Write(proto.AppendFrame(nil, body)) // best effort
	}
	_ = nc.Close()
}

// enter counts a connection in.
func (r *Reactor) enter(addr netip.Addr) error {
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

// uncount takes a connection of l off all counts; charged is whom the limits
// count it for.
func (r *Reactor) uncount(l *loop, charged netip.Addr) {
	l.conns.Add(-1)
	r.open.Add(-1)
	r.limits.leave(charged)
}

func (r *Reactor) refused(err error) {
	switch {
	case errors.Is(err, errFull):
		r.count.refusedFull.Inc()
	case errors.Is(err, errAddrRate):
		r.count.refusedRate.Inc()
	default:
		r.count.refusedAddr.Inc()
	}
}
