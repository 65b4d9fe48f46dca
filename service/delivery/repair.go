package delivery

import (
	"errors"
	"math/bits"

	"chatd/model"
	"chatd/model/feed"
)

// Repair finds messages, membership changes and ended sessions that this node has
// missed. It reads the feed of all that is committed. It isn't safe for concurrent use.
type Repair struct {
	d     *Delivery
	feed  *feed.Reader // nil: not started
	lost  bool         // sessions may have missed changes before the feed was started
	found found
	last  found // what the last Look has found and not handled
}

// found is what a Look finds.
type found struct {
	spans []feed.Span           // the latest of each conversation
	index map[int64]int         // of each conversation in spans
	joins map[joinKey]feed.Span // the latest join of each user to each group
}

type joinKey struct{ group, user int64 }

// NewRepair returns a Repair. It finds what is committed after the call; earlier
// changes don't matter, because sessions read the log when they start. Call it
// before the first login. It blocks.
func (d *Delivery) NewRepair(t Off) *Repair {
	r := &Repair{d: d}
	if err := r.start(t); err != nil && t.Err() == nil {
		d.log.Error("reading the feed failed; retrying", "err", err)
	}
	return r
}

// start starts reading the feed. It ends the sessions on this node if they may have
// missed changes before: they read the log when they reconnect.
func (r *Repair) start(t Off) error {
	f, err := r.d.store.StartFeed(t)
	if err != nil {
		r.lost = true
		return err
	}
	if r.lost {
		r.d.log.Warn("this node may have missed messages: all its sessions have to reconnect")
		r.d.sessions.EndAll("this node may have missed messages; reconnect", reconnectSpread)
	}
	*r = Repair{d: r.d, feed: f}
	return nil
}

// Look reads what has been committed since the last call, and tells the loops about
// these conversations. If hints is set, hints from other nodes are expected to arrive:
// Look then tells the loops what the previous call found, and keeps what it finds for
// the next one. So the hints come first, and the log need not be read. Sessions that
// have ended are ended at once.
//
// Look blocks, and returns the store's errors. After feed.ErrTrimmed or
// feed.ErrBroken, the next Look starts over and ends the sessions on this node.
func (r *Repair) Look(t Off, hints bool) error {
	if r.feed == nil {
		return r.start(t)
	}
	err := r.read(t)
	if errors.Is(err, feed.ErrTrimmed) || errors.Is(err, feed.ErrBroken) {
		r.feed, r.lost = nil, true
		return err
	}
	r.d.raise(r.last.spans)
	if !hints {
		r.d.raise(r.found.spans)
		r.found.spans = r.found.spans[:0]
	}
	// Joins always wait: the user who joins gets the ACK first.
	for k, s := range r.last.joins {
		if failed := r.d.enlist(t, &s); failed != nil {
			err = errors.Join(err, failed)
			break
		}
		delete(r.last.joins, k)
	}
	for k, s := range r.last.joins { // those that failed
		if _, later := r.found.joins[k]; !later {
			r.found.joins[k] = s
		}
	}
	r.last, r.found = r.found, found{}
	return err
}

// read reads what has been committed since the last call. After an error, r.found
// has what was read before.
func (r *Repair) read(t Off) error {
	r.found.index, r.found.joins = make(map[int64]int), make(map[joinKey]feed.Span)
	for more := true; more && len(r.found.spans) < maxFound; {
		var rows []feed.Row
		var err error
		if rows, more, err = r.feed.Next(t); err != nil {
			return err
		}
		for i := range rows {
			r.d.sessions.EndCommitted(rows[i].Ended)
			for _, s := range rows[i].Spans {
				r.found.add(s)
			}
		}
	}
	return nil
}

// add adds a span, or replaces an earlier one of the same conversation.
func (f *found) add(s feed.Span) {
	if s.Joined != 0 {
		f.joins[joinKey{s.Conv, s.Joined}] = s
	}
	if i, ok := f.index[s.Conv]; ok {
		f.spans[i] = s
		return
	}
	f.index[s.Conv] = len(f.spans)
	f.spans = append(f.spans, s)
}

// raise tells the loops with sessions in these conversations how many messages
// they have.
func (d *Delivery) raise(spans []feed.Span) {
	perLoop := make([][]*update, len(d.topics))
	for i := range spans {
		s := &spans[i]
		p := pair{s.Lo, s.Hi}
		for loops := d.loopsOf(s.Group(), p); loops != 0; loops &= loops - 1 {
			i := bits.TrailingZeros64(loops)
			perLoop[i] = append(perLoop[i], &update{conv: s.Conv, group: s.Group(), pair: p, version: s.Version, seq: s.Last})
		}
	}
	for i, list := range perLoop {
		if len(list) > 0 {
			_ = d.r.Post(i, func(t Turn) { d.topics[i].deliverAll(t, list) }) // an error means that the reactor has stopped
		}
	}
}

// enlist creates a group's topic on each loop that lacks it but has a user who has
// joined the group: the announcement of the join on another node was missed. It
// blocks, and returns the store's errors.
func (d *Delivery) enlist(t Off, s *feed.Span) error {
	loops := d.sessions.LoopsOf(s.Joined) &^ d.sessions.Watchers(s.Conv)
	if loops == 0 {
		return nil
	}
	_, err := d.store.VisibleRange(t, s.Joined, s.Conv, 0)
	if errors.Is(err, model.ErrNotFound) || errors.Is(err, model.ErrNotAllowed) { // dismissed, or the user has left
		return nil
	}
	if err != nil {
		return err
	}
	for ; loops != 0; loops &= loops - 1 {
		i := bits.TrailingZeros64(loops)
		_ = d.r.Post(i, func(t Turn) { d.topics[i].enlist(t, s) }) // an error means that the reactor has stopped
	}
	return nil
}

func (l *TopicsOnLoop) enlist(t Turn, s *feed.Span) {
	if u := l.users[s.Joined]; l.topics[s.Conv] == nil && u != nil {
		tp := l.newGroup(t, s.Conv, s.Version, s.Last)
		l.add(t, tp, s.Joined, unknown)
		for _, ss := range u.sessions {
			if ss.Joining(t) != s.Conv { // that one gets ADD_GROUP_ACK
				ss.Notify(t, joinNotice(s.Conv, s.Joined, ss.Name))
			}
		}
		l.reload(t, tp, s.Version) // adds the other members on this loop, or removes this one if they have left
	}
}
