package service

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"chatd/model"
	"chatd/proto"
)

// MaxTraceMembers bounds the members of one answer to a TraceQuery; After asks
// for the next ones.
const MaxTraceMembers = 1000

// TraceQuery asks where one message is. A conversation is named by Group or by
// Pair, the message by Seq or by CID and Sender. Users are named by id or name;
// digits alone are an id.
type TraceQuery struct {
	Group  int64
	Pair   [2]string
	Seq    int64
	CID    string
	Sender string
	User   string // this user alone, a member or not; empty: the members
	After  int64  // members with a higher user id
}

// Validate says what is wrong with a question, before anything is asked.
func (q *TraceQuery) Validate() error {
	switch pair := q.Pair[0] != "" || q.Pair[1] != ""; {
	case pair && q.Group != 0, !pair && q.Group == 0:
		return errors.New("name one conversation: a group by its id, or a pair by its two users")
	case pair && (q.Pair[0] == "" || q.Pair[1] == ""):
		return errors.New("a pair has two users")
	case q.Group < 0:
		return fmt.Errorf("group %d: an id is positive", q.Group)
	case q.Seq < 0:
		return fmt.Errorf("seq %d: it counts from 1", q.Seq)
	case q.Seq != 0 && (q.CID != "" || q.Sender != ""), q.Seq == 0 && q.CID == "":
		return errors.New("name one message: by its seq, or by its cid and its sender")
	case q.CID != "" && q.Sender == "":
		return errors.New("a cid is its sender's own: name the sender")
	case q.After < 0:
		return fmt.Errorf("after %d: an id is positive", q.After)
	}
	return nil
}

// TraceStore is what a trace asks of the data: model.DB.
type TraceStore interface {
	UserByNameKey(ctx context.Context, key string) (model.User, error)
	TraceGroup(ctx context.Context, id int64) (model.TracedConversation, error)
	TracePair(ctx context.Context, a, b int64) (model.TracedConversation, error)
	TraceSeq(ctx context.Context, conv, seq int64) (model.TracedMessage, error)
	TraceCID(ctx context.Context, conv, sender int64, cid []byte) (model.TracedMessage, error)
	TraceMembers(ctx context.Context, conv, after int64, limit int) ([]model.TracedMember, error)
	TraceUser(ctx context.Context, conv, user int64) (model.TracedMember, error)
}

// Trace says where one message is. It never holds what was said.
type Trace struct {
	// Node is the node that has told what only it knows; empty: the store alone
	// was asked.
	Node         string         `json:"node,omitempty"`
	Asked        time.Time      `json:"asked"`
	Conversation TraceConv      `json:"conversation"`
	Stored       bool           `json:"stored"`
	Message      *TraceMessage  `json:"message,omitempty"` // where it is stored
	Missing      []string       `json:"missing,omitempty"` // where it isn't: what is known of that
	Published    string         `json:"published,omitempty"`
	Topic        *TraceTopic    `json:"topic,omitempty"` // with Node
	Members      []*TraceMember `json:"members,omitempty"`
	Next         int64          `json:"next,omitempty"` // there are more members: ask with After
	Notes        []string       `json:"notes,omitempty"`
}

// TraceConv is the conversation that a message is in.
type TraceConv struct {
	ID      int64       `json:"id,omitempty"` // in the store; 0: a pair that never spoke
	Group   bool        `json:"group"`
	Name    string      `json:"name,omitempty"`
	Pair    []TraceUser `json:"pair,omitempty"`
	Last    int64       `json:"last"`
	Members int64       `json:"members,omitempty"` // of a group
	Gone    bool        `json:"gone,omitempty"`    // a dismissed group
}

// TraceUser names a user.
type TraceUser struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
}

// TraceMessage is the message, without its text.
type TraceMessage struct {
	Seq    int64     `json:"seq"`
	Sender TraceUser `json:"sender"`
	CID    string    `json:"cid"`
	Time   time.Time `json:"time"`
	Size   int64     `json:"size"` // bytes of text
}

// TraceTopic is what a node has in memory of a conversation.
type TraceTopic struct {
	Bus     string `json:"bus"`     // "up" or "away"
	Known   bool   `json:"known"`   // some session here takes part in it
	Heard   int64  `json:"heard"`   // the highest seq that the node has heard of
	Early   int    `json:"early"`   // messages that came before their turn and are held for 20 ms
	Reading bool   `json:"reading"` // a page of the log, or the members, are on their way
	// Sending: the sender's message was taken from a connection here and waits
	// for the store.
	Sending bool `json:"sending,omitempty"`
}

// Whether a device has a message, and if not, why.
const (
	TraceHas       = "has"        // it says so by a receipt, or the kernel took the bytes
	TraceSent      = "sent"       // online here, written to its connection, no receipt yet
	TraceWaits     = "waits"      // online here, without receipts, the kernel hasn't the bytes
	TraceBehind    = "behind"     // online here, and not sent yet
	TraceLoggingIn = "logging-in" // online here, its LOGIN_ACK is not out yet
	TraceElsewhere = "elsewhere"  // another node has a session of the user
	TraceOffline   = "offline"    // the user is online nowhere
	TraceLoggedOut = "logged-out" // it has no token
	TraceUnknown   = "unknown"    // it has said nothing of it; whether it is online isn't known
)

// TraceMember is a member of the conversation, or the user who was asked for.
type TraceMember struct {
	TraceUser
	Sees    bool           `json:"sees"`          // the message is for them
	Why     string         `json:"why,omitempty"` // why not; or what is special
	Read    bool           `json:"read"`          // they have read it
	Devices []*TraceDevice `json:"devices,omitempty"`
}

// TraceDevice is a device of a member, and what became of the message there.
type TraceDevice struct {
	Device    string        `json:"device"`
	State     string        `json:"state"` // one of the constants
	Why       string        `json:"why"`
	Delivered int64         `json:"delivered"` // all up to this seq has arrived
	Login     time.Time     `json:"login"`     // the last one
	Session   *TraceSession `json:"session,omitempty"`

	token bool
}

// TraceSession is a session on the node that was asked.
type TraceSession struct {
	Node     string    `json:"node"`
	Since    time.Time `json:"since"`
	Receipts bool      `json:"receipts"`
	Live     bool      `json:"live"`    // it has its LOGIN_ACK
	Placed   bool      `json:"placed"`  // Sent and Arrived are known; else nothing of the conversation is under way
	Sent     int64     `json:"sent"`    // written to its connection up to there
	Arrived  int64     `json:"arrived"` // receipted, or taken by the kernel, up to there
	Behind   bool      `json:"behind"`  // what is beyond comes from the log
	Paused   bool      `json:"paused"`  // the log waits for the connection
	Waiting  int       `json:"waiting"` // bytes that the kernel hasn't taken
}

// FindTrace tells where a message is, as far as the store knows. It blocks on
// the store. That the message isn't there is no error. Errors: a *proto.Error
// of BadRequest or NotFound about the question; any other is the store's.
func FindTrace(ctx context.Context, store TraceStore, q TraceQuery) (*Trace, error) {
	f := finder{store: store, q: q, now: time.Now()}
	t, err := f.find(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range t.Members {
		for _, d := range m.Devices {
			f.storeSays(t, m, d)
		}
	}
	t.Notes = append(t.Notes, "who is connected isn't in the store: a node's --admin address knows",
		"how far a device is gets written behind, by up to 10 s: it may have more than stands here")
	return t, nil
}

// finder is one question on its way.
type finder struct {
	store  TraceStore
	q      TraceQuery
	now    time.Time
	sender int64 // where the message is named by its cid
}

func (f *finder) find(ctx context.Context) (*Trace, error) {
	if err := f.q.Validate(); err != nil {
		return nil, proto.Errorf(proto.BadRequest, "%s", err)
	}
	t := &Trace{Asked: f.now.UTC()}
	conv, err := f.conversation(ctx, t)
	if err != nil {
		return nil, err
	}
	m, err := f.message(ctx, conv)
	switch {
	case errors.Is(err, model.ErrNotFound):
		if err := f.missing(ctx, t, conv); err != nil {
			return nil, err
		}
		return t, nil
	case err != nil:
		return nil, err
	}
	t.Stored = true
	t.Message = &TraceMessage{Seq: m.Seq, Sender: TraceUser{m.Sender, m.Name}, CID: string(m.CID), Time: time.UnixMilli(m.Time).UTC(), Size: m.Size}
	t.Published = "that isn't recorded: a node publishes after the commit and before the ACK, and where it couldn't, the others find the message in the log within 10 s"
	return t, f.members(ctx, t, conv, &m)
}

// user finds who is meant. An id is good for a user who was deleted, too.
func (f *finder) user(ctx context.Context, who string) (TraceUser, error) {
	var u TraceUser
	id, err := strconv.ParseUint(who, 10, 63)
	if err == nil {
		var m model.TracedMember
		m, err = f.store.TraceUser(ctx, 0, int64(id))
		u = TraceUser{m.User, m.Name}
	} else {
		var m model.User
		m, err = f.store.UserByNameKey(ctx, proto.NameKey(who))
		u = TraceUser{m.ID, m.Name}
	}
	if errors.Is(err, model.ErrNotFound) {
		return u, proto.Errorf(proto.NotFound, "no such user: %q", who)
	}
	return u, err
}

func (f *finder) conversation(ctx context.Context, t *Trace) (c model.TracedConversation, err error) {
	if f.q.Group != 0 {
		if c, err = f.store.TraceGroup(ctx, f.q.Group); errors.Is(err, model.ErrNotFound) {
			return c, proto.Errorf(proto.NotFound, "no such group: %d", f.q.Group)
		}
		t.Conversation = TraceConv{ID: c.ID, Group: true, Name: c.Name, Last: c.Last, Members: c.Size, Gone: c.Gone}
		return c, err
	}
	for _, who := range f.q.Pair {
		u, err := f.user(ctx, who)
		if err != nil {
			return c, err
		}
		t.Conversation.Pair = append(t.Conversation.Pair, u)
	}
	a, b := t.Conversation.Pair[0].ID, t.Conversation.Pair[1].ID
	c, err = f.store.TracePair(ctx, a, b)
	if errors.Is(err, model.ErrNotFound) {
		c, err = model.TracedConversation{Lo: min(a, b), Hi: max(a, b)}, nil
	}
	t.Conversation.ID, t.Conversation.Last = c.ID, c.Last
	return c, err
}

func (f *finder) message(ctx context.Context, c model.TracedConversation) (m model.TracedMessage, err error) {
	if f.q.Seq != 0 {
		if c.ID == 0 {
			return m, model.ErrNotFound
		}
		return f.store.TraceSeq(ctx, c.ID, f.q.Seq)
	}
	u, err := f.user(ctx, f.q.Sender)
	if err != nil {
		return m, err
	}
	f.sender = u.ID
	if c.ID == 0 {
		return m, model.ErrNotFound
	}
	return f.store.TraceCID(ctx, c.ID, u.ID, []byte(f.q.CID))
}

// missing says what is known of a message that isn't stored.
func (f *finder) missing(ctx context.Context, t *Trace, c model.TracedConversation) error {
	say := func(format string, args ...any) { t.Missing = append(t.Missing, fmt.Sprintf(format, args...)) }
	if c.Last == 0 {
		say("nothing was ever said in this conversation")
	}
	if f.q.Seq != 0 {
		switch {
		case f.q.Seq > c.Last:
			say("seq %d isn't given out yet: the last is %d", f.q.Seq, c.Last)
		default:
			say("the last is %d, and yet there is no %d: the log has a hole, which must never be. Look at the disk and at what was done to the tables", c.Last, f.q.Seq)
		}
		return nil
	}
	say("no message of this sender with this cid is stored here, so none was acknowledged, unless the store was restored from a backup since")
	say("it may never have reached a node, wait in one (ask the sender's node), or have been refused with an errno, which isn't recorded; the sender may send it again with the same cid")
	m, err := f.store.TraceUser(ctx, c.ID, f.sender)
	if err != nil {
		return err
	}
	other := c.Lo + c.Hi - f.sender
	switch {
	case m.Deleted:
		say("its sender is deleted")
	case m.Banned:
		say("its sender is banned, and can't log in")
	case c.Gone:
		say("the group is dismissed: what is said there is refused with errno 5")
	case c.Group() && !m.Member:
		say("its sender is no member: what they say there is refused with errno 6")
	case !c.Group() && f.sender != c.Lo && f.sender != c.Hi:
		say("its sender is none of the two")
	case !c.Group() && c.Closed():
		say("one of the two is deleted: what is said there is refused with errno 5")
	case !c.Group() && c.Blocked(other):
		say("user %d has blocked the sender: what they say there is refused with errno 6", other)
	}
	return nil
}

// members lists who is to have the message, or says it of the one asked for.
func (f *finder) members(ctx context.Context, t *Trace, c model.TracedConversation, m *model.TracedMessage) error {
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
	list, err := f.store.TraceMembers(ctx, c.ID, f.q.After, MaxTraceMembers+1)
	if err != nil {
		return err
	}
	if len(list) > MaxTraceMembers {
		list = list[:MaxTraceMembers]
		t.Next = list[MaxTraceMembers-1].User
	}
	listed := f.q.After > 0 || t.Next > 0
	for i := range list {
		f.add(t, c, m, &list[i])
		listed = listed || list[i].User == m.Sender
	}
	// Who isn't in the list any more, and is known to have been.
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
		t.Notes = append(t.Notes, "who has left or was removed is in no list; --user tells about one of them")
	}
	return nil
}

func contains(l []*TraceMember, user int64) bool {
	for _, m := range l {
		if m.ID == user {
			return true
		}
	}
	return false
}

func (f *finder) add(t *Trace, c model.TracedConversation, m *model.TracedMessage, u *model.TracedMember) {
	tm := &TraceMember{TraceUser: TraceUser{u.User, u.Name}, Sees: true, Read: u.Member && u.Read >= m.Seq}
	t.Members = append(t.Members, tm)
	other := c.Lo + c.Hi - u.User
	switch {
	case u.Deleted:
		tm.Sees, tm.Why = false, "deleted"
	case c.Gone:
		tm.Sees, tm.Why = false, "the group is dismissed: nobody sees what was said there"
	case !u.Member && c.Group():
		tm.Sees, tm.Why = false, "no member: has left, was removed, or never joined"
	case !u.Member:
		tm.Sees, tm.Why = false, "none of the two"
	case u.Joined >= m.Seq:
		tm.Sees, tm.Why = false, fmt.Sprintf("joined after it, when the last was %d: doesn't see it", u.Joined)
	case u.Banned:
		tm.Why = "banned: can't log in"
	case len(u.Devices) == 0:
		tm.Why = "has never logged in"
	case !c.Group() && c.Blocked(u.User):
		tm.Why = fmt.Sprintf("has blocked user %d by now; what was stored before is delivered all the same", other)
	}
	if !tm.Sees && u.Member {
		return
	}
	for _, d := range u.Devices {
		td := &TraceDevice{Device: d.Device, Delivered: d.Delivered, Login: time.UnixMilli(d.Used).UTC(), token: d.Token}
		if tm.Sees || d.Delivered >= m.Seq { // one who has left may have it
			tm.Devices = append(tm.Devices, td)
		}
	}
}

// storeSays decides about a device of which no session is known.
func (f *finder) storeSays(t *Trace, m *TraceMember, d *TraceDevice) {
	before := d.Login.Before(t.Message.Time)
	switch {
	case d.Delivered >= t.Message.Seq:
		d.State, d.Why = TraceHas, "has it"
	case !d.token:
		d.State, d.Why = TraceLoggedOut, "logged out; gets it after its next login"
	case before:
		d.State, d.Why = TraceUnknown, "hasn't logged in since the message, and if it was online then, has not said that it has it"
	default:
		d.State, d.Why = TraceUnknown, "has logged in since, and has not said yet that it has it"
	}
	if m.ID == t.Message.Sender.ID && d.State == TraceUnknown {
		d.Why += "; the device that it was sent from has it by its ACK (which one isn't recorded)"
	}
}
