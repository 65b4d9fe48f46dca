package crash

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// director carries a plan out and writes down what it did. Any goroutine may
// ask it.
type director struct {
	world *world
	began time.Time // of the journals

	mu    sync.Mutex
	notes []note
	done  map[string]int // faults carried out, by kind
}

// direct blocks until all of the plan is carried out and mended. Where ctx
// ends, what goes on is mended at once.
func (d *director) direct(ctx context.Context, plan []*planned) {
	var all sync.WaitGroup
	defer all.Wait()
	start := time.Now()
	for _, f := range plan {
		if !sleep(ctx, time.Until(start.Add(f.at))) {
			return
		}
		all.Go(func() { d.carryOut(ctx, f) })
	}
}

func (d *director) carryOut(ctx context.Context, f *planned) {
	d.begin(f)
	err := f.do(ctx, d.world, f)
	if err != nil && ctx.Err() == nil {
		d.world.remark("%s: %s", f, brief(err))
	}
	d.end(f)
}

func (d *director) begin(f *planned) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.notes = append(d.notes, note{int64(time.Since(d.began)), f.String()})
	d.done[f.Name]++
}

func (d *director) end(f *planned) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.notes = append(d.notes, note{int64(time.Since(d.began)), fmt.Sprint("end of ", f)})
}

// count is how many faults there were.
func (d *director) count() (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.done {
		n += c
	}
	return n
}
