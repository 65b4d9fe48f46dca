package reactor

import (
	"runtime/debug"

	"chatd/proto"
)

// turnEnd names the only call of the handler that doesn't make another TurnEnd
// due.
const turnEnd = "TurnEnd"

// call runs a function that isn't the reactor's own. If it panics, c is closed;
// c may be nil. what names the function in the log.
func (l *loop) call(t Turn, c *Conn, what string, fn func(t Turn)) {
	defer l.recovered(t, c, what)
	l.handlerRan = l.handlerRan || what != turnEnd
	fn(t)
}

// callRequest calls Handler.Request. If that panics, the frame counts as taken.
func (l *loop) callRequest(t Turn, c *Conn, r *proto.Request) (taken bool) {
	taken = true
	defer l.recovered(t, c, "Request")
	l.handlerRan = true
	return l.r.h.Request(t, c, r)
}

// recovered must be deferred around every function that isn't the reactor's own.
func (l *loop) recovered(t Turn, c *Conn, what string) {
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
