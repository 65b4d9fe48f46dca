// Package reactor is a stub of the real package. It declares the names that the
// check looks for. Its functions exercise the rules for the package that creates
// Turns.
package reactor

import "context"

type loop struct{}

type Turn struct{ l *loop }

type Off struct{ context.Context }

type Conn struct{}

func (t Turn) Now() int { return 0 }

func (t Turn) Post(i int, fn func(t Turn)) { keep = fn }

func (c *Conn) Write(t Turn, body []byte) {}

func Go[T any](t Turn, c *Conn, job func(t Off) (T, error), done func(t Turn, v T, err error)) error {
	go func() {
		v, err := job(Off{})
		keep = func(t Turn) { done(t, v, err) }
	}()
	return nil
}

var keep func(t Turn)

func (l *loop) OnTraffic(c *Conn) {
	t := Turn{l}
	c.Write(t, nil)
	l.run(t, func(t Turn) { c.Write(t, nil) })
}

func (l *loop) run(t Turn, fn func(t Turn)) { fn(t) } // want run:"calls parameters 1"

func (l *loop) elsewhere(c *Conn) {
	c.Write(Turn{l}, nil) // want `a Turn is created`
}

// Each calls fn before it returns. Other packages know that as a fact.
func (l *Conn) Each(t Turn, fn func(n int)) { // want Each:"calls parameters 1"
	twice(fn)
}

func twice(fn func(n int)) { // want twice:"calls parameters 0"
	if fn != nil {
		defer fn(1)
		func() { fn(2) }()
	}
}
