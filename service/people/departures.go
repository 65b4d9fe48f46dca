package people

import (
	"log/slog"

	"chatd/proto"
)

// Departures tells users on this node about accounts that were deleted: friends get
// DEL_FRIEND, and members of groups LEAVE_GROUP. An operator deletes accounts in
// another process, so each node reads from the store what it has to tell.
type Departures struct {
	p    *People
	log  *slog.Logger
	last int64 // the last departure that was handled
}

// NewDepartures returns a Departures for accounts that are deleted after the call:
// earlier ones aren't in the lists that users get at login. Call it before the first
// login. It blocks, and returns the store's errors.
func (p *People) NewDepartures(t Off, log *slog.Logger) (*Departures, error) {
	last, _, err := p.store.Departures(t, -1)
	if err != nil {
		return nil, err
	}
	return &Departures{p: p, log: log, last: last}, nil
}

// Look handles the departures since the last call. It blocks.
func (d *Departures) Look(t Off) {
	last, l, err := d.p.store.Departures(t, d.last)
	if err != nil {
		if t.Err() == nil {
			d.log.Error("reading deleted accounts failed; retrying", "err", err)
		}
		return
	}
	d.last = last
	for _, one := range l {
		if one.Left != nil {
			d.p.delivery.MemberGone(one.Left)
			continue
		}
		d.p.presence.UnfriendedHere(one.Friend, one.User)
		d.p.sessions.TellHere(one.Friend, proto.AppendResponse(nil, &proto.Response{Op: proto.DEL_FRIEND, ID: one.User}), nil)
	}
}
