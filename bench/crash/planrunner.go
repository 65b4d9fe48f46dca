package crash

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// planRunner runs a plan of faults and records it. It is safe for concurrent
// use.
type planRunner struct {
	env   *environment
	began time.Time // start time of the journals

	mu    sync.Mutex
	notes []note
	done  map[string]int // faults run, by kind
}

// run blocks until all faults have been run and repaired. When ctx ends,
// current faults are repaired at once.
func (r *planRunner) run(ctx context.Context, plan []*plannedFault) {
	var all sync.WaitGroup
	defer all.Wait()
	start := time.Now()
	for _, f := range plan {
		if !sleep(ctx, time.Until(start.Add(f.at))) {
			return
		}
		all.Go(func() { r.runFault(ctx, f) })
	}
}

func (r *planRunner) runFault(ctx context.Context, f *plannedFault) {
	r.recordStart(f)
	err := f.run(ctx, r.env, f)
	if err != nil && ctx.Err() == nil {
		r.env.remark("%s: %s", f, firstAndLastLine(err))
	}
	r.recordEnd(f)
}

func (r *planRunner) recordStart(f *plannedFault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes = append(r.notes, note{int64(time.Since(r.began)), f.String()})
	r.done[f.Name]++
}

func (r *planRunner) recordEnd(f *plannedFault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes = append(r.notes, note{int64(time.Since(r.began)), fmt.Sprint("end of ", f)})
}

func (r *planRunner) count() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.done {
		n += c
	}
	return n
}
