package model

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/jmoiron/sqlx"

	"chatd/model/feed"
	"chatd/model/groupcommit"
	"chatd/model/sqldb"
)

// Maximum number of entries in an appendStep's caches.
const (
	maxKnownPairs   = 128 << 10
	maxKnownMembers = 128 << 10
)

// appendStep implements groupcommit.Step: it runs the SQL that appends messages
// to the log. Each appendStep has its own connection, prepared statements and
// caches.
type appendStep struct {
	db      *DB
	pool    *sqlx.DB
	stmts   *appendStmts
	pairs   *cache[pair, int64]      // a pair's conversation ID, which never changes
	members *cache[memberKey, int64] // the latest known group version at which the user was a member
	met     *cache[int64, int64]     // by a pair's conversation ID: until when, in Unix ms, neither is a stranger to the other
	lane    *feed.Lane
	recent  *recentLog          // nil: not SQLite
	commit  func(*sql.Tx) error // tests replace it

	// The open transaction.
	tx      *sql.Tx
	release func() // unlocks the connection
	started time.Time
	batch   []*Append

	// Scratch space for a transaction.
	heads       map[int64]*headRow
	pairIDs     map[pair]int64          // pairs that are not in the cache; 0: no conversation
	newPairs    []pair                  // keys of pairIDs in the order of the batch
	byCID       map[messageKey]*Append  // messages of the batch that have a seq
	stored      map[messageKey]logEntry // messages of the batch that are already in the log
	memberships map[memberKey]bool      // memberships that are not in the cache
	inserts     []*Append
	contacts    map[int64]*contact   // of pairs that are not in the cache
	charges     []charge             // what was charged to quotas
	refused     []*Append            // because of quotas
	overQuota   map[*Run]*QuotaError // runs with a message that was refused
	args        []any
	ids         []int64
}

type memberKey struct{ group, user int64 }

type messageKey struct {
	conv, sender int64
	cid          string
}

func keyOf(a *Append) messageKey { return messageKey{a.Conv, a.Sender, string(a.CID)} }

// logEntry is the seq and the time of a stored message.
type logEntry struct{ seq, time int64 }

// headRow is a row of conversations.
type headRow struct {
	id, kind, last, version, blocks, tick int64
	gone                                  bool

	first int64 // the first seq of this transaction; 0: none
	pair  pair  // of the messages of this transaction, if it is a pair's
}

func newAppendStep(ctx context.Context, db *DB, pool *sqlx.DB) (*appendStep, error) {
	stmts, err := prepareAppendStmts(ctx, db, pool)
	if err != nil {
		return nil, err
	}
	recent, err := newRecentLog(ctx, db, pool)
	if err != nil {
		stmts.close()
		return nil, err
	}
	return &appendStep{
		recent:      recent,
		db:          db,
		pool:        pool,
		stmts:       stmts,
		pairs:       newCache[pair, int64](maxKnownPairs),
		members:     newCache[memberKey, int64](maxKnownMembers),
		met:         newCache[int64, int64](maxKnownMet),
		lane:        feed.NewLane(db.sql),
		commit:      (*sql.Tx).Commit,
		heads:       make(map[int64]*headRow),
		pairIDs:     make(map[pair]int64),
		byCID:       make(map[messageKey]*Append),
		stored:      make(map[messageKey]logEntry),
		memberships: make(map[memberKey]bool),
		contacts:    make(map[int64]*contact),
		overQuota:   make(map[*Run]*QuotaError),
	}, nil
}

// Begin implements groupcommit.Step.
func (s *appendStep) Begin(ctx context.Context) (err error) {
	if err := s.recent.begin(ctx); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			s.recent.end()
		}
	}()
	release, err := s.db.sql.AcquirePriority(ctx)
	if err != nil {
		return err
	}
	s.started = time.Now()
	if s.lane.Stale() {
		if err := s.openLane(ctx); err != nil {
			release()
			return err
		}
	}
	if s.tx, err = s.pool.BeginTx(ctx, nil); err != nil {
		release()
		return err
	}
	s.release = release
	return nil
}

// openLane takes a new lane of the feed, in a transaction of its own.
func (s *appendStep) openLane(ctx context.Context) error {
	return s.lane.Open(func(query string, args ...any) error {
		tx, err := s.pool.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback() // no effect after Commit
		if _, err := tx.ExecContext(ctx, query, args...); err != nil {
			return err
		}
		return tx.Commit()
	})
}

// Apply implements groupcommit.Step.
func (s *appendStep) Apply(ctx context.Context, batch []*Append, wait bool) error {
	s.reset(batch)
	if err := s.recent.catchUp(ctx, s.tx); err != nil {
		return err
	}
	if err := s.findPairs(ctx, wait); err != nil {
		return err
	}
	if err := s.lockHeads(ctx, wait); err != nil {
		return err
	}
	// Only after locking: a snapshot from before the lock may miss messages.
	if err := s.findRepeats(ctx); err != nil {
		return err
	}
	if err := s.findMembers(ctx); err != nil {
		return err
	}
	now := s.db.nowMS()
	if err := s.findContacts(ctx, now); err != nil {
		return err
	}
	s.assignSeqs(now)
	if len(s.refused) > 0 {
		if err := s.answerRefusedRepeats(ctx); err != nil {
			return err
		}
	}
	if err := s.insert(ctx); err != nil {
		return err
	}
	return s.raiseHeads(ctx, now)
}

// Commit implements groupcommit.Step.
func (s *appendStep) Commit() error {
	err := s.commit(s.tx)
	if err != nil {
		s.Rollback()
		return err
	}
	s.recent.committed()
	s.end()
	s.lane.Committed()
	s.db.m.commit.UpdateDuration(s.started)
	s.remember()
	return nil
}

// Rollback implements groupcommit.Step.
func (s *appendStep) Rollback() {
	_ = s.tx.Rollback() // an error means that the connection is gone, and the transaction with it
	s.refund()
	s.end()
}

func (s *appendStep) end() {
	s.release()
	s.recent.end()
	s.tx, s.release = nil, nil
}

// Close implements groupcommit.Step.
func (s *appendStep) Close() {
	s.stmts.close()
	s.recent.close()
}

// Classify implements groupcommit.Step.
func (s *appendStep) Classify(err error) groupcommit.Class {
	if errors.Is(err, feed.ErrClosed) { // the next attempt takes another lane
		return groupcommit.Retryable
	}
	switch s.db.d.Classify(err) {
	case sqldb.Duplicate:
		return groupcommit.Duplicate
	case sqldb.Transient:
		return groupcommit.Transient
	case sqldb.Retryable:
		return groupcommit.Retryable
	case sqldb.LockTimeout:
		return groupcommit.LockTimeout
	case sqldb.Disconnected:
		return groupcommit.Disconnected
	}
	return groupcommit.Permanent
}

// reset clears the scratch space.
func (s *appendStep) reset(batch []*Append) {
	s.batch = batch
	clear(s.heads)
	clear(s.pairIDs)
	s.newPairs = s.newPairs[:0]
	clear(s.byCID)
	clear(s.stored)
	clear(s.memberships)
	clear(s.inserts)
	s.inserts = s.inserts[:0]
	clear(s.contacts)
	s.charges = s.charges[:0]
	clear(s.refused)
	s.refused = s.refused[:0]
	clear(s.overQuota)
	for _, a := range batch {
		a.Conv = a.Group
	}
}

// findRepeats looks up the messages that may already be in the log. If they go to
// recent, that has no constraint against repeats, so all are looked up.
func (s *appendStep) findRepeats(ctx context.Context) error {
	args := s.args[:0]
	if s.recent != nil {
		var err error
		if args, err = s.findRecent(ctx, args); err != nil {
			return err
		}
	} else {
		for _, a := range s.batch {
			if a.Pending() && a.MayRepeat() && s.heads[a.Conv] != nil {
				args = append(args, a.Conv, a.Sender, a.CID)
			}
		}
	}
	s.args = args
	return s.stmts.repeats.Query(ctx, s.tx, args, s.scanRepeat)
}

// scanRepeat reads the key, seq and time of a message that is in the log.
func (s *appendStep) scanRepeat(r *sql.Rows) error {
	var k messageKey
	var p logEntry
	var cid sql.RawBytes
	err := r.Scan(&k.conv, &k.sender, &cid, &p.seq, &p.time)
	k.cid = string(cid)
	s.stored[k] = p
	return err
}

// findMembers reads the memberships that the cache doesn't have at the group's
// current version.
func (s *appendStep) findMembers(ctx context.Context) error {
	args := s.args[:0]
	for _, a := range s.batch {
		h := s.heads[a.Conv]
		if !a.Pending() || h == nil || h.kind != kindGroup {
			continue
		}
		m := memberKey{a.Conv, a.Sender}
		if v, ok := s.members.get(m); ok && v == h.version {
			continue
		}
		if _, ok := s.memberships[m]; !ok {
			s.memberships[m] = false
			args = append(args, m.group, m.user)
		}
	}
	s.args = args
	return s.stmts.members.Query(ctx, s.tx, args, func(r *sql.Rows) error {
		var m memberKey
		err := r.Scan(&m.group, &m.user)
		s.memberships[m] = true
		return err
	})
}

// assignSeqs answers repeats, refuses messages that may not be stored, and
// gives each of the others its seq.
func (s *appendStep) assignSeqs(now int64) {
	limited := s.db.quotas.on() || len(s.contacts) > 0
	if limited {
		s.db.quotas.mu.Lock()
		defer s.db.quotas.mu.Unlock()
	}
	for _, a := range s.batch {
		if !a.Pending() {
			continue
		}
		h := s.heads[a.Conv]
		if h == nil {
			a.Err = ErrNotFound
			continue
		}
		k := keyOf(a)
		if first, ok := s.byCID[k]; ok {
			a.Seq, a.Time = first.Seq, first.Time
			continue
		}
		// Before checkSender: a repeat gets the first answer even if the sender
		// has left the group since.
		if p, ok := s.stored[k]; ok {
			a.AnswerRepeat(p.seq, p.time)
			s.byCID[k] = a
			continue
		}
		if a.Err = s.checkSender(h, a); a.Err != nil {
			continue
		}
		if limited {
			if a.Err = s.admit(h, a, now*1000); a.Err != nil {
				s.refused = append(s.refused, a)
				continue
			}
		}
		h.last++
		if h.first == 0 {
			h.first = h.last
		}
		if a.Peer != 0 {
			h.pair = pairOf(a.Sender, a.Peer)
		}
		a.Seq, a.Time, a.Stored = h.last, now, true
		s.byCID[k] = a
		s.inserts = append(s.inserts, a)
	}
}

// checkSender returns the error for a sender who may not write to the
// conversation.
func (s *appendStep) checkSender(h *headRow, a *Append) error {
	if a.Peer != 0 {
		return pairOf(a.Sender, a.Peer).refusal(h.blocks, a.Sender)
	}
	if h.kind != kindGroup || h.gone {
		return ErrNotFound
	}
	if member, checked := s.memberships[memberKey{h.id, a.Sender}]; checked && !member {
		return ErrNotAllowed
	}
	return nil
}

func (s *appendStep) insert(ctx context.Context) error {
	args := s.args[:0]
	if s.recent != nil {
		for _, a := range s.inserts {
			args = s.recent.add(args, a)
		}
		s.args = args
		return s.recent.insert.Exec(ctx, s.tx, args)
	}
	for _, a := range s.inserts {
		args = append(args, a.Conv, a.Seq, a.Sender, a.CID, a.Body, a.Time)
	}
	s.args = args
	return s.stmts.insert.Exec(ctx, s.tx, args)
}

// raiseHeads writes the new last seq of each conversation, and then the
// transaction's row of the feed.
func (s *appendStep) raiseHeads(ctx context.Context, now int64) error {
	highest := int64(0)
	for _, h := range s.heads {
		if h != nil && h.first != 0 {
			highest = max(highest, h.tick)
		}
	}
	tick := s.lane.Tick(highest)
	s.lane.Reset()
	args := s.args[:0]
	for _, h := range s.heads {
		if h != nil && h.first != 0 {
			args = append(args, h.id, h.last, now, tick)
			s.lane.Add(h.span())
		}
	}
	s.args = args
	if len(args) == 0 {
		return nil
	}
	if err := s.stmts.raise.Exec(ctx, s.tx, args); err != nil {
		return err
	}
	return s.lane.Record(tick, func(args ...any) (sql.Result, error) {
		return s.tx.StmtContext(ctx, s.stmts.record).ExecContext(ctx, args...)
	})
}

// span describes the messages of this transaction.
func (h *headRow) span() *feed.Span {
	p := &feed.Span{Conv: h.id, First: h.first, Last: h.last}
	if h.kind == kindGroup {
		p.Version = h.version
	} else {
		p.Lo, p.Hi = h.pair.lo, h.pair.hi
	}
	return p
}

// remember fills the caches and completes the outcomes after a commit.
func (s *appendStep) remember() {
	for p, id := range s.pairIDs {
		if id != 0 {
			s.pairs.put(p, id)
		}
	}
	for m, member := range s.memberships {
		if member {
			s.members.put(m, s.heads[m.group].version)
		}
	}
	s.rememberContacts()
	s.failRuns()
	s.charges = s.charges[:0]
	for _, a := range s.batch {
		if !a.Pending() {
			a.Conv = 0
			continue
		}
		h := s.heads[a.Conv]
		a.Version, a.Last = h.version, h.last
	}
	s.batch = nil
	clear(s.args[:cap(s.args)]) // don't keep bodies alive
}
