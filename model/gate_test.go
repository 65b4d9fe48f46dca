package model

import (
	"testing"
	"testing/synctest"
)

// However many other writes wait, an append waits for a bounded number of
// them, and they for one append.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		first, err := g.append(ctx)
		want(t, err, nil)
		var order []string // turns are taken one at a time
		take := func(name string, turn func() (func(), error)) {
			go func() {
				release, err := turn()
				if err != nil {
					t.Error(err)
					return
				}
				order = append(order, name)
				release()
			}()
			synctest.Wait()
		}
		for range 3 * asideAppends {
			take("other", func() (func(), error) { return g.other(ctx) })
		}
		take("append", func() (func(), error) { return g.append(ctx) })
		first()
		synctest.Wait()
		if len(order) != 3*asideAppends+1 || order[asideAppends] != "append" {
			t.Error(order)
		}
	})
}
