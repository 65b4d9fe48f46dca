package model

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"time"

	"chatd/model/sqldb"

	"github.com/jmoiron/sqlx"
)

// transaction is the append transaction of one writer: its statements, what
// it remembers from one run to the next, and scratch. One goroutine uses it.
type transaction struct {
	db      *DB
	on      *sqlx.DB
	forms   *forms
	pairs   *cache[pair, int64]       // the conversation of a pair: never changes
	members *cache[membership, int64] // the group's version at which a user was a member
	commit  func(*sql.Tx) error       // Commit, but for tests of its failure

	// Of the batch at hand.
	heads    map[int64]*head
	resolved map[pair]int64         // pairs that the cache didn't know
	unknown  []pair                 // the same, in the order in which they came
	first    map[messageKey]*Append // what the batch has of a cid
	found    map[messageKey]stored  // what the log has of a cid
	isMember map[membership]bool    // those that the cache didn't know, and what became of it
	fresh    []*Append              // to be inserted
	args     []any
	ids      []int64
}

type membership struct{ group, user int64 }

type messageKey struct {
	conv, sender int64
	cid          string
}

func keyOf(a *Append) messageKey { return messageKey{a.Conv, a.Sender, string(a.CID)} }

// stored is a message's place in the log.
type stored struct{ seq, time int64 }

// head is a conversation's row.
type head struct {
	id, kind, last, version, blocks int64
	gone, raised                    bool
}

func newTransaction(ctx context.Context, db *DB, on *sqlx.DB) (*transaction, error) {
	f, err := prepareForms(ctx, db, on)
	if err != nil {
		return nil, err
	}
	return &transaction{
		db:       db,
		on:       on,
		forms:    f,
		pairs:    newCache[pair, int64](maxPairs),
		members:  newCache[membership, int64](maxMembers),
		commit:   (*sql.Tx).Commit,
		heads:    make(map[int64]*head),
		resolved: make(map[pair]int64),
		first:    make(map[messageKey]*Append),
		found:    make(map[messageKey]stored),
		isMember: make(map[membership]bool),
	}, nil
}

// run stores a batch in one transaction and sets its outcomes; each message
// that may not be stored gets its own Err. Unless it is patient it waits for no
// other node: messages of conversations that are locked, and of pairs that have
// none, are skipped. An error means that nothing was stored, or of a
// sqldb.CommitError, that it isn't known.
func (t *transaction) run(ctx context.Context, batch []*Append, patient bool) error {
	t.reset(batch)
	release, err := t.db.sql.AcquirePriority(ctx)
	if err != nil {
		return err
	}
	defer release()
	start := time.Now()
	tx, err := t.on.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after Commit it does nothing
	if err := t.resolve(ctx, tx, batch, patient); err != nil {
		return err
	}
	if err := t.readHeads(ctx, tx, batch, patient); err != nil {
		return err
	}
	// After the lock, or the snapshot lies.
	if err := t.lookUp(ctx, tx, batch); err != nil {
		return err
	}
	if err := t.readMembers(ctx, tx, batch); err != nil {
		return err
	}
	now := t.db.nowMS()
	t.number(batch, now)
	if err := t.insert(ctx, tx); err != nil {
		return err
	}
	if err := t.raise(ctx, tx, now); err != nil {
		return err
	}
	if err := t.commit(tx); err != nil {
		return &sqldb.CommitError{Err: err}
	}
	t.db.m.commit.UpdateDuration(start)
	t.learn(batch)
	return nil
}

func (t *transaction) reset(batch []*Append) {
	clear(t.heads)
	clear(t.resolved)
	t.unknown = t.unknown[:0]
	clear(t.first)
	clear(t.found)
	clear(t.isMember)
	clear(t.fresh)
	t.fresh = t.fresh[:0]
	for _, a := range batch {
		a.Conv, a.Seq, a.Time, a.Version, a.Last, a.Stored, a.Err = a.Group, 0, 0, 0, 0, false, nil
		a.skipped, a.unmade = false, false
		switch {
		case a.malformed():
			a.Conv, a.Err = 0, errMalformed
		case a.Line.stops(a):
			a.Conv, a.Err = 0, ErrBehind
		}
	}
}

// resolve finds the conversations of pairs, and if it is patient makes those
// that are missing.
func (t *transaction) resolve(ctx context.Context, tx *sql.Tx, batch []*Append, patient bool) error {
	args := t.args[:0]
	for _, a := range batch {
		if a.Err != nil || a.Peer == 0 {
			continue
		}
		p := pairOf(a.Sender, a.Peer)
		if id, ok := t.pairs.get(p); ok {
			a.Conv = id
		} else if _, ok := t.resolved[p]; !ok {
			t.resolved[p] = 0
			t.unknown = append(t.unknown, p)
			args = append(args, p.lo, p.hi)
		}
	}
	t.args = args
	if len(t.resolved) == 0 {
		return nil
	}
	if err := t.forms.pairs.Query(ctx, tx, args, t.foundPair); err != nil {
		return err
	}
	if patient {
		if err := t.makePairs(ctx, tx); err != nil {
			return err
		}
	}
	for _, a := range batch {
		if a.Err == nil && a.Conv == 0 {
			switch a.Conv = t.resolved[pairOf(a.Sender, a.Peer)]; {
			case a.Conv != 0:
			case patient:
				a.Err = ErrNotFound
			default:
				a.skipped, a.unmade = true, true
			}
		}
	}
	return nil
}

// foundPair notes a row of pairs or pairIDs.
func (t *transaction) foundPair(r *sql.Rows) error {
	var id int64
	var p pair
	err := r.Scan(&id, &p.lo, &p.hi)
	t.resolved[p] = id
	return err
}

// makePairs makes the conversations of resolved pairs that have none, where
// both users exist, or finds those that another node has made at the same
// moment: a few statements for all of them, as new users write to everyone
// they know.
func (t *transaction) makePairs(ctx context.Context, tx *sql.Tx) error {
	// In order, all of them: whoever locks in another order may be waiting for
	// us as we are for them.
	slices.SortFunc(t.unknown, func(a, b pair) int { return cmp.Or(cmp.Compare(a.lo, b.lo), cmp.Compare(a.hi, b.hi)) })
	var users []int64
	for _, p := range t.unknown {
		if t.resolved[p] == 0 {
			users = append(users, p.lo, p.hi)
		}
	}
	args := t.inOrder(users)
	exists := make(map[int64]bool)
	err := t.forms.users.Query(ctx, tx, args, func(r *sql.Rows) error {
		var id int64
		err := r.Scan(&id)
		exists[id] = true
		return err
	})
	if err != nil {
		return err
	}
	made := slices.DeleteFunc(t.unknown, func(p pair) bool { return t.resolved[p] != 0 || !exists[p.lo] || !exists[p.hi] })
	if len(made) == 0 {
		return nil
	}
	args = t.args[:0]
	for _, p := range made {
		args = append(args, p.lo, p.hi)
	}
	t.args = args
	if err := t.forms.newPairs.Exec(ctx, tx, args); err != nil {
		return err
	}
	if err := t.forms.pairIDs.Query(ctx, tx, args, t.foundPair); err != nil {
		return err
	}
	now := t.db.nowMS()
	args = t.args[:0]
	for _, p := range made {
		if args = append(args, t.resolved[p], p.lo, now); p.lo != p.hi {
			args = append(args, t.resolved[p], p.hi, now)
		}
	}
	t.args = args
	return t.forms.newMembers.Exec(ctx, tx, args)
}

// inOrder makes arguments of ids, each once and rising.
func (t *transaction) inOrder(ids []int64) []any {
	slices.Sort(ids)
	args := t.args[:0]
	for _, id := range slices.Compact(ids) {
		args = append(args, id)
	}
	t.args = args
	return args
}

// readHeads reads the rows of all conversations of the batch, and locks them.
func (t *transaction) readHeads(ctx context.Context, tx *sql.Tx, batch []*Append, patient bool) error {
	ids := t.ids[:0]
	for _, a := range batch {
		if a.settled() {
			continue
		}
		if _, ok := t.heads[a.Conv]; !ok {
			t.heads[a.Conv] = nil
			ids = append(ids, a.Conv)
		}
	}
	t.ids = ids
	form := t.forms.free
	if patient {
		form = t.forms.heads
	}
	found := 0
	err := form.Query(ctx, tx, t.inOrder(ids), func(r *sql.Rows) error {
		found++
		h := new(head)
		err := r.Scan(&h.id, &h.kind, &h.last, &h.version, &h.blocks, &h.gone)
		t.heads[h.id] = h
		return err
	})
	if err != nil || patient || found == len(ids) {
		return err
	}
	return t.skip(ctx, tx, batch)
}

// skip marks the messages of conversations that are there, but weren't to be
// had.
func (t *transaction) skip(ctx context.Context, tx *sql.Tx, batch []*Append) error {
	ids := t.ids[:0]
	for id, h := range t.heads {
		if h == nil {
			ids = append(ids, id)
		}
	}
	t.ids = ids
	locked := make(map[int64]bool)
	err := t.forms.exist.Query(ctx, tx, t.inOrder(ids), func(r *sql.Rows) error {
		var id int64
		err := r.Scan(&id)
		locked[id] = true
		return err
	})
	for _, a := range batch {
		a.skipped = a.skipped || a.Err == nil && locked[a.Conv]
	}
	return err
}

// lookUp finds what the log has of the batch's cids, of those that may be
// repeats.
func (t *transaction) lookUp(ctx context.Context, tx *sql.Tx, batch []*Append) error {
	args := t.args[:0]
	for _, a := range batch {
		if !a.settled() && (a.Retry || a.look) && t.heads[a.Conv] != nil {
			args = append(args, a.Conv, a.Sender, a.CID)
		}
	}
	t.args = args
	return t.forms.repeats.Query(ctx, tx, args, func(r *sql.Rows) error {
		var k messageKey
		var s stored
		var cid sql.RawBytes
		err := r.Scan(&k.conv, &k.sender, &cid, &s.seq, &s.time)
		k.cid = string(cid)
		t.found[k] = s
		return err
	})
}

// readMembers asks for the memberships that the cache doesn't know at the
// version that the group has now.
func (t *transaction) readMembers(ctx context.Context, tx *sql.Tx, batch []*Append) error {
	args := t.args[:0]
	for _, a := range batch {
		h := t.heads[a.Conv]
		if a.settled() || h == nil || h.kind != kindGroup {
			continue
		}
		m := membership{a.Conv, a.Sender}
		if v, ok := t.members.get(m); ok && v == h.version {
			continue
		}
		if _, ok := t.isMember[m]; !ok {
			t.isMember[m] = false
			args = append(args, m.group, m.user)
		}
	}
	t.args = args
	return t.forms.members.Query(ctx, tx, args, func(r *sql.Rows) error {
		var m membership
		err := r.Scan(&m.group, &m.user)
		t.isMember[m] = true
		return err
	})
}

// number answers repeats, refuses what may not be, and gives the rest its seq.
func (t *transaction) number(batch []*Append, now int64) {
	for _, a := range batch {
		if a.settled() {
			continue
		}
		h := t.heads[a.Conv]
		if h == nil {
			a.Err = ErrNotFound
			continue
		}
		k := keyOf(a)
		if f, ok := t.first[k]; ok {
			a.Seq, a.Time = f.Seq, f.Time
			continue
		}
		// The log before the rules: a repeat gets the first answer, even if
		// the sender has left the group since.
		if s, ok := t.found[k]; ok {
			a.Seq, a.Time = s.seq, s.time
			a.Stored = a.given != 0 && a.given == s.seq
			t.first[k] = a
			continue
		}
		if a.Err = t.refusal(h, a); a.Err != nil {
			continue
		}
		h.last++
		h.raised = true
		a.Seq, a.Time, a.Stored = h.last, now, true
		t.first[k] = a
		t.fresh = append(t.fresh, a)
	}
}

// refusal is why a may not be stored in the conversation h, or nil.
func (t *transaction) refusal(h *head, a *Append) error {
	if a.Peer != 0 {
		return pairOf(a.Sender, a.Peer).refusal(h.blocks, a.Sender)
	}
	if h.kind != kindGroup || h.gone {
		return ErrNotFound
	}
	m := membership{h.id, a.Sender}
	if in, asked := t.isMember[m]; asked && !in {
		return ErrNotAllowed
	}
	return nil
}

func (t *transaction) insert(ctx context.Context, tx *sql.Tx) error {
	args := t.args[:0]
	for _, a := range t.fresh {
		args = append(args, a.Conv, a.Seq, a.Sender, a.CID, a.Body, a.Time)
	}
	t.args = args
	return t.forms.insert.Exec(ctx, tx, args)
}

func (t *transaction) raise(ctx context.Context, tx *sql.Tx, now int64) error {
	args := t.args[:0]
	for _, h := range t.heads {
		if h != nil && h.raised {
			args = append(args, h.id, h.last, now)
		}
	}
	t.args = args
	return t.forms.raise.Exec(ctx, tx, args)
}

// learn finishes the outcomes and remembers, now that it is committed.
func (t *transaction) learn(batch []*Append) {
	for p, id := range t.resolved {
		if id != 0 {
			t.pairs.put(p, id)
		}
	}
	for m, in := range t.isMember {
		if in {
			t.members.put(m, t.heads[m.group].version)
		}
	}
	for _, a := range batch {
		if a.settled() {
			a.Conv = 0
			continue
		}
		h := t.heads[a.Conv]
		a.Version, a.Last = h.version, h.last
	}
	clear(t.args[:cap(t.args)]) // no bodies are kept alive by scratch
}
