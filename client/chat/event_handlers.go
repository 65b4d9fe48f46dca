package main

import (
	"slices"
	"time"

	"chatd/client"
	"chatd/client/chat/text"
	"chatd/proto"
)

// handlers returns handlers that print events. The client calls them one at a
// time, in order.
func (a *app) handlers() client.Handlers {
	return client.Handlers{
		State:    a.onState,
		Message:  a.onMessage,
		Event:    a.onEvent,
		Read:     a.onRead,
		Presence: a.onPresence,
		Change:   a.onChange,
	}
}

func (a *app) onState(s client.StateChange) {
	switch {
	case s.State == client.LoggedIn:
		for _, f := range a.c.Friends() {
			a.names.Store(f.ID, f.Name)
		}
		for _, g := range a.c.Groups() {
			for _, m := range g.Users {
				a.names.Store(m.ID, m.Name)
			}
		}
		a.online.Store(true)
		if a.welcome.Swap(false) {
			clear(a.reads) // the user may be another one than before
			a.showWelcome()
		} else {
			a.con.print("reconnected")
		}
	case s.State == client.Disconnected && s.Final:
		if a.online.Swap(false) && s.Err != nil {
			a.fail("%s", errorText(s.Err))
		}
	case s.State == client.Disconnected:
		a.con.fail("%s; reconnecting in %s", errorText(s.Err), s.Retry.Round(time.Millisecond))
	}
}

func (a *app) onMessage(m client.Message) {
	a.names.Store(m.From, m.Name)
	prefix := text.Safe("")
	if m.Backlog {
		prefix = "unread: "
	}
	a.con.print("%s%s", prefix, a.format(m))
	if a.con.terminal {
		a.c.MarkRead(m.Conv, m.Seq) // it is on the screen now
	}
}

// format returns a message as a line, such as
//
//	2026-03-04 12:00:00 [2]bob said: hello
//
// with a group or the recipient in front if the message isn't from the peer.
func (a *app) format(m client.Message) text.Safe {
	line := text.Sprintf("%s [%d]%s said: %s", stamp(m.Time), m.From, text.Account(m.Name, m.Gone), m.Text)
	me, _ := a.c.Me()
	switch {
	case m.Conv.Group != 0:
		return text.Sprintf("group [%d]%s: %s", m.Conv.Group, a.convName(m.Conv), line)
	case m.From == me: // sent from another device of this user
		return text.Sprintf("to [%d]%s: %s", m.Conv.Peer, a.convName(m.Conv), line)
	}
	return line
}

func stamp(t time.Time) string { return t.Local().Format(time.DateTime) }

// typingEvery is how often line mode prints that a user is typing, at most. Clients
// send the event every few seconds, but may send hundreds per second.
const typingEvery = time.Second

// onEvent prints that a friend, or somebody in the open conversation, is typing.
// Anybody may send events, of any kind. Others would only fill the screen.
func (a *app) onEvent(e client.Event) {
	if e.Kind != "typing" || !a.expects(e) {
		return
	}
	now := a.now()
	if last, ok := a.typed[e.From]; ok && now.Sub(last) < typingEvery {
		return
	}
	a.typed[e.From] = now
	where := text.Safe("")
	if e.Conv.Group != 0 {
		where = text.Sprintf(" in %s", a.convName(e.Conv))
	}
	a.con.print("[%d]%s is typing%s", e.From, e.Name, where)
}

// expects reports whether an event is of the open conversation or of a friend.
func (a *app) expects(e client.Event) bool {
	if open := a.open.Load(); open != nil && *open == e.Conv {
		return true
	}
	return slices.ContainsFunc(a.c.Friends(), func(f proto.Friend) bool { return f.ID == e.From })
}

func (a *app) onRead(r client.Read) {
	if me, _ := a.c.Me(); r.User != me && r.Seq > a.reads[r.User] { // clients may repeat receipts
		a.reads[r.User] = r.Seq
		a.con.print("[%d]%s has read up to #%d", r.User, a.convName(client.User(r.User)), r.Seq)
	}
}

func (a *app) onPresence(p client.Presence) {
	state := proto.Offline
	if p.Online {
		state = proto.Online
	}
	a.con.print("[%d]%s is now %s", p.User, a.convName(client.User(p.User)), state)
}

func (a *app) onChange(ch client.Change) {
	me, _ := a.c.Me()
	group := text.Sprintf("[%d]%s", ch.Group, a.convName(client.Group(ch.Group)))
	switch ch.Kind {
	case client.FriendAdded:
		a.names.Store(ch.User, ch.Name)
		a.con.print("[%d]%s is now your friend", ch.User, ch.Name)
	case client.FriendRemoved:
		a.con.print("%s is no longer your friend", a.user(ch.User))
	case client.MemberJoined:
		a.names.Store(ch.User, ch.Name)
		a.con.print("[%d]%s joined group %s", ch.User, ch.Name, group)
	case client.MemberLeft:
		if ch.User == me {
			a.con.print("you are no longer a member of group %s", group)
		} else {
			a.con.print("%s left group %s", a.user(ch.User), group)
		}
	case client.GroupDismissed:
		a.con.print("group %s was deleted", group)
	case client.UserBlocked:
		a.con.print("%s is now blocked", a.user(ch.User))
	case client.UserUnblocked:
		a.con.print("%s is no longer blocked", a.user(ch.User))
	}
}

// user returns a user as "[ID]NAME", or "[ID]" if the name isn't known.
func (a *app) user(id int64) text.Safe {
	name := ""
	if v, ok := a.names.Load(id); ok {
		name = v.(string)
	}
	return text.Sprintf("[%d]%s", id, name)
}

// showWelcome prints the user, friends and groups after a login.
func (a *app) showWelcome() {
	id, name := a.c.Me()
	a.con.print("logged in: %d %s", id, name)
	a.con.print("friends:")
	a.showFriends()
	a.con.print("groups:")
	a.showGroups()
}

func (a *app) showFriends() {
	for _, f := range a.c.Friends() {
		a.con.print("%d %s %s", f.ID, f.Name, f.State)
	}
}

func (a *app) showGroups() {
	for _, g := range a.c.Groups() {
		a.con.print("%d %s %s", g.ID, g.GroupName, g.GroupDesc)
		for _, m := range g.Users {
			a.showMember(m)
		}
		if g.Users == nil {
			a.con.print("  %d members", g.Count)
		}
	}
}

func (a *app) showMember(m proto.Member) {
	a.con.print("  %d %s %s %s", m.ID, m.Name, m.State, m.Role)
}
