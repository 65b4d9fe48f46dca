package session

import (
	"time"

	"chatd/proto"
	"chatd/reactor"
)

// Conn is the service's side of a connection.
type Conn struct {
	*reactor.Conn
	s  *Sessions
	on connOnLoop
}

// connOnLoop is the part of a Conn that its event loop owns.
type connOnLoop struct {
	session *Session // nil: not logged in
	busy    bool     // a request is with the store: the next ones are held
	order   orderOnLoop
	pending int64 // bytes of its messages in flight, as Sessions.pending counts them
}

// Open makes the Conn of a new connection.
func (s *Sessions) Open(t Turn, c *reactor.Conn) { c.SetData(t, &Conn{Conn: c, s: s}) }

// ConnOf is the Conn that Open made for a connection.
func ConnOf(t Turn, c *reactor.Conn) *Conn { return c.Data(t).(*Conn) }

// Session is the session logged in on the connection, nil if there is none.
func (c *Conn) Session(t Turn) *Session { return c.on.session }

// Busy reports whether a request of the connection is with the store.
func (c *Conn) Busy(t Turn) bool { return c.on.busy }

// Idle reports whether everything that the client has sent is answered.
func (c *Conn) Idle(t Turn) bool { return !c.on.busy && len(c.on.order.inFlight) == 0 }

// InFlight is how many chat messages of the connection have no answer yet.
func (c *Conn) InFlight(t Turn) int { return len(c.on.order.inFlight) }

// ChargeRequest charges the request at hand to its connection and its user. With
// a wait above 0 the request has to be refused with that retry_after.
func (c *Conn) ChargeRequest(t Turn) (wait time.Duration) {
	size, wait := c.Charge(t)
	if wait > 0 || c.on.session == nil {
		return wait
	}
	if wait = c.s.limits.Frame(c.on.session.Rate, t.Now(), size); wait > 0 {
		return c.Throttle(t, wait)
	}
	return 0
}

// Answer begins the answer to a request: its ACK, with rid and what else the
// ACK repeats of the request. CID aliases the request.
func Answer(r *proto.Request) proto.Response {
	return proto.Response{Op: r.Op.Ack(), Fields: r.Fields & (1 << proto.FRID), RID: r.RID,
		ToID: r.ToID, Peer: r.Peer, GroupID: r.GroupID, FriendID: r.FriendID, UserID: r.UserID,
		On: r.On, CID: r.CID}
}

// Reply writes an answer.
func (c *Conn) Reply(t Turn, a *proto.Response) { c.WriteResponse(t, a) }

// Refuse answers with the errno that err stands for, and returns it.
func (c *Conn) Refuse(t Turn, a proto.Response, err error) proto.Errno {
	e := c.s.Errno(&a, err)
	a.Errno, a.ErrMsg, a.RetryAfter = e.Errno, e.Message, e.RetryAfter.Milliseconds()
	c.s.m.refused.Inc()
	c.Reply(t, &a)
	return e.Errno
}

// RunJob runs job where it may block, and then done on the loop. Until then
// the client's further requests are held. An error of job is the answer, and
// done doesn't run. done runs even if the connection has closed meanwhile:
// others have to be told what job did to the store.
func RunJob[T any](t Turn, c *Conn, l reactor.Lane, a proto.Response, job func(t Off) (T, error), done func(t Turn, v T)) {
	TryJob(t, c, l, job, func(t Turn, v T, err error) {
		if err != nil {
			c.Refuse(t, a, err)
		} else {
			done(t, v)
		}
	})
}

// TryJob is RunJob for a done that also handles errors, including that job
// could not be run.
func TryJob[T any](t Turn, c *Conn, l reactor.Lane, job func(t Off) (T, error), done func(t Turn, v T, err error)) {
	c.on.busy = true
	err := reactor.Go(t, c.Conn, l, job, func(t Turn, v T, err error) {
		c.on.busy = false
		done(t, v, err)
		c.Resume(t)
	})
	if err != nil {
		c.on.busy = false
		var none T
		done(t, none, err)
	}
}
