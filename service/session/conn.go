package session

import (
	"time"

	"chatd/proto"
	"chatd/reactor"
	"chatd/service/limits"
)

// Conn is a connection, with the state that the service keeps for it.
type Conn struct {
	*reactor.Conn
	s  *Sessions
	on connOnLoop
}

// connOnLoop is the part of a Conn that its event loop owns.
type connOnLoop struct {
	session *Session // nil: not logged in
	busy    bool     // a job is running; later requests wait
	order   orderOnLoop
	pending int64 // this connection's share of Sessions.pending, in bytes
	op      proto.Op
	began   time.Time // when the request with this op began; see Begin
}

// Open creates the Conn of a new connection.
func (s *Sessions) Open(t Turn, c *reactor.Conn) { c.SetData(t, &Conn{Conn: c, s: s}) }

// ConnOf returns the Conn that Open has created for a connection.
func ConnOf(t Turn, c *reactor.Conn) *Conn { return c.Data(t).(*Conn) }

// Session returns the session on the connection, or nil if nobody is logged in.
func (c *Conn) Session(t Turn) *Session { return c.on.session }

// Busy reports whether a job of the connection is running, see RunJob.
func (c *Conn) Busy(t Turn) bool { return c.on.busy }

// Idle reports whether all requests of the client are answered.
func (c *Conn) Idle(t Turn) bool { return !c.on.busy && len(c.on.order.inFlight) == 0 }

// InFlight returns the number of chat messages without an answer.
func (c *Conn) InFlight(t Turn) int { return len(c.on.order.inFlight) }

// ChargeRequest charges the current request to the rate limits of its connection
// and user. costly means that its answer may cost much more than the request, so
// that earlier answers count, too. If it returns a wait above 0, the request must be
// refused with that retry_after.
func (c *Conn) ChargeRequest(t Turn, costly bool) (wait time.Duration) {
	size, wait := c.Charge(t)
	if wait > 0 || c.on.session == nil {
		return wait
	}
	if wait = c.s.limits.Frame(c.on.session.Rate, t.Now(), size); wait == 0 && costly {
		wait = c.s.limits.Costly(c.on.session.Rate, t.Now())
	}
	if wait > 0 {
		return c.Throttle(t, wait)
	}
	return 0
}

// Answer returns the ACK of a request, with the fields that it repeats from the
// request. Its CID aliases the request's.
func Answer(r *proto.Request) proto.Response {
	return proto.Response{Op: r.Op.Ack(), Fields: r.Fields & (1 << proto.FRID), RID: r.RID,
		ToID: r.ToID, Peer: r.Peer, GroupID: r.GroupID, FriendID: r.FriendID, UserID: r.UserID,
		On: r.On, CID: r.CID}
}

// Reply sends an answer, and charges its size to the user.
func (c *Conn) Reply(t Turn, a *proto.Response) {
	before := c.BytesQueued(t)
	c.WriteResponse(t, a)
	c.ChargeBytes(t, int(c.BytesQueued(t)-before))
}

// ChargeRows charges rows to the user that a request has read. Reply charges their
// bytes, if they are in the answer.
func (c *Conn) ChargeRows(t Turn, n int) { c.ChargeBytes(t, n*limits.RowBytes) }

// ChargeBytes charges bytes that are sent because of a request to the user.
func (c *Conn) ChargeBytes(t Turn, n int) {
	if ss := c.on.session; ss != nil {
		c.s.limits.Answered(ss.Rate, t.Now(), n)
	}
}

// ChargePushes charges a push of this size to the user, for each session that gets
// it.
func (c *Conn) ChargePushes(t Turn, sessions, size int) {
	if ss := c.on.session; ss != nil {
		c.s.limits.Pushed(ss.Rate, t.Now(), sessions, size)
	}
}

// Refuse sends the answer a with the errno of err, and returns that errno.
func (c *Conn) Refuse(t Turn, a proto.Response, err error) proto.Errno {
	e := c.s.Errno(&a, err)
	a.Errno, a.ErrMsg, a.RetryAfter = e.Errno, e.Message, e.RetryAfter.Milliseconds()
	c.s.m.refused.Inc()
	c.Reply(t, &a)
	return e.Errno
}

// RunJob runs job on a worker of lane l, where it may block, and then done on
// the loop. Until then further requests from the client wait. If job fails, or
// the worker's queue is full, RunJob refuses the request with the error, and
// doesn't call done. done is also called if the connection has closed meanwhile,
// because what job did may concern other users.
func RunJob[T any](t Turn, c *Conn, l reactor.Lane, a proto.Response, job func(t Off) (T, error), done func(t Turn, v T)) {
	TryJob(t, c, l, job, func(t Turn, v T, err error) {
		if err != nil {
			c.Refuse(t, a, err)
		} else {
			done(t, v)
		}
	})
}

// TryJob is like RunJob, but passes errors to done, including the error that the
// worker's queue is full.
func TryJob[T any](t Turn, c *Conn, l reactor.Lane, job func(t Off) (T, error), done func(t Turn, v T, err error)) {
	c.on.busy = true
	err := reactor.Go(t, c.Conn, l, job, func(t Turn, v T, err error) {
		c.on.busy = false
		op, began := c.on.op, c.on.began
		if done(t, v, err); !c.on.busy {
			c.s.latency[t.Loop()].observe(op, t.Now().Sub(began))
		}
		c.Resume(t)
	})
	if err != nil {
		c.on.busy = false
		var none T
		done(t, none, err)
	}
}

// Await lets further requests from the client wait until the store answers, which
// doesn't take a worker meanwhile. start must not block. It gets a function that must
// be called once, by any goroutine; then done is called on the loop, also if the
// connection has closed meanwhile.
func Await[T any](t Turn, c *Conn, start func(answer func(v T, err error)), done func(t Turn, v T, err error)) {
	c.on.busy = true
	loop := t.Loop()
	start(func(v T, err error) {
		_ = c.s.r.Post(loop, func(t Turn) { // an error means that the reactor has stopped
			c.on.busy = false
			done(t, v, err)
			c.Resume(t)
		})
	})
}
