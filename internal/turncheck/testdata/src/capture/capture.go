// Package capture uses Turns in function literals.
package capture

import (
	"slices"
	"sync"

	"chatd/reactor"
)

type handler struct{ later []func() }

type visitor interface{ Visit(fn func(n int)) }

func later(t reactor.Turn, c *reactor.Conn, h *handler, v visitor, ch chan func()) func() {
	go func() { c.Write(t, nil) }()                                    // want `t is captured`
	t.Post(0, func(reactor.Turn) { c.Write(t, nil) })                  // want `t is captured`
	t.Post(0, func(t reactor.Turn) { c.Write(t, nil) })                // uses its own Turn
	h.later = append(h.later, func() { c.Write(t, nil) })              // want `t is captured`
	h.later[0] = func() { c.Write(t, nil) }                            // want `t is captured`
	v.Visit(func(int) { c.Write(t, nil) })                             // want `t is captured`
	_ = handler{later: []func(){func() { c.Write(t, nil) }}}           // want `t is captured`
	ch <- func() { c.Write(t, nil) }                                   // want `t is captured`
	each(func(int) { go func() { c.Write(t, nil) }() })                // want `t is captured`
	keeps(func() { c.Write(t, nil) })                                  // want `t is captured`
	starts(func() { c.Write(t, nil) })                                 // want `t is captured`
	_ = slices.SortedFunc(slices.Values([]int{}), func(a, b int) int { // slices calls it at once
		c.Write(t, nil)
		return a - b
	})
	_ = reactor.Go(t, c, func(reactor.Off) (int, error) {
		c.Write(t, nil) // want `t is captured`
		return 0, nil
	}, func(t reactor.Turn, v int, err error) { c.Write(t, nil) })
	return func() { c.Write(t, nil) } // want `t is captured`
}

func now(t reactor.Turn, c *reactor.Conn, list []int) {
	func() { c.Write(t, nil) }()
	defer func() { c.Write(t, nil) }()
	list = slices.DeleteFunc(list, func(int) bool { c.Write(t, nil); return true })
	each(func(int) { each(func(int) { c.Write(t, nil) }) })
	c.Each(t, func(int) { c.Write(t, nil) })
	for range func(yield func(int) bool) { c.Write(t, nil); yield(1) } {
		c.Write(t, nil)
	}
	for n := range numbers {
		c.Write(t, make([]byte, n))
	}
	var again func(n int)
	again = func(n int) {
		if n > 0 {
			c.Write(t, nil)
			again(n - 1)
		}
	}
	again(3)
	write := func() { c.Write(t, nil) }
	write()
	each(func(int) { write() })
}

// A variable that holds a literal is judged by its uses.
func variable(t reactor.Turn, c *reactor.Conn) {
	write := func() { c.Write(t, nil) } // want `t is captured`
	go write()
	other := func() { c.Write(t, nil) } // want `t is captured`
	t.Post(0, func(reactor.Turn) { other() })
	third := func() { c.Write(t, nil) } // want `t is captured`
	keeps(third)
}

func each(fn func(n int)) { // want each:"calls parameters 0"
	for n := range 3 {
		fn(n)
	}
}

func numbers(yield func(int) bool) { yield(1) } // want numbers:"calls parameters 0"

var kept func()

func keeps(fn func()) { kept = fn }

func starts(fn func()) {
	var wg sync.WaitGroup
	wg.Go(fn)
	wg.Wait()
}
