package sqldb

import (
	"testing"
	"testing/synctest"
)

// A priority write waits for at most maxAhead ordinary writes, however many there
// are.
func TestWriteLockBoundsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		l := newWriteLock()
		first, err := l.acquirePriority(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var order []string // written under the lock
		acquire := func(name string, lock func() (func(), error)) {
			go func() {
				release, err := lock()
				if err != nil {
					t.Error(err)
					return
				}
				order = append(order, name)
				release()
			}()
			synctest.Wait()
		}
		for range 3 * maxAhead {
			acquire("ordinary", func() (func(), error) { return l.acquire(ctx) })
		}
		acquire("priority", func() (func(), error) { return l.acquirePriority(ctx) })
		first()
		synctest.Wait()
		if len(order) != 3*maxAhead+1 || order[maxAhead] != "priority" {
			t.Errorf("order of writes = %v, want the priority write at index %d of %d", order, maxAhead, 3*maxAhead+1)
		}
	})
}
