package proto

// Response is one message from the server: the union of the fields of all
// ops that a server sends. The table in fields.go says which of them stand
// in a message of each op.
type Response struct {
	Op     Op
	Fields Fields // what stood there, after decoding; encoding reads only FRID of it
	RID    int64  // written where Fields has FRID

	Errno      Errno
	ErrMsg     string
	RetryAfter int64 // ms

	ID, ToID, Peer, GroupID, FriendID, UserID int64
	Seq, Time, First, Last                    int64
	Window, Count                             int64
	Epoch                                     int64
	Read, On, More                            bool

	Msg, CID, Event, Data []byte // after decoding: as those of Request

	Name, Device, Token, Node, GroupName, GroupDesc, State, Reason string

	Friends       []Friend
	Groups        []Group
	Users         []Member
	Offline       []Chat // "offlinemsg"
	Messages      []Chat
	Conversations []Conversation
}

// Has reports whether f stood in the message; of what was decoded only.
func (r *Response) Has(f Field) bool { return r.Fields.Has(f) }

// Friend is an entry of LOGIN_ACK's friends.
type Friend struct {
	ID    int64  `json:"id"`
	Name  string `json:"name"`
	State string `json:"state"`
}

// Group is an entry of LOGIN_ACK's groups. Users is nil, and Count says how
// many there are, where the list would be too long.
type Group struct {
	ID        int64    `json:"id"`
	GroupName string   `json:"groupname"`
	GroupDesc string   `json:"groupdesc"`
	Seq       int64    `json:"seq"`
	Users     []Member `json:"users,omitzero"`
	Count     int64    `json:"count,omitzero"`
}

// Member is a user of a group.
type Member struct {
	ID    int64  `json:"id"`
	Name  string `json:"name"`
	State string `json:"state"`
	Role  string `json:"role"`
}

// Chat is a stored message, exactly as it is pushed: Op is ONE_CHAT and
// ToID is set, or GROUP_CHAT and GroupID is.
type Chat struct {
	Op      Op     `json:"msgid"`
	ID      int64  `json:"id"`
	Name    string `json:"name"`
	ToID    int64  `json:"toid,omitzero"`
	GroupID int64  `json:"groupid,omitzero"`
	Msg     string `json:"msg"`
	Time    int64  `json:"time"`
	Seq     int64  `json:"seq"`
	CID     string `json:"cid"`
}

// Conversation is an entry of CONVERSATIONS_ACK.
type Conversation struct {
	Peer    int64  `json:"peer,omitzero"`
	GroupID int64  `json:"groupid,omitzero"`
	Name    string `json:"name"`
	First   int64  `json:"first"`
	Last    int64  `json:"last"`
	Read    int64  `json:"read"`
	Time    int64  `json:"time"`
	Message *Chat  `json:"message,omitzero"`
}

// Values of state, role and reason.
const (
	Online  = "online"
	Offline = "offline"

	Creator = "creator"
	Normal  = "normal"

	Replaced  = "replaced"
	Draining  = "draining"
	LoggedOut = "logout"
	Slow      = "slow"
	Idle      = "idle"
	Abuse     = "abuse"
)
