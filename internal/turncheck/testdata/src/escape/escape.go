// Package escape keeps Turns in every possible way.
package escape

import (
	"fmt"

	. "chatd/reactor"
)

type session struct {
	t  Turn         // want `a Turn is kept or created`
	fn func(t Turn) // a callback takes one
}

var last Turn // want `a Turn is kept or created`

var all []Turn // want `a Turn is kept or created`

var byLoop map[int]Turn // want `a Turn is kept or created`

type alias = Turn // an alias keeps nothing

var aliased alias // want `a Turn is kept or created`

type defined Turn // want `a Turn is kept or created`

func returned(t Turn) Turn { // want `a Turn is returned`
	return t // want `t is returned`
}

func stored(t Turn, s *session, ch chan any) {
	s.t = t           // want `t is stored`
	_ = []any{t}      // want `t is stored`
	_ = session{t: t} // want `t is stored`
	ch <- t           // want `t is stored`
	u := t            // want `t is stored`
	fmt.Println(t)    // want `t is converted`
	_ = any(t)        // want `t is converted`
	identity(t)       // want `t is converted`
	now := t.Now      // want `t is kept in a method value`
	_, _ = now(), u
	for _, v := range []int{t.Now()} { // allowed: a Turn is asked
		_ = v
	}
	_ = t
}

func identity[T any](v T) T { return v }

func goroutine(t Turn, c *Conn) {
	go c.Write(t, nil) // want `t is passed to another goroutine`
	go t.Post(0, nil)  // want `t is passed to another goroutine`
	defer c.Write(t, nil)
}

func madeUp(c *Conn) {
	c.Write(Turn{}, nil) // want `a Turn is created`
	var t Turn           // want `a Turn is kept or created`
	c.Write(t, nil)
	c.Write(*new(Turn), nil) // want `a Turn is kept or created`
}

func named(turn Turn, c *Conn) error { // want `turn should be t`
	return Go(turn, c, func(off Off) (int, error) { return 0, nil }, // want `off should be t`
		func(_ Turn, v int, err error) {})
}
