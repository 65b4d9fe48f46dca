package tui

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"

	"chatd/client"
	"chatd/client/chat/text"
	"chatd/client/chat/widget"
	"chatd/proto"
)

const (
	requestTimeout = 30 * time.Second // of each request to the server
	typingInterval = 3 * time.Second  // minimum time between two typing events sent
	typingExpiry   = 6 * time.Second  // how long a received typing event is shown
	maxListPages   = 5                // pages of conversations loaded
)

// model is the state of the program. Only Bubble Tea's goroutine may use it,
// except for ctx, c and mailbox.
type model struct {
	cfg      Config
	ctx      context.Context // canceled when the program ends
	c        *client.Client
	mailbox  *mailbox
	commands []command
	now      func() time.Time

	w, h    int
	ruler   text.Ruler
	theme   widget.Theme
	focused bool // the terminal window has the focus, or doesn't report it
	ticking bool // a tickMsg is due

	loginForm    *widget.Form // nil when logged in
	registering  bool         // loginForm is for registering
	needsCode    bool         // the server wants an invitation code for that
	passwordForm *widget.Form // for changing the password; nil if not shown

	state         client.State
	retryAt       time.Time // time of the next attempt to connect
	offlineReason string    // why the connection was lost
	myID          int64
	myName        string

	conversations   map[client.Conv]*conversation
	presence        map[int64]bool         // whether a friend is online, by user ID
	friends         map[int64]bool         // by user ID
	memberCounts    map[client.Conv]int64  // of groups
	descriptions    map[client.Conv]string // of groups
	names           map[int64]string       // of friends and group members, by user ID
	convList        conversationList
	open            *conversation
	openCount       int64 // how many conversations were opened
	showList        bool  // in a narrow window: show the list, not the conversation
	transcript      transcript
	built           builtFor
	transcriptDirty bool // transcript must be rebuilt

	input         widget.Editor
	history       widget.InputHistory
	menu          completionMenu
	search        *search
	overlay       *widget.Overlay
	question      *question
	notice        string
	noticeIsError bool
	lastLocalID   int64     // message.localID of the last message sent
	typingSentAt  time.Time // when the last typing event was sent

	loggingOut bool
	quitting   bool // quit was called
}

// builtFor identifies what the transcript was built for.
type builtFor struct {
	conv *conversation
	w    int
}

// question is a yes/no question.
type question struct {
	text string
	yes  func() tea.Cmd
}

func newModel(ctx context.Context, cfg Config, c *client.Client, box *mailbox) *model {
	m := &model{
		cfg: cfg, ctx: ctx, c: c, mailbox: box, commands: commands(), now: time.Now,
		w: 80, h: 24, theme: widget.NewTheme(true), focused: true, showList: true, transcriptDirty: true,
		conversations: make(map[client.Conv]*conversation), presence: make(map[int64]bool),
		friends: make(map[int64]bool), memberCounts: make(map[client.Conv]int64), descriptions: make(map[client.Conv]string),
		names: make(map[int64]string),
	}
	m.input = widget.Editor{Multiline: true, MaxBytes: proto.MaxMsg}
	m.askLogin(false, "")
	return m
}

// Init logs in with the flags or the saved token.
func (m *model) Init() tea.Cmd {
	var login tea.Cmd
	switch {
	case m.cfg.Register && m.cfg.Password != "":
		m.registering = true
		login = m.signIn(m.cfg.Name, m.cfg.Password, m.cfg.Code)
	case m.hasSavedLogin(m.cfg.Name):
		_, name := m.c.Me()
		m.loginForm.Progress, m.loginForm.Busy = "Logging in as "+name+"…", true
		login = m.resume()
	case m.cfg.Name != "" && m.cfg.Password != "":
		login = m.signIn(m.cfg.Name, m.cfg.Password, "")
	case m.cfg.Register:
		m.askLogin(true, "")
	}
	return tea.Batch(tea.RequestBackgroundColor, login)
}

func (m *model) online() bool { return m.state == client.LoggedIn }

// conversation returns a conversation, creating it if necessary.
func (m *model) conversation(id client.Conv) *conversation {
	c := m.conversations[id]
	if c == nil {
		c = &conversation{id: id, first: 1, typing: make(map[int64]typist)}
		m.conversations[id] = c
	}
	return c
}

// refreshContacts copies friends and groups from the client. It removes groups
// that the user is no longer in, and conversations without messages whose peer
// is no friend. The open conversation stays.
func (m *model) refreshContacts() {
	clear(m.friends)
	clear(m.presence)
	for _, f := range m.c.Friends() {
		m.friends[f.ID] = true
		m.presence[f.ID] = f.State == proto.Online
		m.conversation(client.User(f.ID)).name = f.Name
		m.names[f.ID] = f.Name
	}
	clear(m.descriptions)
	clear(m.memberCounts)
	groups := make(map[client.Conv]bool)
	for _, g := range m.c.Groups() {
		c := m.conversation(client.Group(g.ID))
		if g.GroupName != "" {
			c.name = g.GroupName
		}
		c.notMember = false
		groups[c.id] = true
		m.descriptions[c.id], m.memberCounts[c.id] = g.GroupDesc, g.Count
		if g.Users != nil {
			m.memberCounts[c.id] = int64(len(g.Users))
			for _, u := range g.Users {
				m.names[u.ID] = u.Name
			}
		}
	}
	for id, c := range m.conversations {
		switch {
		case id.Group != 0 && !groups[id]:
			c.notMember = true
			if c != m.open && c.pendingCount() == 0 {
				delete(m.conversations, id)
			}
		case id.Peer != 0 && !m.friends[id.Peer] && c.last == 0 && len(c.messages) == 0 && c != m.open:
			delete(m.conversations, id)
		}
	}
	m.convList.update(m.conversations)
}

// openConversation opens c, and loads its newest messages if necessary.
func (m *model) openConversation(c *conversation) tea.Cmd {
	m.overlay, m.passwordForm, m.question = nil, nil, nil
	m.endSearch()
	m.showList = false
	m.convList.cursor = c.id
	if m.open == c {
		m.markSeen()
		return m.loadPage(pageLast)
	}
	m.closeConversation()
	m.openCount++
	m.open, c.openSeq = c, m.openCount
	m.input.Set(c.draft)
	m.notice = ""
	m.history.Rewind()
	m.transcriptDirty = true
	if c.unread() > 0 {
		c.unreadAfter = max(c.read, c.first-1)
	}
	m.markSeen()
	m.updateCompletions()
	m.evictOldest()
	if c.loaded && !c.newerDropped {
		return nil
	}
	return m.loadPage(pageLast)
}

// closeConversation closes the open conversation and keeps its draft.
func (m *model) closeConversation() {
	if m.open == nil {
		return
	}
	m.open.draft = m.input.Value()
	m.input.Set("")
	m.open.shrink()
	if m.open.unreadAfter != 0 {
		m.open.unreadAfter = 0
	}
	m.open, m.transcriptDirty = nil, true
}

// evictOldest drops the messages of all but the most recently opened
// conversations.
func (m *model) evictOldest() {
	var full []*conversation
	for _, c := range m.conversations {
		if c.loaded && c != m.open {
			full = append(full, c)
		}
	}
	if len(full) <= closedMaxConvs {
		return
	}
	slices.SortFunc(full, func(a, b *conversation) int { return int(b.openSeq - a.openSeq) })
	for _, c := range full[closedMaxConvs:] {
		c.dropStored()
	}
}

// markSeen marks the open conversation as read if its end is visible.
func (m *model) markSeen() {
	c := m.open
	if c == nil || m.loginForm != nil || !m.focused || m.showList && m.narrow() || !c.loaded || c.scroll.fromBottom > 0 || c.newerDropped || c.last <= c.read {
		return
	}
	c.read = c.last
	m.c.MarkRead(c.id, c.last)
}

// loadPage requests a page of the open conversation. It returns nil if there is
// nothing to load or a page is loading.
func (m *model) loadPage(w pageKind) tea.Cmd {
	c := m.open
	if c == nil || c.loading || !m.online() || c.notMember {
		return nil
	}
	low, high := c.seqRange()
	before := int64(0)
	switch w {
	case pageOlder:
		if c.hasFirst || low <= c.first || !c.loaded {
			return nil
		}
		before = low
	case pageNewer:
		if !c.newerDropped {
			return nil
		}
		before = high + pageSize + 1
	}
	c.loading = true
	id := c.id
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(m.ctx, requestTimeout)
		defer cancel()
		p, err := m.c.History(ctx, id, before, pageSize)
		return page{conv: id, kind: w, data: p, err: err}
	}
}

// conversationsLoaded is the result of loadConversations.
type conversationsLoaded struct {
	list []proto.Conversation
	err  error
}

func (m *model) loadConversations() tea.Cmd {
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(m.ctx, requestTimeout)
		defer cancel()
		var all []proto.Conversation
		for before, more := int64(0), true; more && len(all) < maxListPages*proto.MaxConversations; {
			some, again, err := m.c.Conversations(ctx, before, proto.MaxConversations)
			if err != nil {
				return conversationsLoaded{all, err}
			}
			all = append(all, some...)
			if more = again && len(some) > 0; more {
				before = some[len(some)-1].Time
			}
		}
		return conversationsLoaded{all, nil}
	}
}

func (m *model) onConversations(l conversationsLoaded) {
	for _, v := range l.list {
		id := client.User(v.Peer)
		if v.GroupID != 0 {
			id = client.Group(v.GroupID)
		}
		if v.GroupID != 0 && m.conversations[id] == nil {
			continue // the user has left it in the meantime
		}
		c := m.conversation(id)
		if v.Name != "" {
			c.name = v.Name
		}
		c.gone = v.Gone
		c.first, c.read = max(c.first, v.First), max(c.read, v.Read)
		body := ""
		if v.Message != nil {
			body = v.Message.Msg
			if v.Message.ID == m.myID {
				c.read = max(c.read, v.Message.Seq)
			}
		}
		c.updateLast(v.Last, time.UnixMilli(v.Time), body)
	}
	m.markSeen()
	m.convList.update(m.conversations)
	if l.err != nil {
		m.notifyError(errorText(l.err))
	}
}

func (m *model) notify(s string)      { m.notice, m.noticeIsError = s, false }
func (m *model) notifyError(s string) { m.notice, m.noticeIsError = s, true }

// notConnected begins the errorText of a client.ErrNotConnected.
const notConnected = "No connection: "

// errorText returns an error's text for the user, with a capital letter.
func errorText(err error) string {
	var refused *proto.Error
	var kick *client.KickError
	switch {
	case errors.Is(err, client.ErrReplaced):
		return "Logged in elsewhere with the same device name. To stay logged in on both, start one of them with a different --device NAME"
	case errors.As(err, &refused):
		return capitalize(refused.Message)
	case errors.As(err, &kick):
		return capitalize(kick.Message)
	case errors.Is(err, context.DeadlineExceeded):
		return "The server isn't responding"
	case errors.Is(err, client.ErrOutboxFull):
		return "Too many unsent messages. Wait until some are sent"
	case errors.Is(err, client.ErrBusy):
		return "Too many requests at once. Try again"
	}
	s := strings.TrimPrefix(err.Error(), "client: ")
	if errors.Is(err, client.ErrNotConnected) {
		if i := strings.LastIndex(s, ": "); i >= 0 {
			return notConnected + s[i+2:]
		}
		return "No connection to the server. Try again later"
	}
	return capitalize(s)
}

// capitalize makes the first letter of s a capital.
func capitalize(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[n:]
}

// pendingCount returns the number of unacknowledged messages in all
// conversations.
func (m *model) pendingCount() (n int) {
	for _, c := range m.conversations {
		n += c.pendingCount()
	}
	return n
}
