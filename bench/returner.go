package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"chatd/bench/floor"
	"chatd/proto"
)

// returner logs users in again, one at a time. What it needs for that it keeps
// from one to the next: the generator shares the machine.
type returner struct {
	*rig
	byPassword string // "": by token
	whole      *meter // from connecting to LOGIN_ACK, and refusals; nil: not measured
	ack        *meter // from the write of LOGIN to the read of LOGIN_ACK; nil: not measured

	intake intake
	frame  []byte
	one    [1]int64
}

func (rt *returner) add(m *meter, since, now int64) {
	if m != nil {
		rt.one[0] = now - since
		m.add(rt.one[:])
	}
}

// enter connects and logs a user in. The connection reads through rt, so that
// it must be shelved before rt's next user. The answer holds until its next
// read. A server that is too busy is waited for, within the time that is
// measured: so does the user.
func (rt *returner) enter(ctx context.Context, addr string, u account) (*conn, *proto.Response, error) {
	began := rt.clock.now()
	c, err := dial(ctx, addr)
	if err != nil {
		return nil, nil, err
	}
	defer context.AfterFunc(ctx, c.close)()
	if rt.intake.buf == nil {
		rt.intake.buf = make([]byte, readSize)
	}
	rt.intake.start, rt.intake.end = 0, 0
	c.intake = &rt.intake
	a, err := rt.logIn(ctx, c, u, began)
	if err != nil {
		c.abort()
		return nil, nil, fmt.Errorf("LOGIN of user %d: %w", u.id, err)
	}
	return c, a, nil
}

func (rt *returner) logIn(ctx context.Context, c *conn, u account, began int64) (*proto.Response, error) {
	req := proto.Request{Op: proto.LOGIN, Token: u.token, Ack: true, Brief: true}
	if rt.byPassword != "" {
		req.Token, req.ID, req.Password = "", u.id, rt.byPassword
	}
	if rt.server.floor() {
		rt.frame = floor.Ask(u.welcome())
	} else {
		rt.frame = proto.AppendFrame(rt.frame[:0], proto.AppendRequest(nil, &req))
	}
	deadline := time.Now().Add(callTimeout)
	if err := c.nc.SetDeadline(deadline); err != nil {
		return nil, err
	}
	asked := rt.clock.now()
	for {
		if _, err := c.nc.Write(rt.frame); err != nil {
			return nil, err
		}
		a, err := c.await(proto.LOGIN_ACK)
		switch {
		case err != nil:
			return nil, err
		case a.Errno == proto.Done:
			now := rt.clock.now()
			rt.add(rt.whole, began, now)
			rt.add(rt.ack, asked, now)
			rt.check(a, u)
			return a, nil
		case a.Errno != proto.TooFast || time.Now().Add(retryAfter(a)).After(deadline):
			return nil, fmt.Errorf("%w: errno %d: %s", errRefused, a.Errno, a.ErrMsg)
		}
		if rt.whole != nil {
			rt.whole.refuse(int32(a.Errno))
		}
		if err := sleep(ctx, retryAfter(a)); err != nil {
			return nil, err
		}
	}
}

// check sees whether the server knows whom it has logged in. A token stays
// the same until a login by password.
func (rt *returner) check(a *proto.Response, u account) {
	switch {
	case a.ID != u.id:
		rt.faults.addf("LOGIN of user %d logged user %d in", u.id, a.ID)
	case rt.byPassword == "" && a.Token != u.token:
		rt.faults.addf("LOGIN of user %d by token: the token has changed", u.id)
	}
}

// crowd has n users come back through several returners at a time, and hands
// each connection to f. It returns the first error, once all have ended.
func crowd(ctx context.Context, returners []*returner, n int, f func(ctx context.Context, rt *returner, i int) error) error {
	g, first := errgroup.WithContext(ctx)
	var next atomic.Int64
	for _, rt := range returners {
		g.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= n || first.Err() != nil {
					return first.Err()
				}
				if i%atLeastShown == 0 {
					rt.progress.count("logins", i, n)
				}
				if err := f(first, rt, i); err != nil {
					return err
				}
			}
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// atLeastShown is how many logins the progress may pass over.
const atLeastShown = 64
