package tui

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"chatd/client"
	"chatd/client/chat/text"
	"chatd/proto"
)

const (
	// patience is how long a request waits for the server.
	patience = 30 * time.Second
	// typingEvery is how often one tells that one is typing, typingFor how
	// long another's word for it lasts.
	typingEvery = 3 * time.Second
	typingFor   = 6 * time.Second
	// listPages is how many pages of conversations are read.
	listPages = 5
)

// model is all there is. It belongs to Bubble Tea's goroutine.
type model struct {
	cfg   Config
	ctx   context.Context // ends with the program
	c     *client.Client
	box   *mailbox
	table []command
	now   func() time.Time

	w, h    int
	ruler   text.Ruler
	theme   theme
	focused bool // the terminal's window is in front
	ticking bool

	login    *form // nil: logged in
	register bool  // the form is for a new user
	passwd   *form // asks for passwords, over the messages

	state   client.State
	retryAt time.Time // of the next attempt to connect
	why     string    // there is no connection
	me      int64
	name    string

	convs    map[client.Conv]*conversation
	present  map[int64]bool // friends who are online
	friends  map[int64]bool
	members  map[client.Conv]int64  // of groups, how many
	about    map[client.Conv]string // their descriptions
	people   map[int64]string       // names of friends, and of members as far as they are listed
	roster   roster
	open     *conversation
	openings int64
	listView bool // one pane: the list is shown
	thread   thread
	built    builtFor
	stale    bool // the thread has to be built again

	input  editor
	recall recall
	menu   menu
	search *search
	sheet  *sheet
	ask    *question
	notice string
	isBad  bool
	local  int64     // the last number of a message sent from here
	toldAt time.Time // when one's typing was told last

	loggingOut bool
	ending     bool // one has asked to end
}

// builtFor is what the thread was built for.
type builtFor struct {
	conv *conversation
	w    int
}

// question waits for y.
type question struct {
	words string
	yes   func() tea.Cmd
}

func newModel(ctx context.Context, cfg Config, c *client.Client, box *mailbox) *model {
	m := &model{
		cfg: cfg, ctx: ctx, c: c, box: box, table: commands(), now: time.Now,
		w: 80, h: 24, theme: newTheme(true), focused: true, listView: true, stale: true,
		convs: make(map[client.Conv]*conversation), present: make(map[int64]bool),
		friends: make(map[int64]bool), members: make(map[client.Conv]int64), about: make(map[client.Conv]string),
		people: make(map[int64]string),
	}
	m.input = editor{lines: true, most: proto.MaxMsg}
	m.askLogin(false, "")
	return m
}

// Init logs in with what the command line gave.
func (m *model) Init() tea.Cmd {
	var login tea.Cmd
	switch {
	case m.cfg.Register && m.cfg.Password != "":
		m.register = true
		login = m.signIn(m.cfg.Name, m.cfg.Password)
	case m.saved(m.cfg.Name):
		_, name := m.c.Me()
		m.login.note, m.login.busy = "logging in as "+name+" …", true
		login = m.resume()
	case m.cfg.Name != "" && m.cfg.Password != "":
		login = m.signIn(m.cfg.Name, m.cfg.Password)
	case m.cfg.Register:
		m.askLogin(true, "")
	}
	return tea.Batch(tea.RequestBackgroundColor, login)
}

func (m *model) online() bool { return m.state == client.LoggedIn }

// conv is a conversation; it is made where it isn't known.
func (m *model) conv(id client.Conv) *conversation {
	c := m.convs[id]
	if c == nil {
		c = &conversation{id: id, first: 1, typing: make(map[int64]typist)}
		m.convs[id] = c
	}
	return c
}

// refresh takes over friends and groups.
func (m *model) refresh() {
	clear(m.friends)
	clear(m.present)
	for _, f := range m.c.Friends() {
		m.friends[f.ID] = true
		m.present[f.ID] = f.State == proto.Online
		m.conv(client.User(f.ID)).name = f.Name
		m.people[f.ID] = f.Name
	}
	clear(m.about)
	clear(m.members)
	groups := make(map[client.Conv]bool)
	for _, g := range m.c.Groups() {
		c := m.conv(client.Group(g.ID))
		if g.GroupName != "" {
			c.name = g.GroupName
		}
		c.gone = false
		groups[c.id] = true
		m.about[c.id], m.members[c.id] = g.GroupDesc, g.Count
		if g.Users != nil {
			m.members[c.id] = int64(len(g.Users))
			for _, u := range g.Users {
				m.people[u.ID] = u.Name
			}
		}
	}
	for id, c := range m.convs {
		switch {
		case id.Group != 0 && !groups[id]:
			c.gone = true
			if c != m.open && c.waiting() == 0 {
				delete(m.convs, id)
			}
		case id.Peer != 0 && !m.friends[id.Peer] && c.last == 0 && len(c.entries) == 0 && c != m.open:
			delete(m.convs, id) // no friend any more, and nothing was said
		}
	}
	m.roster.order(m.convs)
}

// show opens a conversation.
func (m *model) show(c *conversation) tea.Cmd {
	m.sheet, m.passwd, m.ask = nil, nil, nil
	m.endSearch()
	m.listView = false
	m.roster.cursor = c.id
	if m.open == c {
		m.seen()
		return m.load(wayLast)
	}
	m.leave()
	m.openings++
	m.open, c.opened = c, m.openings
	m.input.set(c.draft)
	m.notice = ""
	m.recall.at = len(m.recall.lines)
	m.stale = true
	if c.unread() > 0 {
		c.fresh = max(c.read, c.first-1)
	}
	m.seen()
	m.complete()
	m.forgetOldest()
	if c.loaded && !c.behind {
		return nil
	}
	return m.load(wayLast)
}

// leave puts the open conversation aside.
func (m *model) leave() {
	if m.open == nil {
		return
	}
	m.open.draft = m.input.value()
	m.input.set("")
	m.open.rest()
	if m.open.fresh != 0 {
		m.open.fresh = 0
	}
	m.open, m.stale = nil, true
}

// forgetOldest keeps the messages of the conversations that were opened last.
func (m *model) forgetOldest() {
	var full []*conversation
	for _, c := range m.convs {
		if c.loaded && c != m.open {
			full = append(full, c)
		}
	}
	if len(full) <= restConvs {
		return
	}
	slices.SortFunc(full, func(a, b *conversation) int { return int(b.opened - a.opened) })
	for _, c := range full[restConvs:] {
		c.empty()
	}
}

// seen marks the open conversation as read, where its end is in sight.
func (m *model) seen() {
	c := m.open
	if c == nil || m.login != nil || !m.focused || m.listView && m.narrow() || !c.loaded || c.scroll.up > 0 || c.behind || c.last <= c.read {
		return
	}
	c.read = c.last
	m.c.MarkRead(c.id, c.last)
}

// load asks the server for a page of the open conversation.
func (m *model) load(w way) tea.Cmd {
	c := m.open
	if c == nil || c.loading || !m.online() || c.gone {
		return nil
	}
	low, high := c.bounds()
	before := int64(0)
	switch w {
	case wayOlder:
		if c.begins || low <= c.first || !c.loaded {
			return nil
		}
		before = low
	case wayNewer:
		if !c.behind {
			return nil
		}
		before = high + pageSize + 1
	}
	c.loading = true
	id := c.id
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(m.ctx, patience)
		defer cancel()
		p, err := m.c.History(ctx, id, before, pageSize)
		return page{conv: id, way: w, p: p, err: err}
	}
}

// listed is what the server says of all conversations.
type listed struct {
	list []proto.Conversation
	err  error
}

func (m *model) list() tea.Cmd {
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(m.ctx, patience)
		defer cancel()
		var all []proto.Conversation
		for before, more := int64(0), true; more && len(all) < listPages*proto.MaxConversations; {
			some, again, err := m.c.Conversations(ctx, before, proto.MaxConversations)
			if err != nil {
				return listed{all, err}
			}
			all = append(all, some...)
			if more = again && len(some) > 0; more {
				before = some[len(some)-1].Time
			}
		}
		return listed{all, nil}
	}
}

func (m *model) onListed(l listed) {
	for _, v := range l.list {
		id := client.User(v.Peer)
		if v.GroupID != 0 {
			id = client.Group(v.GroupID)
		}
		if v.GroupID != 0 && m.convs[id] == nil {
			continue // left meanwhile
		}
		c := m.conv(id)
		if v.Name != "" {
			c.name = v.Name
		}
		c.first, c.read = max(c.first, v.First), max(c.read, v.Read)
		body := ""
		if v.Message != nil {
			body = v.Message.Msg
			if v.Message.ID == m.me {
				c.read = max(c.read, v.Message.Seq)
			}
		}
		c.said(v.Last, time.UnixMilli(v.Time), body)
	}
	m.seen()
	m.roster.order(m.convs)
	if l.err != nil {
		m.fail(told(l.err))
	}
}

func (m *model) say(s string)  { m.notice, m.isBad = s, false }
func (m *model) fail(s string) { m.notice, m.isBad = s, true }

// told is an error as a user is told of it.
func told(err error) string {
	var refused *proto.Error
	switch {
	case errors.Is(err, client.ErrReplaced):
		return "logged in elsewhere as the same device; --device NAME keeps two apart"
	case errors.As(err, &refused):
		return refused.Message
	case errors.Is(err, context.DeadlineExceeded):
		return "the server does not answer"
	}
	s := strings.TrimPrefix(err.Error(), "client: ")
	if i := strings.LastIndex(s, ": "); errors.Is(err, client.ErrNotConnected) && i >= 0 {
		s = "no connection: " + s[i+2:]
	}
	return s
}

// waiting is how many messages have yet to be acknowledged, in all.
func (m *model) waiting() (n int) {
	for _, c := range m.convs {
		n += c.waiting()
	}
	return n
}
