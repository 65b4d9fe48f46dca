package session

import (
	"sync/atomic"

	"chatd/proto"
	"chatd/reactor"
	"chatd/service/bus"
	"chatd/service/limits"
)

// Turn is the right to touch the state of one event loop; Off is the right to
// block.
type (
	Turn = reactor.Turn
	Off  = reactor.Off
)

// maxHeldNotices bounds the notices that wait for a session's LOGIN_ACK.
const maxHeldNotices = 4096

// Session is a device of a user, logged in on a connection. Its exported
// fields never change and may be read anywhere.
type Session struct {
	User     int64
	Name     string
	Device   string
	Receipts bool // the client sends receipts
	Loop     int
	Ref      *reactor.ConnRef // its connection
	At       int64            // time of the login by the nodes' shared clock, Unix microseconds
	Nth      int64            // order of the logins on this node, whatever the clock does
	Rate     *limits.UserRate // shared by the user's sessions on this node

	live  atomic.Bool
	token atomic.Pointer[[]byte]
	loop  sessionOnLoop
}

// sessionOnLoop is the part of a session that its event loop owns.
type sessionOnLoop struct {
	conn   *Conn
	paused bool // its backlog waits for the connection to take bytes
	ended  bool
	held   [][]byte // notices that came before LOGIN_ACK
}

// Login is who has logged in, and when. Its fields become the session's.
type Login struct {
	User         int64
	Name, Device string
	Receipts     bool
	At, Nth      int64
	TokenHash    []byte
}

// New makes the session of a login. It is in no list yet.
func New(t Turn, c *Conn, l Login) *Session {
	ss := &Session{User: l.User, Name: l.Name, Device: l.Device, Receipts: l.Receipts, At: l.At, Nth: l.Nth,
		Loop: t.Loop(), Ref: c.Ref(), Rate: new(limits.UserRate), loop: sessionOnLoop{conn: c}}
	ss.token.Store(&l.TokenHash)
	return ss
}

// Live reports whether the session has its LOGIN_ACK. Any goroutine may ask.
func (ss *Session) Live() bool { return ss.live.Load() }

// TokenHash is the hash of the token that the session is logged in with. Any
// goroutine may ask.
func (ss *Session) TokenHash() []byte { return *ss.token.Load() }

// SetTokenHash replaces the token's hash.
func (ss *Session) SetTokenHash(t Turn, hash []byte) { ss.token.Store(&hash) }

// Conn is the session's connection.
func (ss *Session) Conn(t Turn) *Conn { return ss.loop.conn }

// Ended reports whether the session has ended.
func (ss *Session) Ended(t Turn) bool { return ss.loop.ended }

// BacklogPaused reports whether the session's backlog waits until its connection has
// taken most of what was written.
func (ss *Session) BacklogPaused(t Turn) bool { return ss.loop.paused }

// PauseBacklog sets what BacklogPaused reports.
func (ss *Session) PauseBacklog(t Turn, paused bool) { ss.loop.paused = paused }

// Attach makes the session its connection's.
func (ss *Session) Attach(t Turn) {
	c := ss.loop.conn
	c.on.session = ss
	c.on.order.reset(t)
	c.SetLoggedIn(t, true)
}

// Detach ends the session on its connection, which stays open. It reports
// false if the session had ended before.
func (ss *Session) Detach(t Turn) bool {
	if ss.loop.ended {
		return false
	}
	ss.loop.ended = true
	ss.loop.conn.on.session = nil
	return true
}

// Notify writes something that isn't a stored message. Before LOGIN_ACK it
// waits, since LOGIN_ACK's lists may be older.
func (ss *Session) Notify(t Turn, body []byte) {
	on := &ss.loop
	switch {
	case on.ended:
	case ss.live.Load():
		on.conn.Write(t, body)
	case len(on.held) < maxHeldNotices:
		on.held = append(on.held, body)
	default:
		on.conn.s.m.noticesDropped.Inc()
	}
}

// GoLive writes LOGIN_ACK and the notices that waited for it. From here on
// Notify writes at once.
func (ss *Session) GoLive(t Turn, ack *proto.Response) {
	on := &ss.loop
	on.conn.s.m.logins.Inc()
	on.conn.WriteResponse(t, ack)
	ss.live.Store(true)
	for _, body := range on.held {
		on.conn.Write(t, body)
	}
	on.held = nil
}

// Announcement tells other nodes that the session has begun.
func (ss *Session) Announcement() *bus.Login {
	return &bus.Login{User: ss.User, Device: ss.Device, Reason: proto.Replaced, At: ss.At}
}
