package delivery

import (
	"errors"
	"math/bits"

	"chatd/model"
)

const farFuture = 1 << 40 // seconds

// Repair finds what this node's sessions were not told of, whatever the reason,
// by asking the store which conversations have grown. One goroutine uses it.
type Repair struct {
	d     *Delivery
	since int64           // the database's time of the last look, seconds; -1: none yet
	known map[int64]int64 // by group, the version of the membership that loops follow
}

// NewRepair starts with what grows from now on: sessions that began before have
// read the log as they began.
func (d *Delivery) NewRepair() *Repair { return &Repair{d: d, since: -1, known: make(map[int64]int64)} }

// Look raises the topics of all conversations that have grown since the last
// look. It blocks on the store. Errors are the store's.
func (r *Repair) Look(t Off) error {
	since := r.since - sweepOverlap
	if r.since < 0 {
		since = farFuture // only to learn the time
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
				clear(r.known) // rare, and cheaper than keeping an order
			}
			r.known[h.Group] = h.Version
		}
	}
	r.since = now
	return nil
}

// raise brings the heads of conversations to the loops with sessions in them.
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
			_ = d.r.Post(i, func(t Turn) { d.topics[i].deliverAll(t, list) }) // stopped: nobody is left to tell
		}
	}
}

// enlist brings a group to loops with a member who joined on another node, if
// the notice of that was lost.
func (d *Delivery) enlist(t Off, h *model.LogHead) error {
	_, members, err := d.store.MemberIDs(t, h.Group)
	if err != nil && !errors.Is(err, model.ErrNotFound) { // dismissed: everyone who had it was told
		return err
	}
	for _, m := range members {
		for loops := d.sessions.LoopsOf(m.User) &^ d.sessions.Watchers(h.Group); loops != 0; loops &= loops - 1 {
			i := bits.TrailingZeros64(loops)
			_ = d.r.Post(i, func(t Turn) { d.topics[i].enlist(t, h, m.User) }) // stopped: nobody is left to tell
		}
	}
	return nil
}

func (l *TopicsOnLoop) enlist(t Turn, h *model.LogHead, user int64) {
	if u := l.users[user]; l.topics[h.Group] == nil && u != nil {
		tp := l.newGroup(t, h.Group, h.Version, h.Last)
		l.add(t, tp, user, unknown)
		u.notify(t, Joined(h.Group, user, u.sessions[0].Name, 0, 0).Notice, nil)
		l.reload(t, tp, h.Version) // brings the others here, or ends it if the user has left
	}
}
