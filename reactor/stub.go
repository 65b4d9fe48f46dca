package reactor

// The exported API, to build against; the bodies follow.

import (
	"context"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"chatd/proto"
)

// Handler is what the reactor calls: always on the connection's loop, one
// call at a time per loop.
type Handler interface {
	// Open tells of a new connection.
	Open(t Turn, c *Conn)
	// Request handles a decoded frame; r holds until it returns. False means
	// "not now": the reactor holds this frame and all that follow on this
	// connection (PING is still answered at once) until c.Resume.
	Request(t Turn, c *Conn, r *proto.Request) (taken bool)
	// TurnEnd runs at the end of a loop callback in which any other function of the
	// handler's ran, before the writes.
	TurnEnd(t Turn)
	// Closed comes exactly once per Open, as the last call about c.
	Closed(t Turn, c *Conn)
}

type Reactor struct{ loops []*loop }

func New(cfg Config, h Handler) (*Reactor, error)    { panic("todo") }
func (r *Reactor) Start() error                      { panic("todo") }
func (r *Reactor) Addr() net.Addr                    { panic("todo") }
func (r *Reactor) Loops() int                        { panic("todo") }
func (r *Reactor) Post(i int, fn func(t Turn)) error { panic("todo") }
func (r *Reactor) Each(fn func(t Turn, c *Conn))     { panic("todo") }
func (r *Reactor) Stop(ctx context.Context) error    { panic("todo") }
func (r *Reactor) Drain(ctx context.Context, idle func(t Turn, c *Conn) bool, last func(n int) []byte) error {
	panic("todo")
}

// Lane says which workers run a job.
type Lane int

const (
	Quick Lane = iota // the database
	Slow              // password hashing
)

func Go[T any](t Turn, c *Conn, l Lane, job func(t Off) (T, error), done func(t Turn, v T, err error)) error {
	panic("todo")
}

type Conn struct{ l *loop }

func (c *Conn) Write(t Turn, body []byte)                { panic("todo") }
func (c *Conn) WriteResponse(t Turn, r *proto.Response)  { panic("todo") }
func (c *Conn) Finish(t Turn, last []byte)               { panic("todo") }
func (c *Conn) Resume(t Turn)                            { panic("todo") }
func (c *Conn) LoggedIn(t Turn, yes bool)                { panic("todo") }
func (c *Conn) Open(t Turn) bool                         { panic("todo") }
func (c *Conn) Data(t Turn) any                          { panic("todo") }
func (c *Conn) SetData(t Turn, v any)                    { panic("todo") }
func (c *Conn) Queued(t Turn) uint64                     { panic("todo") }
func (c *Conn) Taken(t Turn) uint64                      { panic("todo") }
func (c *Conn) Waiting(t Turn) int                       { panic("todo") }
func (c *Conn) WhenBelow(t Turn, n int, fn func(t Turn)) { panic("todo") }
func (c *Conn) Addr() netip.Addr                         { panic("todo") }
func (c *Conn) Peer() *Peer                              { panic("todo") }

// Peer is the one handle to a connection that may leave its loop.
type Peer struct {
	c      *Conn
	closed atomic.Bool
}

func (p *Peer) Loop() int              { panic("todo") }
func (p *Peer) Send(body []byte) error { panic("todo") }

type loop struct {
	r     *Reactor
	idx   int
	now   time.Time
	wheel wheel
}
type timer struct{ fn func(Turn) }
type wheel struct{}

func (w *wheel) add(tm *timer, at time.Time) {}
func (w *wheel) remove(tm *timer)            {}

type batch struct{}

func (l *loop) outgoing(to *loop) *batch   { return nil }
func (b *batch) send(c *Conn, body []byte) {}
func (b *batch) post(fn func(Turn))        {}
