package load

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"chatd/bench/floor"
	"chatd/proto"
)

// LoginWorker logs users in, one at a time. It reuses its buffers because the
// generator shares the machine with the server.
type LoginWorker struct {
	*Env
	Password    string    // "": log in by token
	FromConnect *Recorder // time from connecting to LOGIN_ACK, and refusals; may be nil
	FromLogin   *Recorder // time from sending LOGIN to LOGIN_ACK; may be nil

	readBuf readBuffer
	frame   []byte
	one     [1]int64
}

func (w *LoginWorker) record(r *Recorder, since, now int64) {
	if r != nil {
		w.one[0] = now - since
		r.Add(w.one[:])
	}
}

// Login connects and logs a user in. If the server is too busy, Login waits and
// retries as a client would; the measured time includes the wait. The
// connection uses w's buffer, so the caller must release the connection before
// the next Login. The answer is valid until the connection's next read.
func (w *LoginWorker) Login(ctx context.Context, addr string, u Account) (*Conn, *proto.Response, error) {
	began := w.Clock.Now()
	c, err := dial(ctx, addr)
	if err != nil {
		return nil, nil, err
	}
	defer context.AfterFunc(ctx, c.Close)()
	if w.readBuf.buf == nil {
		w.readBuf.buf = make([]byte, readSize)
	}
	w.readBuf.start, w.readBuf.end = 0, 0
	c.readBuffer = &w.readBuf
	a, err := w.sendLogin(ctx, c, u, began)
	if err != nil {
		c.Abort()
		return nil, nil, fmt.Errorf("LOGIN of user %d: %w", u.ID, err)
	}
	return c, a, nil
}

func (w *LoginWorker) sendLogin(ctx context.Context, c *Conn, u Account, began int64) (*proto.Response, error) {
	req := proto.Request{Op: proto.LOGIN, Token: u.token, Ack: true, Brief: true}
	if w.Password != "" {
		req.Token, req.ID, req.Password = "", u.ID, w.Password
	}
	if w.Server.IsFloor() {
		w.frame = floor.Ask(u.floorLoginAck())
	} else {
		w.frame = proto.AppendFrame(w.frame[:0], proto.AppendRequest(nil, &req))
	}
	deadline := time.Now().Add(callTimeout)
	if err := c.nc.SetDeadline(deadline); err != nil {
		return nil, err
	}
	asked := w.Clock.Now()
	for {
		if _, err := c.nc.Write(w.frame); err != nil {
			return nil, err
		}
		a, err := c.await(proto.LOGIN_ACK)
		switch {
		case err != nil:
			return nil, err
		case a.Errno == proto.Done:
			now := w.Clock.Now()
			w.record(w.FromConnect, began, now)
			w.record(w.FromLogin, asked, now)
			w.check(a, u)
			return a, nil
		case a.Errno != proto.TooFast || time.Now().Add(retryDelay(a)).After(deadline):
			return nil, fmt.Errorf("%w: errno %d: %s", errRefused, a.Errno, a.ErrMsg)
		}
		if w.FromConnect != nil {
			w.FromConnect.refuse(int32(a.Errno))
		}
		if err := Sleep(ctx, retryDelay(a)); err != nil {
			return nil, err
		}
	}
}

// check checks that the server logged in the right user. A token must not
// change unless the login was by password.
func (w *LoginWorker) check(a *proto.Response, u Account) {
	switch {
	case a.ID != u.ID:
		w.Faults.addf("LOGIN of user %d logged in user %d", u.ID, a.ID)
	case w.Password == "" && a.Token != u.token:
		w.Faults.addf("LOGIN of user %d by token changed the token", u.ID)
	}
}

// ForEachLogin calls f with 0 to n-1, each of the workers running one call at a
// time. It blocks until all have returned and returns the first error.
func ForEachLogin(ctx context.Context, workers []*LoginWorker, n int, f func(ctx context.Context, w *LoginWorker, i int) error) error {
	g, first := errgroup.WithContext(ctx)
	var next atomic.Int64
	for _, w := range workers {
		g.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= n || first.Err() != nil {
					return first.Err()
				}
				if i%progressStep == 0 {
					w.Progress.ShowCount("logins", i, n)
				}
				if err := f(first, w, i); err != nil {
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

// progressStep is how many logins there are between two updates of the progress
// line.
const progressStep = 64
