package reactor

import (
	"chatd/proto"
	"runtime/debug"
)

// turnEnd names the one call of the handler after which TurnEnd isn't due.
const turnEnd = "TurnEnd"

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
