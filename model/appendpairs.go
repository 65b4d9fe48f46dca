package model

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
)

// findPairs looks up the conversation of each pair in the batch. With wait, it
// creates missing ones.
func (s *appendStep) findPairs(ctx context.Context, wait bool) error {
	args := s.args[:0]
	for _, a := range s.batch {
		if !a.Pending() || a.Peer == 0 {
			continue
		}
		p := pairOf(a.Sender, a.Peer)
		if id, ok := s.pairs.get(p); ok {
			a.Conv = id
		} else if _, ok := s.pairIDs[p]; !ok {
			s.pairIDs[p] = 0
			s.newPairs = append(s.newPairs, p)
			args = append(args, p.lo, p.hi)
		}
	}
	s.args = args
	if len(s.pairIDs) == 0 {
		return nil
	}
	if err := s.stmts.pairs.Query(ctx, s.tx, args, s.scanPair); err != nil {
		return err
	}
	if wait {
		if err := s.createPairs(ctx); err != nil {
			return err
		}
	}
	for _, a := range s.batch {
		if !a.Pending() || a.Conv != 0 {
			continue
		}
		switch a.Conv = s.pairIDs[pairOf(a.Sender, a.Peer)]; {
		case a.Conv != 0:
		case wait:
			a.Err = ErrNotFound
		default:
			a.DeferUntilCreated()
		}
	}
	return nil
}

// scanPair reads a row of the statements pairs and lockedPairs.
func (s *appendStep) scanPair(r *sql.Rows) error {
	var id int64
	var p pair
	err := r.Scan(&id, &p.lo, &p.hi)
	s.pairIDs[p] = id
	return err
}

// createPairs creates the conversations of those newPairs that have none and
// whose users exist, or finds those that another node creates at the same
// moment. The number of statements doesn't depend on the number of pairs: a new
// user may write to many others at once.
func (s *appendStep) createPairs(ctx context.Context) error {
	// Sorted, so that all nodes lock rows in the same order: no deadlocks.
	slices.SortFunc(s.newPairs, func(a, b pair) int { return cmp.Or(cmp.Compare(a.lo, b.lo), cmp.Compare(a.hi, b.hi)) })
	var users []int64
	for _, p := range s.newPairs {
		if s.pairIDs[p] == 0 {
			users = append(users, p.lo, p.hi)
		}
	}
	exists := make(map[int64]bool)
	err := s.stmts.users.Query(ctx, s.tx, s.sortedArgs(users), func(r *sql.Rows) error {
		var id int64
		err := r.Scan(&id)
		exists[id] = true
		return err
	})
	if err != nil {
		return err
	}
	create := slices.DeleteFunc(s.newPairs, func(p pair) bool { return s.pairIDs[p] != 0 || !exists[p.lo] || !exists[p.hi] })
	if len(create) == 0 {
		return nil
	}
	args := s.args[:0]
	for _, p := range create {
		args = append(args, p.lo, p.hi)
	}
	s.args = args
	if err := s.stmts.newPairs.Exec(ctx, s.tx, args); err != nil {
		return err
	}
	if err := s.stmts.lockedPairs.Query(ctx, s.tx, args, s.scanPair); err != nil {
		return err
	}
	now := s.db.nowMS()
	args = s.args[:0]
	for _, p := range create {
		if args = append(args, s.pairIDs[p], p.lo, now); p.lo != p.hi {
			args = append(args, s.pairIDs[p], p.hi, now)
		}
	}
	s.args = args
	return s.stmts.newMembers.Exec(ctx, s.tx, args)
}

// sortedArgs returns each id once, in rising order, as arguments.
func (s *appendStep) sortedArgs(ids []int64) []any {
	slices.Sort(ids)
	args := s.args[:0]
	for _, id := range slices.Compact(ids) {
		args = append(args, id)
	}
	s.args = args
	return args
}

// lockHeads reads and locks the rows of the batch's conversations. Without
// wait, it defers messages whose conversation another process has locked.
func (s *appendStep) lockHeads(ctx context.Context, wait bool) error {
	ids := s.ids[:0]
	for _, a := range s.batch {
		if !a.Pending() {
			continue
		}
		if _, ok := s.heads[a.Conv]; !ok {
			s.heads[a.Conv] = nil
			ids = append(ids, a.Conv)
		}
	}
	s.ids = ids
	stmt := s.stmts.headsSkipLocked
	if wait {
		stmt = s.stmts.heads
	}
	found := 0
	err := stmt.Query(ctx, s.tx, s.sortedArgs(ids), func(r *sql.Rows) error {
		found++
		h := new(headRow)
		err := r.Scan(&h.id, &h.kind, &h.last, &h.version, &h.blocks, &h.gone, &h.tick)
		s.heads[h.id] = h
		return err
	})
	if err != nil || wait || found == len(ids) {
		return err
	}
	return s.deferLocked(ctx)
}

// deferLocked defers the messages of conversations that exist, but whose rows
// lockHeads could not lock.
func (s *appendStep) deferLocked(ctx context.Context) error {
	ids := s.ids[:0]
	for id, h := range s.heads {
		if h == nil {
			ids = append(ids, id)
		}
	}
	s.ids = ids
	locked := make(map[int64]bool)
	err := s.stmts.existing.Query(ctx, s.tx, s.sortedArgs(ids), func(r *sql.Rows) error {
		var id int64
		err := r.Scan(&id)
		locked[id] = true
		return err
	})
	for _, a := range s.batch {
		if a.Pending() && locked[a.Conv] {
			a.Defer()
		}
	}
	return err
}
