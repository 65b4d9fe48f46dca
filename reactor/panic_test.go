package reactor

import (
	"errors"
	"testing"
	"time"

	"chatd/proto"
)

// A panic in a callback closes its connection, if it has one, and is counted. The
// process, the loop and other connections continue.
func TestPanics(t *testing.T) {
	outcome := make(chan error, 1)
	closed := make(chan *Conn, 16)
	boom := func(t Turn) { panic("boom") }
	r := serve(t, &funcs{
		request: func(t Turn, c *Conn, r *proto.Request) bool {
			switch string(r.Msg) {
			case "request":
				panic("boom")
			case "done":
				if err := Go(t, c, Quick, func(t Off) (int, error) { return 0, nil },
					func(t Turn, _ int, err error) { panic("boom") }); err != nil {
					say(t, c, err.Error())
				}
			case "job":
				if err := Go(t, c, Slow, func(t Off) (int, error) { panic("boom") },
					func(t Turn, _ int, err error) { outcome <- err }); err != nil {
					say(t, c, err.Error())
				}
			case "below":
				c.WhenDrained(t, 1<<20, boom)
			case "timer":
				t.After(time.Millisecond, boom)
			case "posted":
				t.Post(t.Loop(), boom)
			default:
				echo(t, c, r)
			}
			return true
		},
		closed: func(t Turn, c *Conn) { closed <- c },
	}, func(cfg *Config) { cfg.Loops = 1 })
	other := dial(t, r)
	panics := uint64(0)
	for _, tc := range []struct {
		where string
		costs bool // closes the connection
	}{{"request", true}, {"done", true}, {"below", true}, {"job", false}, {"posted", false}, {"timer", false}} {
		c := dial(t, r)
		c.send("%s", chat(tc.where))
		panics++
		if tc.costs {
			c.wantEnd()
			c.Close()
			await(t, closed, "Closed")
		} else {
			if tc.where == "job" {
				if err := await(t, outcome, "the job's error"); err == nil {
					t.Error("job panicked: done got no error, want one")
				}
			}
			for r.counter("panics_total") < panics {
				c.ping()
			}
			c.ping()
			c.Close()
			await(t, closed, "Closed")
		}
		if n := r.counter("panics_total"); n != panics {
			t.Errorf("after a panic in %q: %d panics counted, want %d", tc.where, n, panics)
		}
		other.ping()
	}
}

// A panic in Open, TurnEnd or Closed doesn't stop the loop, and the turn's output is
// written.
func TestPanicInOpenTurnEndClosed(t *testing.T) {
	first := true
	r := serve(t, &funcs{
		open: func(t Turn, c *Conn) {
			if first {
				first = false
				panic("boom")
			}
		},
		turnEnd: func(t Turn) { panic("boom") },
		closed:  func(t Turn, c *Conn) { panic("boom") },
	}, func(cfg *Config) { cfg.Loops = 1 })
	dial(t, r).wantEnd()
	c := dial(t, r)
	c.send("%s", chat("hello"))
	c.wantText("hello")
	c.Close()
	d := dial(t, r)
	d.send("%s", chat("still there"))
	d.wantText("still there")
}

// Jobs of one connection run one at a time and in order, whatever their lane. Go
// returns ErrBusy if the connection has too many. done runs even after the connection
// has closed.
func TestLanes(t *testing.T) {
	type step struct {
		n   int
		err error
	}
	release := make(chan struct{})
	steps := make(chan step, 100)
	refused := make(chan error, 100)
	ends := make(chan bool, 1)
	r := serve(t, &funcs{
		request: func(t Turn, c *Conn, r *proto.Request) bool {
			running := 0
			for n := range 1 + maxJobs + 3 {
				lane := Quick
				if n%2 == 1 {
					lane = Slow
				}
				err := Go(t, c, lane, func(t Off) (int, error) {
					if running++; running != 1 {
						return n, errors.New("two jobs run at once")
					}
					if n == 0 {
						<-release
					}
					running--
					return n, nil
				}, func(t Turn, v int, err error) {
					steps <- step{v, err}
					if v == maxJobs {
						ends <- c.Open(t)
					}
				})
				if err != nil {
					refused <- err
				}
			}
			say(t, c, "queued")
			return true
		},
	})
	c := dial(t, r)
	c.send("%s", chat("go"))
	c.wantText("queued")
	c.Close()
	for range 3 {
		if err := await(t, refused, "a refusal"); !errors.Is(err, ErrBusy) {
			t.Errorf("Go with too many jobs = %v, want %v", err, ErrBusy)
		}
	}
	// Wait until the connection has closed, while the first job still runs.
	for r.open.Load() > 0 {
		time.Sleep(time.Millisecond)
	}
	close(release)
	for n := range 1 + maxJobs {
		if s := await(t, steps, "a job"); s.n != n || s.err != nil {
			t.Errorf("next done: job %d with error %v, want job %d without", s.n, s.err, n)
		}
	}
	if await(t, ends, "the last done") {
		t.Error("Conn.Open of the closed connection = true, want false")
	}
}

// Go returns ErrBusy if the worker's queue is full. The other lane isn't affected.
func TestLaneFull(t *testing.T) {
	release := make(chan struct{})
	r := serve(t, &funcs{request: func(t Turn, c *Conn, r *proto.Request) bool {
		lane := Slow
		if string(r.Msg) == "quick" {
			lane = Quick
		}
		err := Go(t, c, lane, func(t Off) (int, error) {
			if lane == Slow {
				<-release
			}
			return 0, nil
		}, func(t Turn, _ int, err error) { say(t, c, "done") })
		if errors.Is(err, ErrBusy) {
			say(t, c, "busy")
		} else {
			say(t, c, "taken")
		}
		return true
	}}, func(cfg *Config) { cfg.SlowLanes, cfg.LaneQueue = 1, 2 })
	var slow []*client
	busy := 0
	for range 6 {
		c := dial(t, r)
		c.send("%s", chat("slow"))
		m, _ := c.next()
		if m.Text == "busy" {
			busy++
		} else {
			slow = append(slow, c)
		}
	}
	// Two are queued, and one is running if the worker has begun.
	if len(slow) < 2 || len(slow) > 3 || busy != 6-len(slow) {
		t.Errorf("%d of 6 jobs accepted, %d refused; want 2 or 3 accepted, and the others refused", len(slow), busy)
	}
	q := dial(t, r)
	q.send("%s", chat("quick"))
	q.wantText("taken")
	q.wantText("done")
	close(release)
	for _, c := range slow {
		c.wantText("done")
	}
	if n := r.counter("lane_full_total"); n != uint64(busy) {
		t.Errorf("%d refusals counted, want %d", n, busy)
	}
}
