package session

import (
	"net/netip"
	"sync/atomic"
	"time"

	"chatd/proto"
	"chatd/reactor"
	"chatd/service/bus"
	"chatd/service/limits"
)

// Turn and Off are short names for the types of package reactor.
type (
	Turn = reactor.Turn
	Off  = reactor.Off
)

// maxHeldNotices is the maximum number of notices that wait for an ACK of a session.
const maxHeldNotices = 4096

// Session is a device of a user, logged in on a connection. Its exported fields
// don't change once it has been added to the registry; any goroutine may read
// them.
type Session struct {
	User     int64
	Name     string
	Device   string
	Sender   []byte // by proto.AppendSender: the beginning of what the user sends to others
	Receipts bool   // the client sends receipts
	Addr     netip.Addr
	Loop     int
	Ref      *reactor.ConnRef // its connection
	Number   int64            // rises with each login of the user; see model.DB.StartSession
	Since    time.Time        // when it began, for operators
	Rate     *limits.UserRate // shared by the user's sessions on this node

	live  atomic.Bool
	token atomic.Pointer[[]byte]
	loop  sessionOnLoop
}

// sessionOnLoop is the part of a session that its event loop owns.
type sessionOnLoop struct {
	conn    *Conn
	paused  bool // see BacklogPaused
	ended   bool
	joining int64    // the group in a request ADD_GROUP without an answer; 0: none
	held    [][]byte // notices that wait for LOGIN_ACK or ADD_GROUP_ACK
}

// Login has the values for the fields of a new Session.
type Login struct {
	User         int64
	Name, Device string
	Receipts     bool
	Number       int64
	TokenHash    []byte
}

// New returns the session of a login. The caller has to register it.
func New(t Turn, c *Conn, l Login) *Session {
	ss := &Session{User: l.User, Name: l.Name, Device: l.Device, Sender: proto.AppendSender(nil, l.User, l.Name),
		Receipts: l.Receipts, Addr: c.Addr(t), Number: l.Number, Since: t.Now(), Loop: t.Loop(), Ref: c.Ref(), Rate: new(limits.UserRate), loop: sessionOnLoop{conn: c}}
	ss.token.Store(&l.TokenHash)
	return ss
}

// Live reports whether LOGIN_ACK has been sent. Any goroutine may call it.
func (ss *Session) Live() bool { return ss.live.Load() }

// TokenHash returns the hash of the session's token. Any goroutine may call it.
func (ss *Session) TokenHash() []byte { return *ss.token.Load() }

// SetTokenHash sets the hash of a new token.
func (ss *Session) SetTokenHash(t Turn, hash []byte) { ss.token.Store(&hash) }

// Conn returns the session's connection.
func (ss *Session) Conn(t Turn) *Conn { return ss.loop.conn }

// Ended reports whether the session has ended.
func (ss *Session) Ended(t Turn) bool { return ss.loop.ended }

// BacklogPaused reports whether reading the session's backlog is paused: until its
// connection has less left to send, or because its user has got too much.
func (ss *Session) BacklogPaused(t Turn) bool { return ss.loop.paused }

// PauseBacklog sets what BacklogPaused reports.
func (ss *Session) PauseBacklog(t Turn, paused bool) { ss.loop.paused = paused }

// Attach makes this the session of its connection.
func (ss *Session) Attach(t Turn) {
	c := ss.loop.conn
	c.on.session = ss
	c.on.order.reset(t)
	c.SetLoggedIn(t, true)
}

// Detach ends the session. The connection stays open. It returns false if the
// session has ended before.
func (ss *Session) Detach(t Turn) bool {
	if ss.loop.ended {
		return false
	}
	ss.loop.ended = true
	ss.loop.conn.on.session = nil
	return true
}

// Notify sends a notice. If LOGIN_ACK or an ADD_GROUP_ACK hasn't been sent yet, the
// notice waits for it: its lists may have been read before the change that the
// notice is about.
func (ss *Session) Notify(t Turn, body []byte) {
	on := &ss.loop
	switch {
	case on.ended:
	case ss.live.Load() && on.joining == 0:
		on.conn.Write(t, body)
	case len(on.held) < maxHeldNotices:
		on.held = append(on.held, body)
	default:
		on.conn.s.m.noticesDropped.Inc()
	}
}

// GoLive sends LOGIN_ACK and the notices that waited for it.
func (ss *Session) GoLive(t Turn, ack *proto.Response) {
	on := &ss.loop
	on.conn.s.m.logins.Inc()
	on.conn.WriteResponse(t, ack)
	ss.live.Store(true)
	ss.writeHeld(t)
}

// writeHeld writes the notices that waited for an ACK.
func (ss *Session) writeHeld(t Turn) {
	for _, body := range ss.loop.held {
		ss.loop.conn.Write(t, body)
	}
	ss.loop.held = nil
}

// BeginJoin records that the client has asked to join a group and has no answer
// yet. The session must be live.
func (ss *Session) BeginJoin(t Turn, group int64) { ss.loop.joining = group }

// Joining returns the group of BeginJoin, or 0. Until EndJoin, the session gets
// nothing from this group.
func (ss *Session) Joining(t Turn) int64 { return ss.loop.joining }

// EndJoin records that the request has been answered, and sends the notices that
// waited for that.
func (ss *Session) EndJoin(t Turn) {
	ss.loop.joining = 0
	if !ss.loop.ended {
		ss.writeHeld(t)
	}
}

// Announcement returns the hint that announces the session to other nodes.
func (ss *Session) Announcement() *bus.Ended {
	return &bus.Ended{User: ss.User, Device: ss.Device, Before: ss.Number, Reason: proto.Replaced}
}
