package load

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"chatd/bench/report"
	"chatd/bench/target"
	"chatd/proto"
)

// Account is a user registered for this run.
type Account struct {
	ID    int64
	name  string
	token string
}

// Accounts registers the users of one run. Names contain a random run id, so
// one server can be measured again and again.
type Accounts struct {
	server   *target.Server
	floor    bool // the server is the bare relay, which knows no users
	RunID    uint64
	Password string
}

func NewAccounts(s *target.Server) *Accounts {
	run := Nonce()
	return &Accounts{server: s, floor: s.IsFloor(), RunID: run, Password: fmt.Sprintf("bench-%016x", Nonce())}
}

// Register registers user number i and logs it in on a new connection, which
// the caller closes. It also returns how many unacknowledged messages the
// server allows on that connection. On the bare relay of bench/floor it joins
// pair i/2 instead.
func (accounts *Accounts) Register(ctx context.Context, i int, ack bool) (*Conn, Account, int64, error) {
	if accounts.floor {
		role, pair := floorPair(i)
		return accounts.JoinFloor(ctx, i, role, pair)
	}
	c, err := dial(ctx, accounts.server.AddrOf(i))
	if err != nil {
		return nil, Account{}, 0, err
	}
	// A call ends by its own timeout, or when the run is interrupted.
	defer context.AfterFunc(ctx, c.Close)()
	name := accounts.nameOf(i)
	a, err := c.Call(ctx, &proto.Request{Op: proto.REG, Name: name, Password: accounts.Password})
	if err == nil {
		a, err = c.Call(ctx, &proto.Request{Op: proto.LOGIN, ID: a.ID, Password: accounts.Password, Ack: ack, Brief: true})
	}
	if err != nil {
		c.Close()
		return nil, Account{}, 0, err
	}
	return c, Account{ID: a.ID, name: name, token: a.Token}, a.Window, nil
}

// RegisterAll registers users first to first+n-1 and logs each in once to get
// its token. All are offline when it returns.
func (accounts *Accounts) RegisterAll(ctx context.Context, p *report.Progress, first, n int) ([]Account, error) {
	users := make([]Account, n)
	err := ForEach(ctx, n, SetupConcurrency, p, "users", func(ctx context.Context, i int) error {
		c, u, _, err := accounts.Register(ctx, first+i, true)
		if err == nil {
			users[i] = u
			c.Abort()
		}
		return err
	})
	return users, err
}

func (accounts *Accounts) nameOf(i int) string {
	return fmt.Sprintf("bench %016x %d", accounts.RunID, i)
}

// LoginByToken logs a user in on a new connection, as a reconnecting client
// does.
func LoginByToken(ctx context.Context, addr string, u Account) (*Conn, error) {
	c, err := dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, c.Close)()
	a, err := c.Call(ctx, &proto.Request{Op: proto.LOGIN, Token: u.token, Ack: true, Brief: true})
	if err == nil && a.ID != u.ID {
		err = fmt.Errorf("LOGIN: the token of user %d logged in user %d", u.ID, a.ID)
	}
	if err != nil {
		c.Abort()
		return nil, err
	}
	return c, nil
}

// ForEach calls f with 0 to n-1, at most atATime calls at once, and shows the
// progress on p. It blocks until all calls have returned and returns the first
// error.
func ForEach(ctx context.Context, n, atATime int, p *report.Progress, what string, f func(ctx context.Context, i int) error) error {
	g, first := errgroup.WithContext(ctx) // canceled by the first error
	g.SetLimit(atATime)
	for i := range n {
		if first.Err() != nil {
			break
		}
		p.ShowCount(what, i, n)
		g.Go(func() error { return f(first, i) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}
