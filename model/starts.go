package model

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"chatd/model/feed"
	"chatd/model/sqldb"
)

// Times of starts.
const (
	startRetry = 20 * time.Millisecond  // delay if another node has locked a user's row
	startAlone = 100 * time.Millisecond // how long to retry that before waiting for the lock
	startLimit = 4 * time.Second        // how long to retry that

	// maxAlone is how many starts wait for locks at the same time. Each occupies one of
	// the few connections of sqldb.DB.Writer, and the others need some too.
	maxAlone = 2
)

// ErrGone means that the client had disconnected before its session was started.
var ErrGone = errors.New("the client has disconnected")

// errUserLocked means that a user's row has been locked for startLimit.
var errUserLocked = errors.New("the user's row is locked by another process")

// starts gives numbers to sessions that begin by token. After a network failure,
// thousands of clients log in at the same time, so one transaction starts many
// sessions.
type starts struct {
	db *DB

	mu     sync.Mutex
	queue  []*start
	closed bool

	wake chan struct{} // holds a value if the queue may not be empty
	stop chan struct{}
	done chan struct{}

	alone   chan struct{}  // holds a value for each start that waits for a lock
	waiting sync.WaitGroup // the goroutines of these
}

// start is a call of StartSession.
type start struct {
	token []byte
	since time.Time
	gone  func() bool
	done  func(session int64, err error)

	// Of the transaction.
	user    int64 // 0: unknown token
	device  string
	session int64
	err     error
	retry   bool // the user's row is locked
}

func newStarts(db *DB) *starts {
	s := &starts{db: db, wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
		alone: make(chan struct{}, maxAlone)}
	go s.run()
	return s
}

// StartSession gives a session that begins by token its number. The number is higher
// than those of the user's earlier sessions. The device's earlier sessions end; other
// nodes find that in the feed. StartSession also records that the token is used.
//
// gone reports whether the client has disconnected. Then nothing is changed: the
// client may have a later session already, on another node, which would end.
//
// It never blocks. It calls done once, on another goroutine; done and gone must not
// block. Errors: ErrNotFound if the token isn't valid; ErrGone; ErrClosed.
func (db *DB) StartSession(tokenHash []byte, gone func() bool, done func(session int64, err error)) {
	if db.starts == nil {
		done(0, ErrClosed)
		return
	}
	db.starts.add(&start{token: tokenHash, since: time.Now(), gone: gone, done: done})
}

func (s *starts) add(st *start) {
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.queue = append(s.queue, st)
	}
	s.mu.Unlock()
	if closed {
		st.done(0, ErrClosed)
		return
	}
	s.wakeUp()
}

func (s *starts) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// take removes up to maxStarts calls from the queue.
func (s *starts) take() []*start {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(s.queue), maxStarts)
	batch := s.queue[:n:n]
	if s.queue = s.queue[n:]; len(s.queue) == 0 {
		s.queue = nil
	}
	return batch
}

// run is the goroutine that starts sessions.
func (s *starts) run() {
	defer close(s.done)
	for {
		select {
		case <-s.stop:
			for batch := s.take(); len(batch) > 0; batch = s.take() {
				for _, st := range batch {
					st.done(0, ErrClosed)
				}
			}
			return
		case <-s.wake:
		}
		for batch := s.take(); len(batch) > 0; batch = s.take() {
			s.write(batch)
			select {
			case <-s.stop:
				s.wakeUp()
				batch = nil
			default:
			}
		}
	}
}

// close ends the goroutines. Calls in the queue get ErrClosed. Starts that wait for a
// lock end first.
func (s *starts) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	close(s.stop)
	<-s.done
	s.waiting.Wait()
}

// write starts a batch of sessions, and answers the calls. Calls for users whose
// rows are locked go back to the queue, or after startAlone to goroutines of their own.
func (s *starts) write(batch []*start) {
	_, err := s.db.writeFeed(context.Background(), func(ctx context.Context, tx *sqlx.Tx) (changes, error) {
		return s.db.startSessions(ctx, tx, batch, false)
	})
	var again []*start
	for _, st := range batch {
		switch {
		case err != nil:
			st.done(0, fmt.Errorf("start %d sessions: %w", len(batch), err))
		case st.retry && time.Since(st.since) >= startAlone && s.startAlone(st):
		case st.retry && time.Since(st.since) < startLimit:
			again = append(again, st)
		case st.retry:
			st.done(0, fmt.Errorf("start a session: %w", errUserLocked))
		default:
			st.done(st.session, st.err)
		}
	}
	if len(again) > 0 {
		s.mu.Lock()
		s.queue = append(again, s.queue...)
		s.mu.Unlock()
		if len(again) == len(batch) { // nothing else to do meanwhile
			time.Sleep(startRetry)
		}
	}
}

// startAlone starts a session in a transaction of its own, on another goroutine. It
// reports false if maxAlone others are waiting. SKIP LOCKED never queues for a lock:
// requests that keep locking a user's row would keep the user from logging in.
func (s *starts) startAlone(st *start) bool {
	select {
	case s.alone <- struct{}{}:
	default:
		return false
	}
	s.waiting.Go(func() {
		_, err := s.db.writeFeed(context.Background(), func(ctx context.Context, tx *sqlx.Tx) (changes, error) {
			return s.db.startSessions(ctx, tx, []*start{st}, true)
		})
		<-s.alone
		if s.db.d.Classify(err) == sqldb.LockTimeout {
			err = errUserLocked
		}
		if err != nil {
			st.done(0, fmt.Errorf("start a session: %w", err))
			return
		}
		st.done(st.session, st.err)
	})
	return true
}

// startSessions starts sessions, in the order of the batch. It sets the results of
// each. With wait, it waits for the locks of users' rows.
func (db *DB) startSessions(ctx context.Context, tx *sqlx.Tx, batch []*start, wait bool) (c changes, err error) {
	for _, st := range batch {
		st.user, st.device, st.session, st.err, st.retry = 0, "", 0, nil, false
	}
	if err := db.findTokens(ctx, tx, batch); err != nil {
		return c, err
	}
	last, err := db.lockSessions(ctx, tx, batch, wait)
	if err != nil {
		return c, err
	}
	if db.d.ForUpdate != "" { // the tokens may have changed before the lock
		if err := db.findTokens(ctx, tx, batch); err != nil {
			return c, err
		}
	}
	var users, devices []any
	started := make([]*start, 0, len(batch))
	for _, st := range batch {
		row, locked := last[st.user]
		switch {
		case st.user == 0, locked && row == nil:
			st.err = ErrNotFound
		case st.gone():
			st.err = ErrGone
		case !locked:
			st.retry = true
		default:
			row.last++
			st.session = row.last
			started = append(started, st)
			c.ended = append(c.ended, feed.Ended{User: st.user, Device: st.device, Before: st.session, Why: feed.Replaced})
		}
	}
	// Sorted, so that all nodes lock rows in the same order: no deadlocks.
	slices.SortStableFunc(started, func(a, b *start) int {
		return cmp.Or(cmp.Compare(a.user, b.user), cmp.Compare(a.device, b.device))
	})
	now := db.nowMS()
	for i, st := range started { // one row for each user and device, with the highest number
		if next := i + 1; next == len(started) || started[next].user != st.user {
			users = append(users, st.user, last[st.user].last)
		}
		if next := i + 1; next == len(started) || started[next].user != st.user || started[next].device != st.device {
			devices = append(devices, st.user, st.device, st.session, now)
		}
	}
	err = sqldb.InBatches(users, 2, db.d.MaxRows, func(rows int, args []any) error {
		_, err := tx.ExecContext(ctx, db.d.raiseLastSession(rows), args...)
		return err
	})
	if err != nil {
		return c, err
	}
	err = sqldb.InBatches(devices, 4, db.d.MaxRows, func(rows int, args []any) error {
		_, err := tx.ExecContext(ctx, db.d.raiseSession(rows), args...)
		return err
	})
	return c, err
}

// findTokens sets the user and the device of each start. It skips tokens that were
// unused for too long.
func (db *DB) findTokens(ctx context.Context, tx *sqlx.Tx, batch []*start) error {
	args := make([]any, len(batch))
	for i, st := range batch {
		args[i] = st.token
		st.user = 0
	}
	var found []tokenStart
	err := sqldb.InBatches(args, 1, db.d.MaxRows, func(n int, args []any) error {
		var rows []tokenStart
		err := tx.SelectContext(ctx, &rows, `SELECT token_hash, user_id, device, last_used FROM devices
			WHERE token_hash IN (`+sqldb.Repeated("?", n)+`)`, args...)
		found = append(found, rows...)
		return err
	})
	if err != nil {
		return err
	}
	slices.SortFunc(found, func(a, b tokenStart) int { return bytes.Compare(a.Token, b.Token) })
	for _, st := range batch {
		i, ok := slices.BinarySearchFunc(found, st.token, func(r tokenStart, token []byte) int { return bytes.Compare(r.Token, token) })
		if !ok {
			continue
		}
		row := &tokenRow{Device: found[i].Device, Used: found[i].Used}
		if row.ID = found[i].User; db.checkUsed(row) == nil {
			st.user, st.device = row.ID, row.Device
		}
	}
	return nil
}

// tokenStart is a device's row, by its token.
type tokenStart struct {
	Token  []byte `db:"token_hash"`
	User   int64  `db:"user_id"`
	Device string `db:"device"`
	Used   int64  `db:"last_used"`
}

// lastSession is the number of a user's last session.
type lastSession struct{ last int64 }

// lockSessions locks the rows of the users, and returns the number of each user's
// last session, or nil for a user who is banned or deleted. Users whose rows other
// processes have locked are left out, unless wait is set.
func (db *DB) lockSessions(ctx context.Context, tx *sqlx.Tx, batch []*start, wait bool) (map[int64]*lastSession, error) {
	var ids []int64
	for _, st := range batch {
		if st.user != 0 {
			ids = append(ids, st.user)
		}
	}
	slices.Sort(ids) // all nodes lock rows in the same order: no deadlocks
	ids = slices.Compact(ids)
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	all := make(map[int64]*lastSession, len(ids))
	err := sqldb.InBatches(args, 1, db.d.MaxRows, func(n int, args []any) error {
		var rows []struct {
			ID      int64 `db:"id"`
			Last    int64 `db:"last_session"`
			Banned  bool  `db:"banned"`
			Deleted bool  `db:"deleted"`
		}
		const list = `SELECT id, last_session, banned, deleted FROM users`
		query := list + db.d.ByPrimaryKey + ` WHERE id IN (` + sqldb.Repeated("?", n) + `) ORDER BY id` + db.d.ForUpdate + db.d.SkipLocked
		if wait {
			query = list + db.d.ByPrimaryKey + ` WHERE id IN (` + sqldb.Repeated("?", n) + `) ORDER BY id` + db.d.ForUpdate
		}
		err := tx.SelectContext(ctx, &rows, query, args...)
		for _, r := range rows {
			all[r.ID] = nil
			if !r.Banned && !r.Deleted {
				all[r.ID] = &lastSession{r.Last}
			}
		}
		return err
	})
	return all, err
}
