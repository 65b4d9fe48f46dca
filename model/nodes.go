package model

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"chatd/model/sqldb"
)

// Node is a process that serves clients from this store.
type Node struct {
	Name string `db:"name"`
	Bus  int64  `db:"bus"` // its ID on the bus; 0: it isn't connected to other nodes
}

// Entry is the entry of this process in the store's list of nodes. SQLite has no such
// list, as only one process can serve from it.
type Entry struct {
	db   *DB
	node Node
	id   int64
	lock *sqldb.HeldLock // only keep uses it once Enter has returned
	log  func(msg string, args ...any)
	end  context.CancelFunc
	wg   sync.WaitGroup
}

const (
	enterRetry = 200 * time.Millisecond
	keepEvery  = 3 * time.Second // between two checks of a node's lock
	closeNode  = 2 * time.Second // how long Close tries to delete the node's row

	// NodeLeaves is the longest time for which a node stays in the list of nodes after
	// its machine has died. After a crash of the process alone, it leaves at once.
	NodeLeaves = 12 * time.Second

	// nodesReturn is how long it takes until all nodes have their locks again after the
	// database server has started. It is less than NodeLeaves.
	nodesReturn = 10 * time.Second
)

// nodeLock is the name of a node's lock. A node holds it while it runs.
const nodeLock = `CONCAT('chatd:', MD5(DATABASE()), ':', id)`

// Enter adds this process to the list of nodes, until Close. It blocks on the database.
// If the database server can't be reached, or another process keeps a lock, it retries
// for up to Options.Wait.
func (db *DB) Enter(ctx context.Context, n Node) (*Entry, error) {
	e := &Entry{db: db, node: n, log: db.o.Logger.Warn}
	if db.d.SkipLocked == "" { // SQLite
		return e, nil
	}
	err := e.add(ctx)
	warned := false
	for end := time.Now().Add(db.o.Wait); err != nil && db.d.Classify(err).Retryable() && time.Now().Before(end); {
		if !warned {
			e.log("entering the list of nodes failed; retrying", "for", db.o.Wait, "err", err)
			warned = true
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(enterRetry):
			err = e.add(ctx)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: enter the list of nodes: %w", db.sql.Where, err)
	}
	run, end := context.WithCancel(context.Background())
	e.end = end
	e.wg.Go(func() { e.keep(run) })
	return e, nil
}

// add is one attempt of Enter.
func (e *Entry) add(ctx context.Context) error {
	db, n := e.db, e.node
	err := db.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		e.unlock()
		// With this row lock, nodes enter one after another: each sees those before it.
		var epoch int64
		if err := tx.GetContext(ctx, &epoch, `SELECT value FROM meta WHERE name = 'epoch'`+db.d.ForUpdate); err != nil {
			return err
		}
		returning, err := nodesReturning(ctx, tx)
		if err != nil {
			return err
		}
		if !returning {
			if _, err := tx.ExecContext(ctx, `DELETE FROM nodes WHERE IS_USED_LOCK(`+nodeLock+`) IS NULL`); err != nil {
				return err
			}
		}
		r, err := tx.ExecContext(ctx, `INSERT INTO nodes (name, bus) VALUES (?, ?)`, n.Name, n.Bus)
		if err != nil {
			return err
		}
		if e.id, err = r.LastInsertId(); err != nil {
			return err
		}
		var name string
		if err := tx.GetContext(ctx, &name, `SELECT `+nodeLock+` FROM nodes WHERE id = ?`, e.id); err != nil {
			return err
		}
		e.lock, err = db.sql.HoldLock(ctx, name)
		return err
	})
	if err != nil {
		e.unlock()
	}
	return err
}

// nodesReturning reports whether the database server has started so recently that nodes
// may not have taken their locks again.
func nodesReturning(ctx context.Context, q sqlx.QueryerContext) (bool, error) {
	var name string
	var seconds int64
	err := q.QueryRowxContext(ctx, `SHOW GLOBAL STATUS LIKE 'Uptime'`).Scan(&name, &seconds)
	return time.Duration(seconds)*time.Second < nodesReturn, err
}

func (e *Entry) unlock() {
	if e.lock != nil {
		e.lock.Close()
		e.lock = nil
	}
}

// keep keeps the lock until ctx ends.
func (e *Entry) keep(ctx context.Context) {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for failing := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		lost, err := e.lock.Keep(ctx)
		if err == nil && lost {
			// A node that started meanwhile may have taken this one for dead.
			err = e.db.write(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
				_, err := tx.ExecContext(ctx, `INSERT INTO nodes (id, name, bus) VALUES (?, ?, ?) ON DUPLICATE KEY UPDATE bus = VALUES(bus)`,
					e.id, e.node.Name, e.node.Bus)
				return err
			})
			if err != nil {
				e.lock.Close() // try both again
			}
		}
		if err != nil && !failing && ctx.Err() == nil {
			e.log("this node isn't in the database's list of nodes; retrying", "err", err)
		}
		failing = err != nil
	}
}

// Others lists the other nodes that run: all of them, or those that entered the list
// before this one. If the database server has just started, the latter includes nodes that
// may have ended, as it isn't known yet who has. It blocks on the database.
func (e *Entry) Others(ctx context.Context, before bool) (l []Node, err error) {
	if e.lock == nil {
		return nil, nil
	}
	below, returning := sql.NullInt64{Int64: e.id, Valid: before}, false
	if before {
		returning, err = nodesReturning(ctx, e.db.sql.Reader)
	}
	if err == nil {
		err = e.db.sql.Select(ctx, &l, `SELECT name, bus FROM nodes
			WHERE id <> ? AND id < COALESCE(?, id + 1) AND (? OR IS_USED_LOCK(`+nodeLock+`) IS NOT NULL) ORDER BY id`, e.id, below, returning)
	}
	if err != nil {
		return nil, fmt.Errorf("list the nodes: %w", err)
	}
	return l, nil
}

// Close removes this process from the list of nodes. It blocks until that is done.
func (e *Entry) Close() {
	if e.lock == nil {
		return
	}
	e.end()
	e.wg.Wait()
	e.unlock()
	// If this fails, the next node deletes the row.
	ctx, cancel := context.WithTimeout(context.Background(), closeNode)
	defer cancel()
	_, _ = e.db.sql.Writer.ExecContext(ctx, `DELETE FROM nodes WHERE id = ?`, e.id)
}

// Node returns what this process entered with.
func (e *Entry) Node() Node { return e.node }
