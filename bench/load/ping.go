package load

import (
	"context"
	"sync"
	"time"

	"chatd/proto"
)

// pingEvery is the time between two PINGs of StartPing.
const pingEvery = 10 * time.Millisecond

// StartPing registers user i of the run, and then sends PINGs on its connection, one
// at a time. It records how long each answer takes, until stop is called. stop
// returns the error that ended the PINGs early, if any.
func StartPing(ctx context.Context, env *Env, accounts *Accounts, i int, r *Recorder) (stop func() error, err error) {
	c, _, _, err := accounts.Register(ctx, i, false)
	if err != nil {
		return nil, err
	}
	parent := ctx
	ctx, cancel := context.WithCancel(parent)
	var pinging sync.WaitGroup
	var failed error
	pinging.Go(func() {
		defer context.AfterFunc(parent, c.Close)()
		var one [1]int64
		for ctx.Err() == nil {
			began := env.Clock.Now()
			if failed = c.ping(); failed != nil {
				return
			}
			if _, failed = c.await(proto.PONG); failed != nil {
				return
			}
			one[0] = env.Clock.Now() - began
			r.Add(one[:])
			_ = Sleep(ctx, pingEvery) // an error ends the loop
		}
	})
	return func() error {
		cancel()
		pinging.Wait()
		c.Close()
		return failed
	}, nil
}
