package reactor

import (
	"runtime/debug"

	"chatd/proto"
)

// turnEnd is the name of Handler.TurnEnd for call. After any other function of the
// handler, TurnEnd must be called again.
const turnEnd = "TurnEnd"

// call runs a function of the handler. If it panics, call logs that and closes c,
// which may be nil. what is the function's name for the log.
func (l *loop) call(t Turn, c *Conn, what string, fn func(t Turn)) {
	defer l.recovered(t, c, what)
	l.handlerRan = l.handlerRan || what != turnEnd
	fn(t)
}

// callRequest calls Handler.Request like call. If it panics, taken is true.
func (l *loop) callRequest(t Turn, c *Conn, r *proto.Request) (taken bool) {
	taken = true
	defer l.recovered(t, c, "Request")
	l.handlerRan = true
	return l.r.h.Request(t, c, r)
}

// recovered recovers from a panic of the handler. It must be deferred.
func (l *loop) recovered(t Turn, c *Conn, what string) {
	v := recover()
	if v == nil {
		return
	}
	l.r.count.panics.Inc()
	l.r.log.Error("panic on an event loop", "in", what, "panic", v, "stack", string(debug.Stack()))
	if c != nil {
		c.finish(t)
	}
}
