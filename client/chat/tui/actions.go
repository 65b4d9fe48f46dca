package tui

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	tea "charm.land/bubbletea/v2"

	"chatd/client"
	"chatd/proto"
)

// done is the end of a request to the server.
type done struct {
	err  error
	say  string
	then func(m *model) tea.Cmd
}

// request runs f beside the model.
func (m *model) request(f func(ctx context.Context) done) tea.Cmd {
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(m.ctx, patience)
		defer cancel()
		return f(ctx)
	}
}

func (m *model) onDone(d done) tea.Cmd {
	if d.err != nil {
		if m.ctx.Err() == nil {
			m.fail(told(d.err))
		}
		return nil
	}
	if m.login == nil {
		m.refresh()
	}
	if d.say != "" {
		m.say(d.say)
	}
	if d.then != nil {
		return d.then(m)
	}
	return nil
}

// send hands a message to the client, which keeps it until there is a
// connection.
func (m *model) send(c *conversation, s string) error {
	if c.gone {
		return errors.New("you are no longer in this group")
	}
	m.local++
	id, local := c.id, m.local
	err := m.c.SendAsync(id, s, func(r client.Receipt, err error) { m.box.putNow(settled{id, local, r, err}) })
	if err != nil {
		return err
	}
	c.send(local, m.me, m.name, s, m.now())
	m.changed(c)
	m.roster.order(m.convs)
	return nil
}

// findUser finds the user that an id, or the name of a friend or of anybody,
// means. It blocks, and may be called beside the model.
func findUser(ctx context.Context, c *client.Client, s string) (proto.Friend, error) {
	id, err := strconv.ParseInt(s, 10, 64)
	for _, f := range c.Friends() {
		if err == nil && f.ID == id || err != nil && f.Name == s {
			return f, nil
		}
	}
	f, err := c.FindUser(ctx, s)
	if refused := new(proto.Error); errors.As(err, &refused) && refused.Errno == proto.NotFound {
		err = fmt.Errorf("no user is called %q", s)
	}
	return f, err
}

// group finds the group that an id, g and an id, or the name of one of the
// user's groups means.
func (m *model) group(s string) (proto.Group, error) {
	id, err := strconv.ParseInt(strings.TrimPrefix(s, "g"), 10, 64)
	var found []proto.Group
	for _, g := range m.c.Groups() {
		if err == nil && g.ID == id || g.GroupName == s {
			found = append(found, g)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return proto.Group{}, fmt.Errorf("%d groups are called %q: say g and the id", len(found), s)
	}
	return proto.Group{}, fmt.Errorf("you are in no group that is called %q", s)
}

// groupArg is the group of an argument, or the open one.
func (m *model) groupArg(args []string, i int) (proto.Group, error) {
	if i < len(args) && args[i] != "" {
		return m.group(args[i])
	}
	if m.open != nil && m.open.id.Group != 0 {
		return m.group("g" + strconv.FormatInt(m.open.id.Group, 10))
	}
	return proto.Group{}, errors.New("say which group")
}

// withUser runs f for the user of the first argument, or of the open
// conversation.
func (m *model) withUser(args []string, f func(ctx context.Context, u proto.Friend) done) tea.Cmd {
	var who string
	switch {
	case len(args) > 0:
		who = args[0]
	case m.open != nil && m.open.id.Peer != 0:
		who = strconv.FormatInt(m.open.id.Peer, 10)
	default:
		m.fail("say who")
		return nil
	}
	return m.request(func(ctx context.Context) done {
		u, err := findUser(ctx, m.c, who)
		if err != nil {
			return done{err: err}
		}
		return f(ctx, u)
	})
}

// withGroup runs f for a group.
func (m *model) withGroup(args []string, i int, f func(ctx context.Context, g proto.Group) done) tea.Cmd {
	g, err := m.groupArg(args, i)
	if err != nil {
		m.fail(err.Error())
		return nil
	}
	return m.request(func(ctx context.Context) done { return f(ctx, g) })
}

// talk opens a conversation, or says something in it.
func (m *model) talk(id client.Conv, name string, args []string) tea.Cmd {
	c := m.conv(id)
	if c.name == "" {
		c.name = name
	}
	m.roster.order(m.convs)
	if len(args) < 2 || args[1] == "" {
		return m.show(c)
	}
	if err := m.send(c, args[1]); err != nil {
		m.fail(told(err))
	} else if c != m.open {
		m.say("said to " + m.title(c))
	}
	return nil
}

func (m *model) cmdChat(args []string) tea.Cmd {
	// A conversation that is in the list is found there, be there a connection
	// or not.
	var found []*conversation
	for _, c := range m.roster.list {
		if c.name == args[0] || args[0] == "g"+strconv.FormatInt(c.id.Group, 10) {
			found = append(found, c)
		}
	}
	if len(found) == 1 {
		return m.talk(found[0].id, "", args)
	}
	if g, err := m.group(args[0]); err == nil && len(found) == 0 && strings.HasPrefix(args[0], "g") {
		return m.talk(client.Group(g.ID), g.GroupName, args)
	}
	return m.withUser(args, func(_ context.Context, u proto.Friend) done {
		return done{then: func(m *model) tea.Cmd { return m.talk(client.User(u.ID), u.Name, args) }}
	})
}

func (m *model) cmdGroupChat(args []string) tea.Cmd {
	g, err := m.group(args[0])
	if err != nil {
		m.fail(err.Error())
		return nil
	}
	return m.talk(client.Group(g.ID), g.GroupName, args)
}

func (m *model) cmdNotes([]string) tea.Cmd { return m.talk(client.User(m.me), m.name, nil) }

func (m *model) cmdAddFriend(args []string) tea.Cmd {
	return m.withUser(args, func(ctx context.Context, u proto.Friend) done {
		f, err := m.c.AddFriend(ctx, u.ID)
		return done{err: err, say: f.Name + " is your friend now"}
	})
}

func (m *model) cmdDelFriend(args []string) tea.Cmd {
	return m.withUser(args, func(ctx context.Context, u proto.Friend) done {
		return done{err: m.c.DelFriend(ctx, u.ID), say: u.Name + " is no longer your friend"}
	})
}

func (m *model) cmdBlock(args []string) tea.Cmd { return m.setBlock(args, true, " is blocked now") }
func (m *model) cmdUnblock(args []string) tea.Cmd {
	return m.setBlock(args, false, " is no longer blocked")
}

func (m *model) setBlock(args []string, on bool, say string) tea.Cmd {
	return m.withUser(args, func(ctx context.Context, u proto.Friend) done {
		return done{err: m.c.Block(ctx, u.ID, on), say: u.Name + say}
	})
}

func (m *model) cmdFind(args []string) tea.Cmd {
	return m.withUser(args, func(_ context.Context, u proto.Friend) done {
		return done{say: fmt.Sprintf("%s has the id %d; /addfriend %s, /chat %s", u.Name, u.ID, quote(u.Name), quote(u.Name))}
	})
}

func (m *model) cmdCreateGroup(args []string) tea.Cmd {
	desc := ""
	if len(args) > 1 {
		desc = args[1]
	}
	return m.request(func(ctx context.Context) done {
		id, err := m.c.CreateGroup(ctx, args[0], desc)
		if err != nil {
			return done{err: err}
		}
		return done{say: fmt.Sprintf("others join with /addgroup %d", id),
			then: func(m *model) tea.Cmd { return m.begin(id) }}
	})
}

func (m *model) cmdAddGroup(args []string) tea.Cmd {
	id, err := strconv.ParseInt(strings.TrimPrefix(args[0], "g"), 10, 64)
	if err != nil {
		m.fail("a group is joined by its id, which its members know")
		return nil
	}
	return m.request(func(ctx context.Context) done {
		_, err := m.c.JoinGroup(ctx, id)
		return done{err: err, then: func(m *model) tea.Cmd { return m.begin(id) }}
	})
}

// begin opens a group that is new.
func (m *model) begin(id int64) tea.Cmd {
	for _, g := range m.c.Groups() {
		if g.ID == id {
			c := m.conv(client.Group(id))
			c.first, c.last, c.read = g.Seq+1, max(c.last, g.Seq), max(c.read, g.Seq)
			if c.latest.IsZero() {
				c.latest = m.now()
			}
			m.roster.order(m.convs)
			say := m.notice
			cmd := m.show(c)
			m.say(say)
			return cmd
		}
	}
	return nil
}

// sure asks before something that can't be undone.
func (m *model) sure(words string, yes func() tea.Cmd) tea.Cmd {
	m.ask = &question{words + " y/n", yes}
	return nil
}

func (m *model) cmdLeaveGroup(args []string) tea.Cmd {
	g, err := m.groupArg(args, 0)
	if err != nil {
		m.fail(err.Error())
		return nil
	}
	return m.sure("Leave "+g.GroupName+"?", func() tea.Cmd {
		return m.request(func(ctx context.Context) done {
			return done{err: m.c.LeaveGroup(ctx, g.ID), say: "you have left " + g.GroupName, then: closing(g.ID)}
		})
	})
}

func (m *model) cmdDismissGroup(args []string) tea.Cmd {
	g, err := m.groupArg(args, 0)
	if err != nil {
		m.fail(err.Error())
		return nil
	}
	return m.sure("Dismiss "+g.GroupName+", for all of its members?", func() tea.Cmd {
		return m.request(func(ctx context.Context) done {
			return done{err: m.c.DismissGroup(ctx, g.ID), say: g.GroupName + " is dismissed", then: closing(g.ID)}
		})
	})
}

// closing closes a group that one is no longer in.
func closing(group int64) func(m *model) tea.Cmd {
	return func(m *model) tea.Cmd {
		if m.open != nil && m.open.id.Group == group {
			m.leave()
			m.listView = true
		}
		m.refresh()
		return nil
	}
}

func (m *model) cmdKickMember(args []string) tea.Cmd {
	return m.withGroup(args, 1, func(ctx context.Context, g proto.Group) done {
		i := slices.IndexFunc(g.Users, func(u proto.Member) bool { return u.Name == args[0] })
		var u proto.Friend
		if i >= 0 {
			u = proto.Friend{ID: g.Users[i].ID, Name: g.Users[i].Name}
		} else {
			var err error
			if u, err = findUser(ctx, m.c, args[0]); err != nil {
				return done{err: err}
			}
		}
		return done{err: m.c.KickMember(ctx, g.ID, u.ID), say: u.Name + " is no longer in " + g.GroupName}
	})
}

func (m *model) cmdMembers(args []string) tea.Cmd {
	return m.withGroup(args, 0, func(ctx context.Context, g proto.Group) done {
		s := &sheet{title: "Members of " + g.GroupName}
		for u, err := range m.c.GroupUsers(ctx, g.ID) {
			if err != nil {
				return done{err: err}
			}
			if len(s.lines) == maxSheet {
				s.add("…", "and more")
				break
			}
			rest := u.State + " · id " + strconv.FormatInt(u.ID, 10)
			if u.Role == proto.Creator {
				rest += " · creator"
			}
			s.add(u.Name, rest)
		}
		return done{then: laying(s)}
	})
}

func laying(s *sheet) func(m *model) tea.Cmd {
	return func(m *model) tea.Cmd {
		m.sheet = s
		return nil
	}
}

func (m *model) cmdFriends([]string) tea.Cmd {
	s := &sheet{title: "Friends"}
	for _, f := range m.c.Friends() {
		s.add(f.Name, f.State+" · id "+strconv.FormatInt(f.ID, 10))
	}
	if len(s.lines) == 0 {
		s.add("nobody yet", "/addfriend NAME")
	}
	m.sheet = s
	return nil
}

func (m *model) cmdGroups([]string) tea.Cmd {
	s := &sheet{title: "Groups"}
	for _, g := range m.c.Groups() {
		n := g.Count
		if g.Users != nil {
			n = int64(len(g.Users))
		}
		s.add(g.GroupName, fmt.Sprintf("%d members · id %d · %s", n, g.ID, g.GroupDesc))
	}
	if len(s.lines) == 0 {
		s.add("none yet", "/creategroup NAME, /addgroup ID")
	}
	m.sheet = s
	return nil
}

func (m *model) cmdConversations([]string) tea.Cmd {
	s := &sheet{title: "Conversations"}
	for _, c := range m.roster.list {
		if c.last == 0 {
			continue
		}
		s.add(m.title(c), fmt.Sprintf("%d messages, %d unread · %s · %s", c.last-c.first+1, c.unread(),
			c.latest.Local().Format("2006-01-02 15:04"), c.preview))
	}
	if len(s.lines) == 0 {
		s.add("nothing was said yet", "")
	}
	m.sheet = s
	return nil
}

func (m *model) cmdRead(args []string) tea.Cmd {
	c := m.open
	if len(args) > 0 {
		i := slices.IndexFunc(m.roster.list, func(c *conversation) bool { return c.name == args[0] })
		if i < 0 {
			m.fail("there is no conversation with " + args[0])
			return nil
		}
		c = m.roster.list[i]
	}
	if c == nil {
		m.fail("say which conversation")
		return nil
	}
	id, last := c.id, c.last
	c.read = last
	if c.loaded || last == 0 {
		m.c.MarkRead(id, last)
		return nil
	}
	// The client marks what it has seen.
	return m.request(func(ctx context.Context) done {
		if _, err := m.c.History(ctx, id, 0, 1); err != nil {
			return done{err: err}
		}
		m.c.MarkRead(id, last)
		return done{}
	})
}

func (m *model) cmdRetry([]string) tea.Cmd { return m.failedAgain(true) }

func (m *model) cmdDiscard([]string) tea.Cmd { return m.failedAgain(false) }

// failedAgain takes what could not be sent out of the open conversation, and
// sends it again.
func (m *model) failedAgain(again bool) tea.Cmd {
	if m.open == nil {
		m.fail("open a conversation first")
		return nil
	}
	var failed []*entry
	m.open.entries = slices.DeleteFunc(m.open.entries, func(e *entry) bool {
		if e.failed != "" {
			failed = append(failed, e)
			m.open.bytes -= len(e.text)
		}
		return e.failed != ""
	})
	m.changed(m.open)
	if len(failed) == 0 {
		m.say("nothing has failed here")
	}
	for _, e := range failed {
		if !again {
			continue
		}
		if err := m.send(m.open, e.text); err != nil {
			m.fail(told(err))
		}
	}
	return nil
}

func (m *model) cmdInfo([]string) tea.Cmd {
	s := &sheet{title: "Connection"}
	st := m.c.Stats()
	s.add("server", m.cfg.Server)
	s.add("state", m.state.String())
	s.add("user", fmt.Sprintf("%s, id %d", m.name, m.me))
	for _, v := range []struct {
		name string
		n    uint64
	}{{"sent", st.Sent}, {"acknowledged", st.Acked}, {"sent again", st.Repeated}, {"refused", st.Refused},
		{"received", st.Received}, {"known already", st.Duplicates}, {"holes asked for", st.Syncs},
		{"reconnects", st.Reconnects}, {"waits for the screen", m.box.full.Load()}} {
		s.add(v.name, strconv.FormatUint(v.n, 10))
	}
	m.sheet = s
	return nil
}

func (m *model) cmdHelp([]string) tea.Cmd {
	s := &sheet{title: "Help"}
	s.section("Keys")
	for _, k := range keysHelp() {
		s.add(k[0], k[1])
	}
	s.section("Commands")
	for i := range m.table {
		s.add(m.table[i].usage(), m.table[i].help)
	}
	s.section("Marks of one's own messages")
	s.add(markSend, "on its way")
	s.add(queued, "there is no connection: it is sent as soon as there is one")
	s.add(markStored, "stored")
	s.add(markStored+markStored, "read by the other one")
	s.add(markFailed, "not sent; /retry, /discard")
	m.sheet = s
	return nil
}

func (m *model) cmdLogOut([]string) tea.Cmd {
	out := func() tea.Cmd {
		m.loggingOut = true
		return m.request(func(ctx context.Context) done {
			err := m.c.Logout(ctx)
			return done{then: func(m *model) tea.Cmd {
				m.forgetAll()
				m.me = 0
				bad := ""
				if err != nil {
					bad = "logged out here, but the server could not be told: " + told(err)
				}
				m.askLogin(false, bad)
				return nil
			}}
		})
	}
	if m.waiting() > 0 {
		return m.sure("Messages are not sent yet, and would be dropped. Log out?", out)
	}
	return out()
}

func (m *model) cmdQuit([]string) tea.Cmd { return m.quit() }

func (m *model) cmdPasswd([]string) tea.Cmd {
	m.sheet = nil
	m.passwd = newForm(m.ruler, "Change the password", "Change it", "", "Old password", "New password", "New password again")
	m.passwd.under = "Other devices are logged out. Esc: leave it."
	return nil
}

func (m *model) passwdKey(k tea.KeyPressMsg) tea.Cmd { return m.passwdAction(m.passwd.key(k)) }

func (m *model) passwdAction(a formAction) tea.Cmd {
	f := m.passwd
	switch a {
	case formCancel:
		m.passwd = nil
	case formSubmit:
		old, fresh := f.value(0), f.value(1)
		switch {
		case old == "" || fresh == "":
			f.bad = "the password is missing"
		case f.value(2) != fresh:
			f.bad, f.focus = "the two new passwords are not the same", 2
		default:
			f.busy, f.bad = true, ""
			return m.request(func(ctx context.Context) done {
				err := m.c.ChangePassword(ctx, old, fresh)
				return done{then: func(m *model) tea.Cmd {
					if err != nil {
						f.busy, f.bad = false, told(err)
						return nil
					}
					m.passwd = nil
					m.say("the password is changed; other devices are logged out")
					return nil
				}}
			})
		}
	}
	return nil
}
