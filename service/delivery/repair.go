package delivery

import (
	"errors"
	"math/bits"

	"chatd/model"
)

const farFuture = 1 << 40 // seconds

// Repair finds messages and membership changes that this node has missed. It
// asks the store which conversations have changed. It isn't safe for concurrent
// use.
type Repair struct {
	d     *Delivery
	since int64           // time of the last sweep by the database's clock, in seconds; -1: none yet
	known map[int64]int64 // by group, the membership version in the last sweep
}

// NewRepair returns a Repair that finds changes after its first Look. Earlier
// ones don't matter: sessions read the log when they start.
func (d *Delivery) NewRepair() *Repair { return &Repair{d: d, since: -1, known: make(map[int64]int64)} }

// Look does one sweep: it tells the loops about all conversations that have
// changed since the last one. It blocks, and returns the store's errors.
func (r *Repair) Look(t Off) error {
	since := r.since - sweepOverlap
	if r.since < 0 {
		since = farFuture // finds no conversations, but returns the time
	}
	now, heads, err := r.d.store.ChangedSince(t, since)
	if err != nil {
		return err
	}
	r.d.raise(heads)
	for i := range heads {
		if h := &heads[i]; h.Group != 0 && r.known[h.Group] != h.Version {
			if err := r.d.enlist(t, h); err != nil {
				return err
			}
			if len(r.known) >= maxKnown {
				clear(r.known) // rare, and cheaper than an LRU list
			}
			r.known[h.Group] = h.Version
		}
	}
	r.since = now
	return nil
}

// raise tells the loops with sessions in these conversations how many messages
// they have.
func (d *Delivery) raise(heads []model.LogHead) {
	perLoop := make([][]update, len(d.topics))
	for i := range heads {
		h := &heads[i]
		p := pair{h.Lo, h.Hi}
		for loops := d.loopsOf(h.Group, p); loops != 0; loops &= loops - 1 {
			i := bits.TrailingZeros64(loops)
			perLoop[i] = append(perLoop[i], update{conv: h.Conv, group: h.Group, pair: p, version: h.Version, seq: h.Last})
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
func (d *Delivery) enlist(t Off, h *model.LogHead) error {
	_, members, err := d.store.MemberIDs(t, h.Group)
	if err != nil && !errors.Is(err, model.ErrNotFound) { // ErrNotFound: the group was dismissed, which raise handles
		return err
	}
	for _, m := range members {
		for loops := d.sessions.LoopsOf(m.User) &^ d.sessions.Watchers(h.Group); loops != 0; loops &= loops - 1 {
			i := bits.TrailingZeros64(loops)
			_ = d.r.Post(i, func(t Turn) { d.topics[i].enlist(t, h, m.User) }) // an error means that the reactor has stopped
		}
	}
	return nil
}

func (l *TopicsOnLoop) enlist(t Turn, h *model.LogHead, user int64) {
	if u := l.users[user]; l.topics[h.Group] == nil && u != nil {
		tp := l.newGroup(t, h.Group, h.Version, h.Last)
		l.add(t, tp, user, unknown)
		u.notify(t, Joined(h.Group, user, u.sessions[0].Name, 0, 0).Notice, nil)
		l.reload(t, tp, h.Version) // adds the other members on this loop, or removes this one if they have left
	}
}
