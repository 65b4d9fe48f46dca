package reactor

import (
	"time"

	"chatd/limit"
	"chatd/proto"
)

const (
	// leastWait is the least that a client over a limit is told to wait. It is
	// longer than what it has under way needs to arrive: all of that is refused
	// too, so that no frame overtakes one which was refused before it.
	leastWait = time.Second
	// grace is how long after it was told frames may arrive that were on their way.
	grace = leastWait / 2
	// maxRefused is how many frames may be refused within one wait, then KICK
	// "abuse": far more than anyone has on the way who listens.
	maxRefused = 4096
	// maxEarlyRefused is the same before login, where nobody has more than a few
	// on the way: there it is an address alone that has limits, and it may have
	// many connections.
	maxEarlyRefused = 256
	// rowEnds is how long after a wait that was ignored the next one that is
	// ignored counts as the first.
	rowEnds = time.Minute
)

// limitKind is what a frame was over.
type limitKind int

const (
	overFrames limitKind = iota
	overBytes
	overEarly
	whileTold
	limitKinds
)

var limitNames = [limitKinds]string{overFrames: "frames", overBytes: "bytes", overEarly: "before_login", whileTold: "waiting"}

// rates are the limits of each connection.
type rates struct{ frames, bytes, early limit.Rate }

func newRates(cfg *Config) rates {
	now := cfg.Now()
	return rates{
		frames: limit.PerSecond(cfg.FramesPerSec, cfg.Burst, now),
		bytes:  limit.PerSecond(cfg.BytesPerSec, cfg.Burst, now),
		early:  limit.Per(cfg.FramesBeforeLogin, cfg.LoginTimeout, now),
	}
}

// throttleOnLoop is the rate-limit state of a connection.
type throttleOnLoop struct {
	at, until time.Time
	refused   int  // frames within this wait
	untold    bool // the handler hasn't passed it on yet
	ignored   bool // frames still came when it had long been told
	row       int  // waits in a row that were ignored
}

// Charge charges the frame at hand to the connection's limits, and says how
// large it is. Within Request the handler calls it once for each frame that it
// takes. A wait above 0: the connection is over a limit, the frame is to be
// refused with that retry_after, and nothing done. For as long everything is
// refused, the frame after it too. Where the client goes on all the same the
// connection ends with KICK "abuse", here.
func (c *Conn) Charge(t Turn) (size int, wait time.Duration) {
	if c.throttle != nil {
		if wait = c.still(t); wait > 0 {
			return c.size, wait
		}
	}
	r, now := c.l.r, c.l.now
	if wait = c.frames.Take(&r.rates.frames, now, 1); wait > 0 {
		return c.size, c.over(t, overFrames, wait)
	}
	if wait = c.bytes.Take(&r.rates.bytes, now, c.size); wait > 0 {
		return c.size, c.over(t, overBytes, wait)
	}
	if !c.loggedIn {
		if wait = c.early.Take(&r.rates.early, now, 1); wait > 0 {
			return c.size, c.over(t, overEarly, wait)
		}
	}
	return c.size, 0
}

func (c *Conn) over(t Turn, why limitKind, wait time.Duration) time.Duration {
	c.l.r.count.limited[why].Inc()
	return c.Pause(t, wait)
}

// Pause is for a frame that was charged and is over a limit of the handler's:
// Charge refuses what follows for wait, and a second at the least. It gives
// what the client is to be told.
func (c *Conn) Pause(t Turn, wait time.Duration) time.Duration {
	if c.throttle == nil {
		c.throttle = &throttleOnLoop{}
	}
	w, now := c.throttle, c.l.now
	until := now.Add(max(wait, leastWait))
	if until.Before(w.until) { // it was told of a longer one
		until = w.until
	}
	w.at, w.until, w.refused, w.untold, w.ignored = now, until, 1, false, false
	return until.Sub(now)
}

// Untold is for a refusal, of Charge or Pause, that the client isn't told of
// before something else has happened: meanwhile what comes is refused, and not
// held against it. When it is told, Pause is called: what is on its way then
// is refused as well.
func (c *Conn) Untold(t Turn) {
	if c.throttle != nil {
		c.throttle.untold = true
	}
}

// still is how long the client still has to wait, for another frame of it.
func (c *Conn) still(t Turn) time.Duration {
	w, r, now := c.throttle, c.l.r, c.l.now
	wait := w.until.Sub(now)
	if wait <= 0 {
		if !w.ignored && !w.untold || -wait > rowEnds {
			c.throttle = nil
		}
		return 0
	}
	r.count.limited[whileTold].Inc()
	w.refused++
	if !w.ignored && !w.untold && now.Sub(w.at) > grace {
		w.ignored = true
		w.row++
	}
	refused := maxRefused
	if !c.loggedIn {
		refused = maxEarlyRefused
	}
	if most := r.cfg.AbuseAfter; most > 0 && (w.row >= most || w.refused > refused) {
		c.kick(t, tooFast)
	}
	return wait
}

// slowDown refuses a frame of which the handler is told nothing.
func (c *Conn) slowDown(t Turn, r *proto.Request, wait time.Duration) {
	err := proto.SlowDown(wait)
	c.WriteResponse(t, &proto.Response{Op: proto.ERROR, Errno: err.Errno, ErrMsg: err.Message,
		RetryAfter: err.RetryAfter.Milliseconds(), RID: r.RID, Fields: r.Fields & (1 << proto.FRID)})
}
