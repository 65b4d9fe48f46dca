package delivery

import (
	"errors"
	"math/bits"
	"time"

	"chatd/model"
	"chatd/model/feed"
	"chatd/service/bus"
)

// forgetNotices is the minimum time between two calls of Sessions.ForgetNotices.
const forgetNotices = 30 * time.Second

// Repair finds messages, membership changes, notices and ended sessions that this node
// has missed. It reads the feed of all that is committed. It isn't safe for concurrent use.
type Repair struct {
	d       *Delivery
	noticed func(*feed.Notices)
	feed    *model.FeedReader // nil: not started
	lost    bool              // sessions may have missed changes before the feed was started
	found   found
	last    found     // what the last Look has found and not handled
	forgot  time.Time // when ForgetNotices was called
}

// found is what a Look finds.
type found struct {
	spans []feed.Span   // the latest of each conversation
	index map[int64]int // of each conversation in spans
}

// NewRepair returns a Repair. It finds what is committed after the call; earlier
// changes don't matter, because sessions read the log when they start. Repair calls
// noticed with the notices of other processes' transactions; it handles Members
// itself. Call NewRepair before the first login. It blocks.
func (d *Delivery) NewRepair(t Off, noticed func(*feed.Notices)) *Repair {
	r := &Repair{d: d, noticed: noticed, forgot: time.Now()}
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
		r.d.each(func(t Turn, l *TopicsOnLoop) { l.blocks.forgetAll(t) })
	}
	*r = Repair{d: r.d, noticed: r.noticed, forgot: r.forgot, feed: f}
	return nil
}

// Look reads what has been committed since the last call, and tells the loops about
// these conversations. If hints is set, hints from other nodes are expected to arrive:
// Look then tells the loops what the previous call found, and keeps what it finds for
// the next one. So the hints come first, and the log need not be read. All else that it
// finds is handled at once.
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
	r.last, r.found = r.found, found{}
	return err
}

// read reads what has been committed since the last call. After an error, r.found
// has what was read before.
func (r *Repair) read(t Off) error {
	r.found.index = make(map[int64]int)
	more := true
	for more && len(r.found.spans) < maxFound {
		var rows []feed.Row
		var err error
		if rows, more, err = r.feed.Next(t); err != nil {
			return err
		}
		for i := range rows {
			r.d.sessions.EndCommitted(rows[i].Ended)
			r.d.membersFound(rows[i].Members)
			r.noticed(&rows[i].Notices)
			for _, s := range rows[i].Spans {
				r.found.add(s)
			}
		}
	}
	if more {
		return nil
	}
	r.d.followed.Store(int64(time.Since(r.d.start)))
	if time.Since(r.forgot) >= forgetNotices {
		r.forgot = time.Now()
		r.d.sessions.ForgetNotices()
	}
	return nil
}

// membersFound applies changes of groups that other processes have committed, unless
// hints have come before.
func (d *Delivery) membersFound(members []feed.Member) {
	var changes []*bus.Members
	for _, m := range members {
		if d.sessions.Watchers(m.Group) == 0 && len(d.sessions.Sessions(m.User)) == 0 {
			continue
		}
		if m.Joined {
			changes = append(changes, Joined(m.Group, m.User, m.Name, m.Version, m.Last))
		} else {
			changes = append(changes, left(m.Group, m.User, m.Version))
		}
	}
	if len(changes) > 0 {
		d.each(func(t Turn, l *TopicsOnLoop) {
			for _, m := range changes {
				l.applyMembers(t, m, nil)
			}
		})
	}
}

// add adds a span, or replaces an earlier one of the same conversation.
func (f *found) add(s feed.Span) {
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
