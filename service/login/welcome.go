package login

import (
	"errors"
	"slices"

	"chatd/model"
	"chatd/proto"
	"chatd/service/limits"
	"chatd/service/session"
)

const (
	loginOverhead = 4 << 10 // upper bound for the size of a LOGIN_ACK without its lists, in bytes
	maxListUsers  = 1000    // most members of all groups in one LOGIN_ACK
)

// welcome has the contents of a LOGIN_ACK.
type welcome struct {
	memberships []model.Membership
	sent        []int64 // for each membership, the last seq that the device has after offline
	friends     []proto.Friend
	groups      []proto.Group
	offline     []proto.Chat
}

// errEnded is returned by announce if the session has ended, or was replaced by a
// login that is about to end it. The request gets no answer.
var errEnded = errors.New("the session has ended")

func (w *welcome) hasGroups() bool {
	return slices.ContainsFunc(w.memberships, func(p model.Membership) bool { return p.Group != 0 })
}

// announce announces a session to the other nodes, and waits until this node gets
// their hints about the user. It blocks. Errors: errEnded.
func (l *Logins) announce(t Off, ss *session.Session) error {
	if !l.Courier.Await(t) {
		l.Presence.CheckFriends(ss.User) // hints about them may be missed until the subscription is active
	}
	if !l.Sessions.Has(ss) {
		return errEnded // an announcement could end the session that has replaced it
	}
	l.Sessions.Announce(ss)
	l.Presence.Await(t) // after the announcement, which must not wait
	return nil
}

// readMemberships reads the memberships for a LOGIN_ACK. It runs after the session was
// registered, so that changes after the read are recorded for the session. It returns
// errWrongToken or errReplaced if the session has ended before that.
func (l *Logins) readMemberships(t Off, ss *session.Session, w *welcome) error {
	token, memberships, err := l.Store.TokenMemberships(t, ss.TokenHash(), ss.User)
	switch w.memberships = memberships; {
	case errors.Is(err, model.ErrNotFound):
		return errWrongToken
	case err == nil && token.Session > ss.Number:
		return errReplaced
	}
	return err
}

// recheck reads the memberships again if one of the groups in check has changed since:
// its topic may have missed that.
func (l *Logins) recheck(t Off, ss *session.Session, check []int64, w *welcome) error {
	if len(check) == 0 {
		return nil
	}
	l.Courier.Await(t) // for the subscriptions of new topics; repair finds what is missed if they aren't active
	heads, err := l.Store.LogHeads(t, check)
	if err != nil {
		return err
	}
	now := make(map[int64]*model.LogHead, len(heads))
	for i := range heads {
		now[heads[i].Conv] = &heads[i]
	}
	for i := range w.memberships {
		p := &w.memberships[i]
		if h := now[p.Conv]; h != nil && (h.Version != p.Version || h.Last != p.Last) {
			return l.readMemberships(t, ss, w)
		}
	}
	return nil
}

// complete reads the contents of a LOGIN_ACK other than the memberships.
func (l *Logins) complete(t Off, ss *session.Session, brief bool, w *welcome) (err error) {
	room := proto.MaxResponse - loginOverhead
	if !brief {
		if w.friends, err = l.People.List(t, ss); err != nil {
			return err
		}
		if w.groups, err = l.Groups.List(t, ss.User, w.memberships, maxListUsers); err != nil {
			return err
		}
		size, whole := w.shorten(room)
		if !whole {
			l.Sessions.Limited.Reached(limits.FullLogin, 1)
		}
		room -= size
	} else {
		l.Presence.Learn(ss.User)
	}
	w.offline, w.sent = l.Messages.Missed(t, ss.User, w.memberships, min(room, proto.MaxOfflineBytes))
	return nil
}

// arrive sends LOGIN_ACK and makes the session live.
func (l *Logins) arrive(t Turn, ss *session.Session, w *welcome, a proto.Response) {
	a.Node, a.Window, a.Epoch, a.Features = l.Node, int64(l.Sessions.Window), l.Epoch, l.features
	a.Friends, a.Groups, a.Offline = w.friends, w.groups, w.offline
	for i := range w.memberships {
		a.More = a.More || w.sent[i] < w.memberships[i].Last
	}
	l.Delivery.On(t).Arrive(t, ss, w.memberships, w.sent, &a)
}
