package trace

import (
	"context"
	"fmt"
	"time"

	"chatd/model"
)

// members adds the members of the conversation to t or, if the query names a
// user, only that user.
func (f *finder) members(ctx context.Context, t *Result, c model.TracedConversation, m *model.TracedMessage) error {
	if f.q.User != "" {
		u, err := f.user(ctx, f.q.User)
		if err != nil {
			return err
		}
		one, err := f.store.TraceUser(ctx, c.ID, u.ID)
		if err != nil {
			return err
		}
		f.add(t, c, m, &one)
		return nil
	}
	list, err := f.store.TraceMembers(ctx, c.ID, f.q.After, MaxMembers+1)
	if err != nil {
		return err
	}
	if len(list) > MaxMembers {
		list = list[:MaxMembers]
		t.Next = list[MaxMembers-1].User
	}
	listed := f.q.After > 0 || t.Next > 0
	for i := range list {
		f.add(t, c, m, &list[i])
		listed = listed || list[i].User == m.Sender
	}
	// Former members who are known: the sender in a group, and both users of a
	// pair.
	gone := []int64{}
	if !listed {
		gone = append(gone, m.Sender)
	}
	if !c.Group() {
		gone = gone[:0]
		for _, u := range []int64{c.Lo, c.Hi}[:1+min(1, c.Hi-c.Lo)] {
			if !contains(t.Members, u) {
				gone = append(gone, u)
			}
		}
	}
	for _, u := range gone {
		one, err := f.store.TraceUser(ctx, c.ID, u)
		if err != nil {
			return err
		}
		f.add(t, c, m, &one)
	}
	if c.Group() && !c.Gone && f.q.After == 0 {
		t.Notes = append(t.Notes, "former members aren't listed; use --user to see one")
	}
	return nil
}

func contains(l []*Member, user int64) bool {
	for _, m := range l {
		if m.ID == user {
			return true
		}
	}
	return false
}

// add adds a user and their devices to t.
func (f *finder) add(t *Result, c model.TracedConversation, m *model.TracedMessage, u *model.TracedMember) {
	tm := &Member{User: User{u.User, u.Name}, Sees: true, Read: u.Member && u.Read >= m.Seq}
	t.Members = append(t.Members, tm)
	other := c.Lo + c.Hi - u.User
	switch {
	case u.Deleted:
		tm.Sees, tm.Why = false, "deleted"
	case c.Gone:
		tm.Sees, tm.Why = false, "the group was dismissed: nobody can read its messages"
	case !u.Member && c.Group():
		tm.Sees, tm.Why = false, "not a member: has left, was removed, or never joined"
	case !u.Member:
		tm.Sees, tm.Why = false, "not one of the two users"
	case u.Joined >= m.Seq:
		tm.Sees, tm.Why = false, fmt.Sprintf("joined later, after seq %d: doesn't get the message", u.Joined)
	case u.Banned:
		tm.Why = "banned: can't log in"
	case len(u.Devices) == 0:
		tm.Why = "has never logged in"
	case !c.Group() && c.Blocked(u.User):
		tm.Why = fmt.Sprintf("has blocked user %d; messages that were stored before are still delivered", other)
	}
	if !tm.Sees && u.Member {
		return
	}
	for _, d := range u.Devices {
		td := &Device{Device: d.Device, Delivered: d.Delivered, Login: time.UnixMilli(d.Used).UTC(), token: d.Token}
		if tm.Sees || d.Delivered >= m.Seq { // a former member may have it
			tm.Devices = append(tm.Devices, td)
		}
	}
}

// setStateFromStore sets the state of a device to what the store knows.
func (f *finder) setStateFromStore(t *Result, m *Member, d *Device) {
	before := d.Login.Before(t.Message.Time)
	switch {
	case d.Delivered >= t.Message.Seq:
		d.State, d.Why = Has, "has it"
	case !d.token:
		d.State, d.Why = LoggedOut, "logged out; gets it after its next login"
	case before:
		d.State, d.Why = Unknown, "not used since the message; if it was online then, no delivery was recorded"
	default:
		d.State, d.Why = Unknown, "used since; no delivery recorded yet"
	}
	if m.ID == t.Message.Sender.ID && d.State == Unknown {
		d.Why += "; the sending device has the message anyway (which device that is isn't recorded)"
	}
}
