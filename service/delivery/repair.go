package delivery

import (
	"context"
	"errors"
	"math/bits"

	"chatd/model"
	"chatd/model/feed"
	"chatd/proto"
)

// Feed is the part of *feed.Reader that Repair uses.
type Feed interface {
	Next(ctx context.Context) (rows []feed.Row, more bool, err error)
}

// Repair finds messages and membership changes that this node has missed. It
// reads the feed of all that is committed. It isn't safe for concurrent use.
type Repair struct {
	d     *Delivery
	feed  Feed // nil: not started
	lost  bool // sessions may have missed changes before the feed was started
	spans []feed.Span
	index map[int64]int // of each conversation in spans
}

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
		r.d.sessions.KickAll(proto.Draining, "this node may have missed messages; reconnect")
	}
	*r = Repair{d: r.d, feed: f, index: make(map[int64]int)}
	return nil
}

// Look reads what has been committed since the last call, and tells the loops about
// these conversations. With hints, the hints of other nodes can be expected to
// arrive: then Look only tells the loops what the previous call has found, so that
// the hints of this one arrive first and the log need not be read. Look blocks, and
// returns the store's errors. After feed.ErrTrimmed or feed.ErrBroken, the next Look
// starts over and ends the sessions on this node.
func (r *Repair) Look(t Off, hints bool) error {
	if r.feed == nil {
		return r.start(t)
	}
	due, err := r.read(t)
	if errors.Is(err, feed.ErrTrimmed) || errors.Is(err, feed.ErrBroken) {
		r.feed, r.lost = nil, true
		return err
	}
	if !hints {
		due = len(r.spans)
	}
	return errors.Join(err, r.handle(t, due))
}

// read adds to spans what has been committed since the last call. It returns the
// number of spans that were there before.
func (r *Repair) read(t Off) (before int, err error) {
	before = len(r.spans)
	clear(r.index) // so that spans of earlier calls stay as they are
	for more := true; more && len(r.spans)-before < maxFound; {
		var rows []feed.Row
		if rows, more, err = r.feed.Next(t); err != nil {
			return before, err
		}
		for i := range rows {
			for _, s := range rows[i].Spans {
				r.add(s)
			}
		}
	}
	return before, nil
}

// add adds a span, or merges it into the one of the same conversation.
func (r *Repair) add(s feed.Span) {
	if i, ok := r.index[s.Conv]; ok {
		s.Members = s.Members || r.spans[i].Members
		r.spans[i] = s
		return
	}
	r.index[s.Conv] = len(r.spans)
	r.spans = append(r.spans, s)
}

// handle tells the loops about the first n spans, and removes these. After an
// error of the store, it puts the span that failed at the end, so that the next
// call doesn't fail at the same one first.
func (r *Repair) handle(t Off, n int) error {
	r.d.raise(r.spans[:n])
	for i := range n {
		s := r.spans[i]
		if !s.Members {
			continue
		}
		if err := r.d.enlist(t, &s); err != nil {
			r.spans = append(r.spans[i+1:], s)
			clear(r.index)
			return err
		}
	}
	r.spans = append(r.spans[:0], r.spans[n:]...)
	return nil
}

// raise tells the loops with sessions in these conversations how many messages
// they have.
func (d *Delivery) raise(spans []feed.Span) {
	perLoop := make([][]update, len(d.topics))
	for i := range spans {
		s := &spans[i]
		p := pair{s.Lo, s.Hi}
		for loops := d.loopsOf(s.Group(), p); loops != 0; loops &= loops - 1 {
			i := bits.TrailingZeros64(loops)
			perLoop[i] = append(perLoop[i], update{conv: s.Conv, group: s.Group(), pair: p, version: s.Version, seq: s.Last})
		}
	}
	for i, list := range perLoop {
		if len(list) > 0 {
			_ = d.r.Post(i, func(t Turn) { d.topics[i].deliverAll(t, list) }) // an error means that the reactor has stopped
		}
	}
}

// enlist creates the group's topic on loops that have a member but no topic,
// because the join of that member on another node was missed.
func (d *Delivery) enlist(t Off, s *feed.Span) error {
	_, members, err := d.store.MemberIDs(t, s.Conv)
	if err != nil && !errors.Is(err, model.ErrNotFound) { // ErrNotFound: the group was dismissed, which raise handles
		return err
	}
	for _, m := range members {
		for loops := d.sessions.LoopsOf(m.User) &^ d.sessions.Watchers(s.Conv); loops != 0; loops &= loops - 1 {
			i := bits.TrailingZeros64(loops)
			_ = d.r.Post(i, func(t Turn) { d.topics[i].enlist(t, s, m.User) }) // an error means that the reactor has stopped
		}
	}
	return nil
}

func (l *TopicsOnLoop) enlist(t Turn, s *feed.Span, user int64) {
	if u := l.users[user]; l.topics[s.Conv] == nil && u != nil {
		tp := l.newGroup(t, s.Conv, s.Version, s.Last)
		l.add(t, tp, user, unknown)
		u.notify(t, Joined(s.Conv, user, u.sessions[0].Name, 0, 0).Notice, nil)
		l.reload(t, tp, s.Version) // adds the other members on this loop, or removes this one if they have left
	}
}
