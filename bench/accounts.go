package main

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"chatd/proto"
)

// account is a user of this run.
type account struct {
	id    int64
	name  string
	token string
}

// recruits makes the users of one run. Their names are of this run alone, so
// that a server can be measured again and again.
type recruits struct {
	server   *server
	run      uint64
	password string
}

func newRecruits(s *server) *recruits {
	run := nonce()
	return &recruits{server: s, run: run, password: fmt.Sprintf("bench-%016x", nonce())}
}

// enter registers user number i and logs it in, on a connection of its own.
// The connection is the caller's to close. It returns the window as well,
// which a sender must keep. The floor has no users, and is told which pair the
// connection is of.
func (rs *recruits) enter(ctx context.Context, i int, ack bool) (*conn, account, int64, error) {
	if rs.server.floor() {
		role, pair := inPair(i)
		return rs.hello(ctx, i, role, pair)
	}
	c, err := dial(ctx, rs.server.addrOf(i))
	if err != nil {
		return nil, account{}, 0, err
	}
	// A call ends with its own time-out, or when the run is interrupted.
	defer context.AfterFunc(ctx, c.close)()
	name := rs.name(i)
	a, err := c.call(ctx, &proto.Request{Op: proto.REG, Name: name, Password: rs.password})
	if err == nil {
		a, err = c.call(ctx, &proto.Request{Op: proto.LOGIN, ID: a.ID, Password: rs.password, Ack: ack, Brief: true})
	}
	if err != nil {
		c.close()
		return nil, account{}, 0, err
	}
	return c, account{id: a.ID, name: name, token: a.Token}, a.Window, nil
}

// enroll registers users number first and the n-1 that follow, and logs each
// in once, for its token. Then they are away.
func (rs *recruits) enroll(ctx context.Context, p *progress, first, n int) ([]account, error) {
	users := make([]account, n)
	err := each(ctx, n, setupAtATime, p, "users", func(ctx context.Context, i int) error {
		c, u, _, err := rs.enter(ctx, first+i, true)
		if err == nil {
			users[i] = u
			c.abort()
		}
		return err
	})
	return users, err
}

// name is that of user number i.
func (rs *recruits) name(i int) string { return fmt.Sprintf("bench %016x %d", rs.run, i) }

// enterByToken logs a user in on a new connection, as a client does that
// comes back.
func enterByToken(ctx context.Context, addr string, u account) (*conn, error) {
	c, err := dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, c.close)()
	a, err := c.call(ctx, &proto.Request{Op: proto.LOGIN, Token: u.token, Ack: true, Brief: true})
	if err == nil && a.ID != u.id {
		err = fmt.Errorf("LOGIN: the token of user %d logged user %d in", u.id, a.ID)
	}
	if err != nil {
		c.abort()
		return nil, err
	}
	return c, nil
}

// each calls f for 0 to n-1, with so many calls at a time, and tells p how far
// it is. It returns the first error, once all calls have ended.
func each(ctx context.Context, n, atATime int, p *progress, what string, f func(ctx context.Context, i int) error) error {
	g, first := errgroup.WithContext(ctx) // ends with the first error
	g.SetLimit(atATime)
	for i := range n {
		if first.Err() != nil {
			break
		}
		p.count(what, i, n)
		g.Go(func() error { return f(first, i) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}
