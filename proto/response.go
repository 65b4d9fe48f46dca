package proto

// Response is a message from a server: the union of the fields of all ops that
// servers send. The table in fields.go says which belong to each op.
type Response struct {
	Op     Op
	Fields Fields // set by decoding: the fields that are present. Encoding uses only FRID
	RID    int64  // encoded if Fields has FRID

	Errno      Errno
	ErrMsg     string
	RetryAfter int64 // in milliseconds

	ID, ToID, Peer, GroupID, FriendID, UserID int64
	Seq, Time, First, Last                    int64
	Window, Count                             int64
	Epoch                                     int64
	Read, On, More                            bool

	Msg, CID, Event, Data []byte // after decoding: valid as long as those of Request

	Name, Device, Token, Node, GroupName, GroupDesc, State, Reason string

	Features      []string // Register, …
	Friends       []Friend
	Groups        []Group
	Users         []Member
	Offline       []Chat // "offlinemsg"
	Messages      []Chat
	Conversations []Conversation
}

// Has reports whether f is present in a decoded message.
func (r *Response) Has(f Field) bool { return r.Fields.Has(f) }

// integerField returns a pointer to the field f, nil if f isn't an integer of a
// Response. Errno has another type; callers handle it. The next three methods do
// the same for the other types.
func (r *Response) integerField(f Field) *int64 {
	switch f {
	case FRID:
		return &r.RID
	case FRetryAfter:
		return &r.RetryAfter
	case FID:
		return &r.ID
	case FWindow:
		return &r.Window
	case FEpoch:
		return &r.Epoch
	case FToID:
		return &r.ToID
	case FPeer:
		return &r.Peer
	case FGroupID:
		return &r.GroupID
	case FFriendID:
		return &r.FriendID
	case FUserID:
		return &r.UserID
	case FTime:
		return &r.Time
	case FSeq:
		return &r.Seq
	case FFirst:
		return &r.First
	case FLast:
		return &r.Last
	case FCount:
		return &r.Count
	}
	return nil
}

func (r *Response) booleanField(f Field) *bool {
	switch f {
	case FRead:
		return &r.Read
	case FOn:
		return &r.On
	case FMore:
		return &r.More
	}
	return nil
}

func (r *Response) bytesField(f Field) *[]byte {
	switch f {
	case FMsg:
		return &r.Msg
	case FCID:
		return &r.CID
	case FEvent:
		return &r.Event
	case FData:
		return &r.Data
	}
	return nil
}

func (r *Response) stringField(f Field) *string {
	switch f {
	case FErrMsg:
		return &r.ErrMsg
	case FName:
		return &r.Name
	case FDevice:
		return &r.Device
	case FToken:
		return &r.Token
	case FNode:
		return &r.Node
	case FGroupName:
		return &r.GroupName
	case FGroupDesc:
		return &r.GroupDesc
	case FState:
		return &r.State
	case FReason:
		return &r.Reason
	}
	return nil
}

// hasList reports whether the list f isn't nil.
func (r *Response) hasList(f Field) bool {
	switch f {
	case FFeatures:
		return r.Features != nil
	case FFriends:
		return r.Friends != nil
	case FGroups:
		return r.Groups != nil
	case FUsers:
		return r.Users != nil
	case FOffline:
		return r.Offline != nil
	case FMessages:
		return r.Messages != nil
	case FConversations:
		return r.Conversations != nil
	}
	return false
}

// Friend is an element of LOGIN_ACK's friends.
type Friend struct {
	ID    int64  `json:"id"`
	Name  string `json:"name"`
	State string `json:"state"` // Online or Offline
}

// Group is an element of LOGIN_ACK's groups. If the group has too many members to
// list, Users is nil and Count is their number.
type Group struct {
	ID        int64    `json:"id"`
	GroupName string   `json:"groupname"`
	GroupDesc string   `json:"groupdesc"`
	Seq       int64    `json:"seq"` // the group's last seq
	Users     []Member `json:"users,omitzero"`
	Count     int64    `json:"count,omitzero"`
}

// Member is a member of a group.
type Member struct {
	ID    int64  `json:"id"`
	Name  string `json:"name"`
	State string `json:"state"` // Online or Offline
	Role  string `json:"role"`  // Creator or Normal
}

// Chat is a stored message, with the fields of a push. Op is ONE_CHAT with ToID
// set, or GROUP_CHAT with GroupID set.
type Chat struct {
	Op      Op     `json:"msgid"`
	ID      int64  `json:"id"`   // the sender's ID
	Name    string `json:"name"` // the sender's name
	ToID    int64  `json:"toid,omitzero"`
	GroupID int64  `json:"groupid,omitzero"`
	Msg     string `json:"msg"`
	Time    int64  `json:"time"` // when it was stored, in Unix milliseconds
	Seq     int64  `json:"seq"`
	CID     string `json:"cid"`
	Gone    bool   `json:"gone,omitzero"` // the sender's account was deleted; not in pushes
}

// Conversation is an element of CONVERSATIONS_ACK. Either Peer or GroupID is set.
type Conversation struct {
	Peer    int64  `json:"peer,omitzero"`
	GroupID int64  `json:"groupid,omitzero"`
	Name    string `json:"name"`             // of the peer or the group
	Gone    bool   `json:"gone,omitzero"`    // the peer's account was deleted
	First   int64  `json:"first"`            // the lowest seq that the user may see
	Last    int64  `json:"last"`             // the conversation's last seq
	Read    int64  `json:"read"`             // the seq up to which the user has read
	Time    int64  `json:"time"`             // of the last message, or of joining if there is none since; in Unix milliseconds
	Message *Chat  `json:"message,omitzero"` // the last message, if the user may see it
}

// Values of state, role, reason and features.
const (
	Online  = "online"
	Offline = "offline"

	FeatureRegister = "register" // anyone may register

	Creator = "creator" // of a group
	Normal  = "normal"

	// Reasons of a KICK. After Replaced, LoggedOut and Abuse, a client must not
	// reconnect by itself.
	Replaced  = "replaced" // a later login with the same device name
	Draining  = "draining" // the node is shutting down
	LoggedOut = "logout"   // the device's token has ended
	Slow      = "slow"     // the client reads too slowly, or the server is out of buffers
	Idle      = "idle"     // no login, or no frame, for too long
	Abuse     = "abuse"    // rate limits ignored, or too many invalid frames
)
