package main

import (
	"fmt"
	"time"

	"chatd/client"
	"chatd/proto"
)

// handlers show what comes. The client calls them one at a time, in order.
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
		a.online.Store(true)
		if a.greet.Swap(false) {
			a.showWelcome()
		} else {
			a.scr.print("connected again")
		}
	case s.State == client.Disconnected && s.Final:
		if a.online.Swap(false) && s.Err != nil {
			a.fail("%s", told(s.Err))
		}
	case s.State == client.Disconnected:
		a.scr.fail("%s; trying again in %s", told(s.Err), s.Retry.Round(time.Millisecond))
	}
}

func (a *app) onMessage(m client.Message) {
	prefix := ""
	if m.Backlog {
		prefix = "unread: "
	}
	a.scr.print("%s%s", prefix, a.format(m))
	if a.scr.terminal {
		a.c.MarkRead(m.Conv, m.Seq) // somebody has it before their eyes
	}
}

// format is a message as the original shows it.
func (a *app) format(m client.Message) string {
	line := fmt.Sprintf("%s [%d]%s said: %s", stamp(m.Time), m.From, m.Name, m.Text)
	me, _ := a.c.Me()
	switch {
	case m.Conv.Group != 0:
		return fmt.Sprintf("group [%d]%s: %s", m.Conv.Group, a.called(m.Conv), line)
	case m.From == me: // written elsewhere, by oneself
		return fmt.Sprintf("to [%d]%s: %s", m.Conv.Peer, a.called(m.Conv), line)
	}
	return line
}

func stamp(t time.Time) string { return t.Local().Format(time.DateTime) }

func (a *app) onEvent(e client.Event) {
	where := ""
	if e.Conv.Group != 0 {
		where = " in " + a.called(e.Conv)
	}
	if e.Kind == "typing" {
		a.scr.print("[%d]%s is typing%s", e.From, e.Name, where)
		return
	}
	a.scr.print("[%d]%s: %s%s %s", e.From, e.Name, e.Kind, where, e.Data)
}

func (a *app) onRead(r client.Read) {
	if me, _ := a.c.Me(); r.User != me {
		a.scr.print("[%d]%s has read up to #%d", r.User, a.called(client.User(r.User)), r.Seq)
	}
}

func (a *app) onPresence(p client.Presence) {
	state := proto.Offline
	if p.Online {
		state = proto.Online
	}
	a.scr.print("[%d]%s is %s now", p.User, a.called(client.User(p.User)), state)
}

func (a *app) onChange(ch client.Change) {
	me, _ := a.c.Me()
	group := fmt.Sprintf("[%d]%s", ch.Group, a.called(client.Group(ch.Group)))
	switch ch.Kind {
	case client.FriendAdded:
		a.scr.print("[%d]%s is your friend now", ch.User, ch.Name)
	case client.FriendRemoved:
		a.scr.print("[%d] is no longer your friend", ch.User)
	case client.MemberJoined:
		a.scr.print("[%d]%s has joined group %s", ch.User, ch.Name, group)
	case client.MemberLeft:
		if ch.User == me {
			a.scr.print("you are no longer in group %s", group)
		} else {
			a.scr.print("[%d] has left group %s", ch.User, group)
		}
	case client.GroupDismissed:
		a.scr.print("group %s was dismissed", group)
	case client.UserBlocked:
		a.scr.print("[%d] is blocked now", ch.User)
	case client.UserUnblocked:
		a.scr.print("[%d] is no longer blocked", ch.User)
	}
}

// showWelcome shows what the original shows at a login.
func (a *app) showWelcome() {
	id, name := a.c.Me()
	a.scr.print("======================login user======================")
	a.scr.print("current login user => id:%d name:%s", id, name)
	a.scr.print("----------------------friend list---------------------")
	a.showFriends()
	a.scr.print("----------------------group list----------------------")
	a.showGroups()
	a.scr.print("======================================================")
}

func (a *app) showFriends() {
	for _, f := range a.c.Friends() {
		a.scr.print("%d %s %s", f.ID, f.Name, f.State)
	}
}

func (a *app) showGroups() {
	for _, g := range a.c.Groups() {
		a.scr.print("%d %s %s", g.ID, g.GroupName, g.GroupDesc)
		for _, m := range g.Users {
			a.showMember(m)
		}
		if g.Users == nil {
			a.scr.print("  %d members", g.Count)
		}
	}
}

func (a *app) showMember(m proto.Member) {
	a.scr.print("  %d %s %s %s", m.ID, m.Name, m.State, m.Role)
}
