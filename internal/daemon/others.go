package daemon

import (
	"context"
	"fmt"
	"time"

	"chatd/model"
)

const (
	othersPoll    = 250 * time.Millisecond // while enter waits for another node to end
	watchEvery    = 5 * time.Second        // between two looks at the other nodes
	watchUnheard  = 4                      // looks after which a node that isn't heard is reported
	watchLogEvery = time.Minute            // between two log lines about the same problem
)

// enter adds this node to the database's list of nodes. It returns an error if another
// node uses the database already, and one of the two is without Redis, unless the
// operator allows it. The other node may have died: enter waits until the database
// would have noticed. It blocks.
func (n *node) enter(ctx context.Context, name string) error {
	me := model.Node{Name: name}
	if n.cfg.Bus.Redis != "" {
		me.Bus = n.service.ID()
	}
	var err error
	if n.entry, err = n.store.Enter(ctx, me); err != nil {
		return err
	}
	patience := time.After(model.NodeLeaves)
	for warned := false; ; {
		others, problem := n.entry.Others(ctx, true)
		if problem == nil && !n.cfg.AllowUnconnected {
			problem = unconnected(me, others)
		}
		if problem == nil {
			return nil
		}
		if !warned {
			warned = true
			n.log.Warn("can't start yet: another node may have ended without the database's notice; waiting", "problem", problem, "for", model.NodeLeaves)
		}
		select {
		case <-time.After(othersPoll):
		case <-patience:
			return problem
		case <-n.stopping:
			return errStopped
		}
	}
}

// unconnected returns an error if me and one of the others can't reach each other,
// because one of them is without Redis.
func unconnected(me model.Node, others []model.Node) error {
	for _, o := range others {
		switch {
		case me.Bus == 0:
			return fmt.Errorf("node %s is using the same database, and this node has no --redis: set --redis on all nodes, "+
				"use another --db, or allow it with --allow-unconnected-nodes", o.Name)
		case o.Bus == 0:
			return fmt.Errorf("node %s is using the same database without --redis: restart it with the --redis of this node, "+
				"use another --db, or allow it with --allow-unconnected-nodes", o.Name)
		}
	}
	return nil
}

// watchStore watches the store until ctx ends. If it is no longer the one that this node
// has opened, it makes the node end. It logs what is wrong with the other nodes that use
// the same database: one of them isn't connected to this node, or has the same name.
func (n *node) watchStore(ctx context.Context) {
	w := watcher{n: n, unheard: make(map[int64]int), logged: make(map[string]time.Time)}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		if same, err := n.store.CheckSame(ctx); !same {
			n.failed <- err
			return
		}
		others, err := n.entry.Others(ctx, false)
		if err == nil { // else the database is unavailable: others log that
			w.look(others, time.Now())
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// watcher has the state of watchStore.
type watcher struct {
	n       *node
	unheard map[int64]int        // by ID on the bus: consecutive looks at which the node wasn't heard
	logged  map[string]time.Time // by text
}

func (w *watcher) look(others []model.Node, now time.Time) {
	me := w.n.entry.Node()
	if problem := unconnected(me, others); problem != nil && !w.n.cfg.AllowUnconnected {
		w.log(now, problem.Error())
	}
	for _, o := range others {
		if o.Name == me.Name {
			w.log(now, fmt.Sprintf("another node has the name %s, too: give each node its own --node", o.Name))
		}
		if me.Bus == 0 || o.Bus == 0 || w.n.service.Hears(o.Bus) {
			delete(w.unheard, o.Bus)
			continue
		}
		if w.unheard[o.Bus]++; w.unheard[o.Bus] > watchUnheard {
			w.log(now, fmt.Sprintf("node %s uses the same database, but isn't heard through Redis: check that it can reach Redis, and that all nodes have the same --redis", o.Name))
		}
	}
}

// log logs an error, but not the same one all the time.
func (w *watcher) log(now time.Time, text string) {
	if last, ok := w.logged[text]; ok && now.Sub(last) < watchLogEvery {
		return
	}
	w.logged[text] = now
	w.n.log.Error(text)
}
