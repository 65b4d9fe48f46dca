package reactor

import (
	"time"

	"chatd/internal/limit"
	"chatd/proto"
)

const (
	// minWait is the shortest wait (retry_after) that a client gets. Frames that
	// the client has already sent arrive within it, and are all refused: none
	// overtakes a frame that was refused before it.
	minWait = time.Second
	// graceTime is how long after a refusal frames may arrive without the wait
	// counting as ignored.
	graceTime = minWait / 2
	// maxRefused is how many frames may be refused within one wait, then KICK
	// "abuse". A client that respects the wait has far fewer in flight.
	maxRefused = 4096
	// maxRefusedBeforeLogin is maxRefused before login. It is lower because
	// clients send few frames then, and because an address may have many
	// connections that aren't logged in.
	maxRefusedBeforeLogin = 256
	// ignoredExpire is how long after an ignored wait the count of ignored waits
	// is reset.
	ignoredExpire = time.Minute
)

// limitKind is the limit that a frame exceeded.
type limitKind int

const (
	overFrames limitKind = iota
	overBytes
	overBeforeLogin
	whileThrottled
	limitKinds
)

var limitNames = [limitKinds]string{overFrames: "frames", overBytes: "bytes", overBeforeLogin: "before_login", whileThrottled: "waiting"}

// rates are the rate limits of each connection.
type rates struct{ frames, bytes, beforeLogin limit.Rate }

func newRates(cfg *Config) rates {
	now := cfg.Now()
	return rates{
		frames:      limit.PerSecond(cfg.FramesPerSecPerConn, cfg.Burst, now),
		bytes:       limit.BytesPerSecond(cfg.BytesPerSecPerConn, cfg.Burst, now),
		beforeLogin: limit.Per(cfg.FramesBeforeLogin, cfg.LoginTimeout, now),
	}
}

// throttleOnLoop is the rate-limit state of a connection. It is created by the
// first refusal, and removed after a wait that the client respected, or
// ignoredExpire after one that it ignored.
type throttleOnLoop struct {
	since, until time.Time // begin and end of the wait
	refused      int       // frames refused within the wait
	unannounced  bool      // the refusal isn't sent yet
	ignored      bool      // frames arrived after the grace time
	ignoredWaits int       // waits in a row that were ignored
}

// Charge charges the current frame to the connection's rate limits and returns the
// frame's size in bytes. The handler must call it within Request, once for each
// frame that it takes.
//
// If wait is above 0, the connection is over a limit: refuse the frame with wait as
// retry_after, and do nothing else. Charge then refuses all frames until the wait is
// over. If the client keeps sending, Charge ends the connection with KICK "abuse".
func (c *Conn) Charge(t Turn) (size int, wait time.Duration) {
	if c.throttle != nil {
		if wait = c.throttled(t); wait > 0 {
			return c.size, wait
		}
	}
	r, now := c.l.r, c.l.now
	if wait = c.frames.Take(&r.rates.frames, now, 1); wait > 0 {
		return c.size, c.exceeded(t, overFrames, wait)
	}
	if wait = c.bytes.Take(&r.rates.bytes, now, c.size); wait > 0 {
		return c.size, c.exceeded(t, overBytes, wait)
	}
	if !c.loggedIn {
		if wait = c.beforeLogin.Take(&r.rates.beforeLogin, now, 1); wait > 0 {
			return c.size, c.exceeded(t, overBeforeLogin, wait)
		}
	}
	return c.size, 0
}

func (c *Conn) exceeded(t Turn, why limitKind, wait time.Duration) time.Duration {
	c.l.r.count.limited[why].Inc()
	return c.Throttle(t, wait)
}

// Throttle makes Charge refuse all frames for wait, but at least for a second. The
// handler calls it for a charged frame that exceeds a limit of the handler's own. It
// returns the wait to send to the client.
func (c *Conn) Throttle(t Turn, wait time.Duration) time.Duration {
	if c.throttle == nil {
		c.throttle = &throttleOnLoop{}
	}
	w, now := c.throttle, c.l.now
	until := now.Add(max(wait, minWait))
	if until.Before(w.until) { // the client has been sent a longer wait
		until = w.until
	}
	w.since, w.until, w.refused, w.unannounced, w.ignored = now, until, 1, false, false
	return until.Sub(now)
}

// RefusalPending tells the reactor that the handler sends the last refusal, by
// Charge or Throttle, only later. Until then, frames are refused, but the wait doesn't
// count as ignored. When the handler sends the refusal, it must call Throttle, which
// starts the grace time.
func (c *Conn) RefusalPending(t Turn) {
	if c.throttle != nil {
		c.throttle.unannounced = true
	}
}

// throttled handles another frame of a throttled connection. It returns how long
// the client still has to wait, or 0 if the wait is over.
func (c *Conn) throttled(t Turn) time.Duration {
	w, r, now := c.throttle, c.l.r, c.l.now
	wait := w.until.Sub(now)
	if wait <= 0 {
		if !w.ignored && !w.unannounced || -wait > ignoredExpire {
			c.throttle = nil
		}
		return 0
	}
	r.count.limited[whileThrottled].Inc()
	w.refused++
	if !w.ignored && !w.unannounced && now.Sub(w.since) > graceTime {
		w.ignored = true
		w.ignoredWaits++
	}
	most := maxRefused
	if !c.loggedIn {
		most = maxRefusedBeforeLogin
	}
	if n := r.cfg.AbuseAfter; n > 0 && (w.ignoredWaits >= n || w.refused > most) {
		c.kick(t, kickTooFast)
	}
	return wait
}

// writeSlowDown refuses a frame because of a rate limit.
func (c *Conn) writeSlowDown(t Turn, r *proto.Request, wait time.Duration) {
	err := proto.SlowDown(wait)
	c.WriteResponse(t, &proto.Response{Op: proto.ERROR, Errno: err.Errno, ErrMsg: err.Message,
		RetryAfter: err.RetryAfter.Milliseconds(), RID: r.RID, Fields: r.Fields & (1 << proto.FRID)})
}
