package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"chatd/proto"
)

// Register creates a user and returns its ID. It connects if needed, and doesn't
// log in. Errno 1: the name is taken; 4: invalid name or password; 9: too many
// users were created from this address. Errno 4 is also the answer to a password
// that is too common. Errno 5: the server needs an invitation code, see
// RegisterWithCode; 6: registration is off. Other errors are those of connecting,
// ErrNotConnected and ErrClosed.
func (c *Client) Register(ctx context.Context, name, password string) (int64, error) {
	return c.RegisterWithCode(ctx, name, password, "")
}

// RegisterWithCode is Register with an invitation code. Errno 5: the code is wrong,
// used up or expired. A server where anyone may register ignores the code.
func (c *Client) RegisterWithCode(ctx context.Context, name, password, code string) (int64, error) {
	if err := c.lockLogin(ctx); err != nil {
		return 0, err
	}
	defer c.unlockLogin()
	s, err := c.connectedSession(ctx)
	if err != nil {
		return 0, err
	}
	r, err := c.callOn(ctx, s, &proto.Request{Op: proto.REG, Name: name, Password: password, Code: code})
	if err != nil {
		return 0, err
	}
	return r.ID, nil
}

// Login logs in with a name or an ID (digits only; no name is). From then on the
// client stays logged in, and reconnects, until Logout, Close, or a Disconnected
// that is Final. Login connects if needed and waits for the answer; the server
// needs about 30 ms to check a password. After an error the client is logged out
// and doesn't retry.
// Errno 1: wrong name or password; 9: too many logins, retry after RetryAfter;
// 12: already logged in. Other errors are those of connecting, ErrNotConnected,
// a *KickError and ErrClosed.
func (c *Client) Login(ctx context.Context, user, password string) error {
	r := &proto.Request{Op: proto.LOGIN, Name: user, Password: password, Device: c.cfg.Device}
	if id, err := strconv.ParseInt(user, 10, 64); err == nil {
		r.ID, r.Name = id, ""
	}
	return c.login(ctx, r)
}

// LoginToken logs in with a token, which identifies user and device. Otherwise
// it is like Login. Errno 1: the token is invalid, or has expired.
func (c *Client) LoginToken(ctx context.Context, token string) error {
	return c.login(ctx, &proto.Request{Op: proto.LOGIN, Token: token})
}

// Resume logs in with the token saved in Config.State, like LoginToken. If there
// is none, it returns ErrNoToken.
func (c *Client) Resume(ctx context.Context) error {
	token := c.Token()
	if token == "" {
		return ErrNoToken
	}
	return c.LoginToken(ctx, token)
}

// Logout revokes the device's token and disconnects. Unacknowledged messages
// fail with ErrLoggedOut. After an error, the client is logged out as well, but the
// server may not know: the token stays valid for 30 days, or until the device logs
// in with its password.
func (c *Client) Logout(ctx context.Context) error {
	if err := c.lockLogin(ctx); err != nil {
		return err
	}
	defer c.unlockLogin()
	c.mu.Lock()
	s := c.session
	if s == nil || !s.loggedIn {
		s = nil
	} else {
		c.appendReceipts(s)
	}
	c.mu.Unlock()

	err := ErrNotConnected
	if s != nil {
		_, err = c.call(ctx, &proto.Request{Op: proto.LOGOUT}) // waits while the server throttles
	}
	c.mu.Lock()
	c.loginGeneration++
	c.token, c.unsaved = "", true
	c.lists = newLists()
	failed := c.stopReconnecting(ErrLoggedOut)
	if s != nil {
		s.closeAfterWrite()
	}
	c.mu.Unlock()
	failAll(failed, ErrLoggedOut)
	return errors.Join(err, c.save())
}

// ChangePassword sets a new password of 6 to 128 characters. The server logs out
// all other devices, and this one gets a new token. Errno 1: old is wrong; 4:
// the new one is too short, too long or too common; 9: too many attempts.
func (c *Client) ChangePassword(ctx context.Context, old, new string) error {
	if _, err := c.call(ctx, &proto.Request{Op: proto.PASSWORD, Password: old, NewPassword: new}); err != nil {
		return err
	}
	c.saveOrLog()
	return nil
}

// lockLogin takes loginLock. The error is the context's, or ErrClosed.
func (c *Client) lockLogin(ctx context.Context) error {
	select {
	case c.loginLock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.ctx.Done():
		return ErrClosed
	}
}

func (c *Client) unlockLogin() { <-c.loginLock }

// connectedSession returns the current session, or dials a new one. The caller
// holds loginLock.
func (c *Client) connectedSession(ctx context.Context) (*session, error) {
	c.mu.Lock()
	s := c.session
	c.mu.Unlock()
	if s != nil {
		return s, nil
	}
	return c.dial(ctx, false)
}

// login sends the LOGIN r, and dials first if needed.
func (c *Client) login(ctx context.Context, r *proto.Request) error {
	if err := c.lockLogin(ctx); err != nil {
		return err
	}
	defer c.unlockLogin()
	began := time.Now()
	c.mu.Lock()
	in := c.session != nil && c.session.loggedIn
	if !in {
		c.loginGeneration++ // stops the reconnect of an earlier login
	}
	c.mu.Unlock()
	if in {
		return proto.Errorf(proto.LoggedIn, "already logged in")
	}
	s, err := c.connectedSession(ctx)
	if err == nil {
		fresh := s.startedAt.After(began)
		err = c.loginOn(ctx, s, r)
		if err != nil && !fresh && !isRefusal(err) && ctx.Err() == nil {
			// The session was old: the server closes connections without a login after 10 s.
			// Try again on a new one.
			if s, err = c.dial(ctx, false); err == nil {
				err = c.loginOn(ctx, s, r)
			}
		}
	}
	if err != nil {
		c.mu.Lock()
		failed := c.stopReconnecting(err)
		c.mu.Unlock()
		failAll(failed, err)
		return err
	}
	c.saveOrLog()
	return nil
}

// loginOn sends a LOGIN on s. The reader applies the answer.
func (c *Client) loginOn(ctx context.Context, s *session, r *proto.Request) error {
	r.Ack, r.Brief = true, c.cfg.Brief
	_, err := c.callOn(ctx, s, r)
	if err != nil && !isRefusal(err) {
		// The login may still succeed on the server, but the caller gives up on it.
		s.conn.Close()
		<-s.ended
		var kick *KickError
		if !errors.As(err, &kick) {
			c.mu.Lock()
			c.abandonedAt = time.Now()
			c.mu.Unlock()
		}
	}
	return err
}

// abandonedFor is how long after the client has abandoned a login it may still take
// effect on the server.
const abandonedFor = time.Minute

// replacedItself reports whether a KICK may have been caused by a login that this
// client abandoned: the server may process it after a later one, and then ends the
// later one's session. It returns true once for each such login. The caller holds
// Client.mu.
func (c *Client) replacedItself(kick *KickError) bool {
	if kick.Reason != proto.Replaced || c.abandonedAt.IsZero() || time.Since(c.abandonedAt) > abandonedFor {
		return false
	}
	c.abandonedAt = time.Time{}
	return true
}

// scheduleReconnect queues a StateChange with the time until the next attempt,
// and returns that time. The caller holds Client.mu.
func (c *Client) scheduleReconnect(cause error) time.Duration {
	asked := retryAfter(cause)
	wait := backoff(c.reconnectAttempt, c.cfg.BackoffMin, c.cfg.BackoffMax) + asked + rand.N(asked/4+1)
	c.reconnectAttempt++
	c.retryAt = time.Now().Add(wait)
	c.queueStateChange(StateChange{State: Disconnected, Err: cause, Retry: wait})
	return wait
}

// reconnect waits, then logs in with the token, until it succeeds, must not
// retry, or another Login or Logout has happened.
func (c *Client) reconnect(generation int64, wait time.Duration) {
	for c.sleep(wait) && c.lockLogin(c.ctx) == nil {
		c.mu.Lock()
		token, outdated := c.token, c.loginGeneration != generation || !c.stayLoggedIn
		c.mu.Unlock()
		if outdated {
			c.unlockLogin()
			return
		}
		err := c.loginWithToken(token)
		var failed []*outgoing
		c.mu.Lock()
		attempt, over := c.reconnectAttempt, true
		switch {
		case err == nil:
			c.stats.reconnects.Add(1)
		case c.isFinal(err):
			failed = c.stopReconnecting(err)
			if isRefusal(err) {
				c.token, c.unsaved = "", true
			}
		default:
			wait, over = c.scheduleReconnect(err), false
		}
		c.mu.Unlock()
		c.unlockLogin()
		if err != nil {
			c.cfg.Logger.Info("reconnect failed", "attempt", attempt, "error", err)
			failAll(failed, err)
		}
		if over {
			return
		}
	}
}

// loginWithToken makes one attempt to connect and log in.
func (c *Client) loginWithToken(token string) error {
	c.mu.Lock()
	s := c.session
	if s != nil { // Register has connected in the meantime
		s.automatic = true
	}
	c.mu.Unlock()
	if s == nil {
		var err error
		if s, err = c.dial(c.ctx, true); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.cfg.LoginTimeout)
	defer cancel()
	err := c.loginOn(ctx, s, &proto.Request{Op: proto.LOGIN, Token: token})
	if err != nil {
		s.conn.Close()
		<-s.ended
	}
	return err
}

// isRefusal reports whether err is a refusal by the server.
func isRefusal(err error) bool {
	var e *proto.Error
	return errors.As(err, &e)
}

// isFinal reports whether the client must not retry after err. The caller holds
// Client.mu.
func (c *Client) isFinal(err error) bool {
	var kick *KickError
	var refused *proto.Error
	return errors.As(err, &kick) && kick.isFinal() && !c.replacedItself(kick) || errors.As(err, &refused) && refused.Errno == proto.Refused
}

// retryAfter returns how long err asks to wait, at most maxRetryAfter.
func retryAfter(err error) time.Duration {
	var kick *KickError
	var refused *proto.Error
	switch {
	case errors.As(err, &kick):
		return min(kick.RetryAfter, maxRetryAfter)
	case errors.As(err, &refused):
		return min(refused.RetryAfter, maxRetryAfter)
	}
	return 0
}

// backoff returns a random delay below a bound that doubles with each attempt,
// so that clients that lost their server together don't all return at once.
func backoff(attempt int, least, most time.Duration) time.Duration {
	bound := most
	if attempt < 30 && least<<attempt>>attempt == least {
		bound = min(most, least<<attempt)
	}
	return rand.N(bound) + 1
}

// sleep waits for d. It returns false if Close came first.
func (c *Client) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.ctx.Done():
		return false
	}
}
