package model

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
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
	startRetry = 20 * time.Millisecond  // delay if another node has locked the row of a user or a device
	startAlone = 100 * time.Millisecond // how long to retry that before waiting for the lock
	startLimit = 4 * time.Second        // how long to retry that

	// maxAlone is how many starts wait for locks at the same time. Each occupies one of
	// the few connections of sqldb.DB.Writer, and the others need some too.
	maxAlone = 2
)

// ErrGone means that the client had disconnected before its session was started.
var ErrGone = errors.New("the client has disconnected")

// errUserLocked means that the row of a user or a device has been locked for
// startLimit.
var errUserLocked = errors.New("the user's or the device's row is locked by another process")

// starts gives numbers to sessions that begin by token. After a network failure,
// thousands of clients log in at the same time, so one transaction starts many
// sessions.
type starts struct {
	db    *DB
	stmts *startStmts

	mu     sync.Mutex
	queue  []*start
	closed bool

	wake chan struct{} // holds a value if the queue may not be empty
	stop chan struct{}
	done chan struct{}

	alone   chan struct{}  // holds a value for each start that waits for a lock
	waiting sync.WaitGroup // the goroutines of these
}

// Started is a session that StartSession has started.
type Started struct {
	User   int64
	Name   string
	Device string
	Number int64
}

// start is a call of StartSession.
type start struct {
	token []byte
	since time.Time
	gone  func() bool
	allow func(user int64) error
	done  func(Started, error)

	// Of the transaction.
	Started // User 0: unknown token
	err     error
	retry   bool // the row of the user or of the device is locked
}

// startStmts are the statements of starts.
type startStmts struct {
	tokens, users, devices                         *sqldb.BatchStmt
	lockUsers, lockDevices, waitUsers, waitDevices *sqldb.BatchStmt // nil on SQLite
}

// newStarts prepares the statements. It blocks on the database. Call run afterwards.
func newStarts(ctx context.Context, db *DB) (*starts, error) {
	stmts, err := prepareStarts(ctx, db)
	if err != nil {
		return nil, err
	}
	return &starts{db: db, stmts: stmts, wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
		alone: make(chan struct{}, maxAlone)}, nil
}

// StartSession starts a session by token: it finds the token's user and device, and
// gives the session its number, which is higher than those of the user's earlier
// sessions. The device's earlier sessions end; other nodes find that in the feed.
// StartSession also records that the token is used.
//
// gone reports whether the client has disconnected. Then nothing is changed: the
// client may have a later session already, on another node, which would end. allow is
// called for the user of a valid token. If it returns an error, nothing is changed,
// and done gets that error. Both may be called several times.
//
// It never blocks. It calls done once, on another goroutine; done, gone and allow must
// not block. Errors: ErrNotFound if the token is unknown or was unused for too long, or
// its user is banned or deleted; ErrGone; ErrClosed.
func (db *DB) StartSession(tokenHash []byte, gone func() bool, allow func(user int64) error, done func(Started, error)) {
	if db.starts == nil {
		done(Started{}, ErrClosed)
		return
	}
	db.starts.add(&start{token: tokenHash, since: time.Now(), gone: gone, allow: allow, done: done})
}

func (s *starts) add(st *start) {
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.queue = append(s.queue, st)
	}
	s.mu.Unlock()
	if closed {
		st.done(Started{}, ErrClosed)
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

// answer reports the result of the transaction.
func (st *start) answer() {
	if st.err != nil {
		st.done(Started{}, st.err)
		return
	}
	st.done(st.Started, nil)
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

// run starts sessions, until close is called.
func (s *starts) run() {
	defer close(s.done)
	for {
		select {
		case <-s.stop:
			for batch := s.take(); len(batch) > 0; batch = s.take() {
				for _, st := range batch {
					st.done(Started{}, ErrClosed)
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
	s.stmts.close()
}

// write starts a batch of sessions, and answers the calls. Calls for users or devices
// whose rows are locked go back to the queue, or after startAlone to goroutines of their
// own.
func (s *starts) write(batch []*start) {
	_, err := s.db.writeFeed(context.Background(), func(ctx context.Context, tx *sqlx.Tx) (changes, error) {
		return s.start(ctx, tx, batch, false)
	})
	var again []*start
	for _, st := range batch {
		switch {
		case err != nil:
			st.done(Started{}, fmt.Errorf("start %d sessions: %w", len(batch), err))
		case st.retry && time.Since(st.since) >= startAlone && s.startAlone(st):
		case st.retry && time.Since(st.since) < startLimit:
			again = append(again, st)
		case st.retry:
			st.done(Started{}, fmt.Errorf("start a session: %w", errUserLocked))
		default:
			st.answer()
		}
	}
	if len(again) > 0 {
		s.mu.Lock()
		s.queue = append(again, s.queue...)
		s.mu.Unlock()
		if len(again) == len(batch) { // nothing else to do until the next call
			select {
			case <-s.wake:
			case <-time.After(startRetry):
			}
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
			return s.start(ctx, tx, []*start{st}, true)
		})
		<-s.alone
		if s.db.d.Classify(err) == sqldb.LockTimeout {
			err = errUserLocked
		}
		if err != nil {
			st.done(Started{}, fmt.Errorf("start a session: %w", err))
			return
		}
		st.answer()
	})
	return true
}

// start starts sessions, in the order of the batch. It sets the results of each. With
// wait, it waits for the locks of rows.
//
// On SQLite, whose only writing connection is locked, one query finds all that is
// needed. On MySQL, the tokens are read, then the users' rows are locked, then those of
// the devices. Tokens may have changed before the locks.
func (s *starts) start(ctx context.Context, tx *sqlx.Tx, batch []*start, wait bool) (c changes, err error) {
	for _, st := range batch {
		st.Started, st.err, st.retry = Started{}, nil, false
	}
	last, err := s.findTokens(ctx, tx, batch)
	if err != nil {
		return c, err
	}
	if s.db.d.ForUpdate != "" {
		if last, err = s.lockUsers(ctx, tx, batch, wait); err == nil {
			err = s.lockDevices(ctx, tx, batch, last, wait)
		}
		if err != nil {
			return c, err
		}
	}
	started := make([]*start, 0, len(batch))
	for _, st := range batch {
		row, locked := last[st.User]
		switch {
		case st.err != nil:
		case st.User == 0, locked && row == nil:
			st.err = ErrNotFound
		case st.gone():
			st.err = ErrGone
		case !locked:
			st.retry = true
		case st.retry: // the device's row is locked
		default:
			if st.err = st.allow(st.User); st.err != nil {
				continue
			}
			row.last++
			st.Number = row.last
			started = append(started, st)
			c.ended = append(c.ended, feed.Ended{User: st.User, Device: st.Device, Before: st.Number, Why: feed.Replaced})
		}
	}
	return c, s.raise(ctx, tx, started, last)
}

// raise writes the numbers of the sessions.
func (s *starts) raise(ctx context.Context, tx *sqlx.Tx, started []*start, last map[int64]*lastSession) error {
	// Sorted, so that all nodes lock rows in the same order: no deadlocks.
	slices.SortStableFunc(started, func(a, b *start) int {
		return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.Device, b.Device))
	})
	var users, devices []any
	now := s.db.nowMS()
	for i, st := range started { // one row for each user and device, with the highest number
		if next := i + 1; next == len(started) || started[next].User != st.User {
			users = append(users, st.User, last[st.User].last)
		}
		if next := i + 1; next == len(started) || started[next].User != st.User || started[next].Device != st.Device {
			devices = append(devices, st.User, st.Device, st.Number, now)
		}
	}
	if err := s.stmts.users.Exec(ctx, tx.Tx, users); err != nil {
		return err
	}
	return s.stmts.devices.Exec(ctx, tx.Tx, devices)
}

// findTokens sets the user and the device of each start. It skips tokens that were
// unused for too long. It returns the users' last sessions as lockUsers does.
func (s *starts) findTokens(ctx context.Context, tx *sqlx.Tx, batch []*start) (map[int64]*lastSession, error) {
	args := make([]any, len(batch))
	for i, st := range batch {
		args[i] = st.token
	}
	all := make(map[int64]*lastSession, len(batch))
	found := make([]tokenStart, 0, len(batch))
	err := s.stmts.tokens.Query(ctx, tx.Tx, args, func(r *sql.Rows) error {
		var f tokenStart
		var last int64
		var banned, deleted bool
		if err := r.Scan(&f.token, &f.user, &f.device, &f.used, &f.name, &last, &banned, &deleted); err != nil {
			return err
		}
		found = append(found, f)
		all[f.user] = newLastSession(last, banned || deleted)
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b tokenStart) int { return bytes.Compare(a.token, b.token) })
	for _, st := range batch {
		i, ok := slices.BinarySearchFunc(found, st.token, func(f tokenStart, token []byte) int { return bytes.Compare(f.token, token) })
		if !ok {
			continue
		}
		f := &found[i]
		row := tokenRow{Device: f.device, Used: f.used}
		if row.ID = f.user; s.db.checkUsed(&row) == nil {
			st.Started = Started{User: f.user, Name: f.name, Device: f.device}
		}
	}
	return all, nil
}

// tokenStart is a device's row, by its token.
type tokenStart struct {
	token        []byte
	user         int64
	device, name string
	used         int64
}

// lastSession is the number of a user's last session.
type lastSession struct{ last int64 }

// newLastSession returns nil for a user who may not log in.
func newLastSession(last int64, out bool) *lastSession {
	if out {
		return nil
	}
	return &lastSession{last}
}

// lockUsers locks the rows of the users, and returns the number of each user's last
// session, or nil for a user who is banned or deleted. Users whose rows other
// processes have locked are left out, unless wait is set.
func (s *starts) lockUsers(ctx context.Context, tx *sqlx.Tx, batch []*start, wait bool) (map[int64]*lastSession, error) {
	var ids []int64
	for _, st := range batch {
		if st.User != 0 {
			ids = append(ids, st.User)
		}
	}
	slices.Sort(ids) // all nodes lock rows in the same order: no deadlocks
	ids = slices.Compact(ids)
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	all := make(map[int64]*lastSession, len(ids))
	scan := func(r *sql.Rows) error {
		var id, last int64
		var banned, deleted bool
		err := r.Scan(&id, &last, &banned, &deleted)
		all[id] = newLastSession(last, banned || deleted)
		return err
	}
	if wait {
		return all, s.stmts.waitUsers.Query(ctx, tx.Tx, args, scan)
	}
	return all, s.stmts.lockUsers.Query(ctx, tx.Tx, args, scan)
}

// lockDevices locks the devices' rows of the starts whose users are in last, and
// checks that they still have the tokens. Without wait, it sets retry for those that
// other processes have locked: writing cursors, for example, locks devices but not their
// users. One that was removed meanwhile isn't found at the next attempt.
func (s *starts) lockDevices(ctx context.Context, tx *sqlx.Tx, batch []*start, last map[int64]*lastSession, wait bool) error {
	type device struct {
		user int64
		name string
	}
	tokens := make(map[device][]byte)
	var args []any
	for _, st := range batch {
		if last[st.User] != nil {
			args = append(args, st.User, st.Device)
		}
	}
	scan := func(r *sql.Rows) error {
		var d device
		var token []byte
		err := r.Scan(&d.user, &d.name, &token)
		tokens[d] = token
		return err
	}
	stmt := s.stmts.lockDevices
	if wait {
		stmt = s.stmts.waitDevices
	}
	if err := stmt.Query(ctx, tx.Tx, args, scan); err != nil {
		return err
	}
	for _, st := range batch {
		if last[st.User] == nil {
			continue
		}
		token, locked := tokens[device{st.User, st.Device}]
		switch {
		case !locked && !wait:
			st.retry = true
		case !bytes.Equal(token, st.token):
			st.err = ErrNotFound
		}
	}
	return nil
}

// prepareStarts prepares the statements of starts. It blocks on the database.
func prepareStarts(ctx context.Context, db *DB) (*startStmts, error) {
	s := new(startStmts)
	skip := func(query func(*dialect, int) string) func(int) string {
		return func(n int) string { return query(db.d, n) + db.d.SkipLocked }
	}
	wait := func(query func(*dialect, int) string) func(int) string {
		return func(n int) string { return query(db.d, n) }
	}
	for _, want := range []struct {
		to   **sqldb.BatchStmt
		spec sqldb.BatchSpec
	}{
		{&s.tokens, sqldb.BatchSpec{Width: 1, SQL: tokenStarts}},
		{&s.users, sqldb.BatchSpec{Width: 2, SQL: db.d.raiseLastSession}},
		{&s.devices, sqldb.BatchSpec{Width: 4, SQL: db.d.raiseSession}},
		{&s.lockUsers, sqldb.BatchSpec{Width: 1, SQL: skip(lockUsers)}},
		{&s.lockDevices, sqldb.BatchSpec{Width: 2, SQL: skip(lockDevices)}},
		{&s.waitUsers, sqldb.BatchSpec{Width: 1, SQL: wait(lockUsers)}},
		{&s.waitDevices, sqldb.BatchSpec{Width: 2, SQL: wait(lockDevices)}},
	} {
		if db.d.ForUpdate == "" && want.to != &s.tokens && want.to != &s.users && want.to != &s.devices {
			continue // no rows are locked
		}
		var err error
		if *want.to, err = db.sql.WriterBatch(ctx, want.spec); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

// tokenStarts returns the query for the devices and users of a number of tokens.
func tokenStarts(n int) string {
	return `SELECT d.token_hash, d.user_id, d.device, d.last_used, u.name, u.last_session, u.banned, u.deleted
		FROM devices d JOIN users u ON u.id = d.user_id WHERE d.token_hash IN (` + sqldb.Repeated("?", n) + `)`
}

// lockUsers returns the query that locks the rows of a number of users.
func lockUsers(d *dialect, n int) string {
	return `SELECT id, last_session, banned, deleted FROM users` + d.ByPrimaryKey + ` WHERE id IN (` + sqldb.Repeated("?", n) + `) ORDER BY id` + d.ForUpdate
}

// lockDevices returns the query that locks the rows of a number of devices.
func lockDevices(d *dialect, n int) string {
	return `SELECT user_id, device, token_hash FROM devices` + d.ByPrimaryKey + ` WHERE ` + sqldb.AnyOf("user_id = ? AND device = ?", n) + d.ForUpdate
}

func (s *startStmts) close() {
	for _, stmt := range []*sqldb.BatchStmt{s.tokens, s.users, s.devices, s.lockUsers, s.lockDevices, s.waitUsers, s.waitDevices} {
		stmt.Close()
	}
}
