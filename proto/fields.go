package proto

// Field names one key of a message. A set of them is a Fields.
type Field uint8

// The fields, in the order in which the encoder writes them.
const (
	FMsgID Field = iota
	FRID
	FErrno
	FErrMsg
	FRetryAfter
	FID
	FName
	FPassword
	FNewPassword
	FToken
	FDevice
	FAck
	FBrief
	FNode
	FWindow
	FEpoch
	FToID
	FPeer
	FGroupID
	FFriendID
	FUserID
	FGroupName
	FGroupDesc
	FState
	FMsg
	FTime
	FSeq
	FCID
	FRetry
	FRead
	FOn
	FEvent
	FData
	FAfter
	FBefore
	FLimit
	FFirst
	FLast
	FReason
	FCount
	FFriends
	FGroups
	FUsers
	FOffline
	FMessages
	FConversations
	FMore
	fieldCount
)

// Fields is a set of fields.
type Fields uint64

func set(fs ...Field) (s Fields) {
	for _, f := range fs {
		s |= 1 << f
	}
	return s
}

// Has reports whether f is in the set.
func (s Fields) Has(f Field) bool { return s>>f&1 != 0 }

var fieldNames = [fieldCount]string{
	FMsgID: "msgid", FRID: "rid", FErrno: "errno", FErrMsg: "errmsg", FRetryAfter: "retry_after_ms",
	FID: "id", FName: "name", FPassword: "password", FNewPassword: "newpassword", FToken: "token",
	FDevice: "device", FAck: "ack", FBrief: "brief", FNode: "node", FWindow: "window", FEpoch: "epoch",
	FToID: "toid", FPeer: "peer", FGroupID: "groupid", FFriendID: "friendid", FUserID: "userid",
	FGroupName: "groupname", FGroupDesc: "groupdesc", FState: "state", FMsg: "msg", FTime: "time",
	FSeq: "seq", FCID: "cid", FRetry: "retry", FRead: "read", FOn: "on", FEvent: "event", FData: "data",
	FAfter: "after", FBefore: "before", FLimit: "limit", FFirst: "first", FLast: "last", FReason: "reason",
	FCount: "count", FFriends: "friends", FGroups: "groups", FUsers: "users", FOffline: "offlinemsg",
	FMessages: "messages", FConversations: "conversations", FMore: "more",
}

// String is the key on the wire.
func (f Field) String() string { return fieldNames[f] }

// fieldIndex finds a field by its key: open addressing, built from fieldNames
// so that there is one list of names only.
var fieldIndex = indexFields()

type fieldTable [256]uint8 // a Field plus one; 0: none

func indexFields() (t fieldTable) {
	for f, name := range fieldNames {
		at := fieldHash([]byte(name))
		for t[at] != 0 {
			at++
		}
		t[at] = uint8(f + 1)
	}
	return t
}

// fieldHash is any cheap function that keeps the names mostly apart.
func fieldHash(key []byte) uint8 {
	n := len(key)
	return uint8(n*31) ^ key[0]*7 ^ key[n-1]*13 ^ key[n/2]*3
}

func fieldOf(key []byte) (Field, bool) {
	if len(key) == 0 {
		return 0, false
	}
	for at := fieldHash(key); fieldIndex[at] != 0; at++ {
		f := Field(fieldIndex[at] - 1)
		if fieldNames[f] == string(key) {
			return f, true
		}
	}
	return 0, false
}

// requestSpec says what a client's message of one op holds, besides msgid
// and rid: Need must be there, May can be, and of OneOf (where it is not
// empty) exactly one. Other keys are ignored, whatever their values.
type requestSpec struct{ Need, May, OneOf Fields }

var requestSpecs = [OpCount]*requestSpec{
	// LOGIN is (id or name) with password, or token: Decode checks that by hand.
	LOGIN:         {May: set(FID, FName, FPassword, FToken, FDevice, FAck, FBrief)},
	LOGOUT:        {},
	REG:           {Need: set(FName, FPassword)},
	ONE_CHAT:      {Need: set(FToID, FMsg, FCID), May: set(FID, FRetry)},
	ADD_FRIEND:    {Need: set(FFriendID)},
	CREATE_GROUP:  {Need: set(FGroupName, FGroupDesc)},
	ADD_GROUP:     {Need: set(FGroupID)},
	GROUP_CHAT:    {Need: set(FGroupID, FMsg, FCID), May: set(FID, FRetry)},
	PING:          {},
	PONG:          {},
	RECEIPT:       {Need: set(FSeq), May: set(FRead), OneOf: set(FPeer, FGroupID)},
	SYNC:          {May: set(FAfter, FBefore, FLimit), OneOf: set(FPeer, FGroupID)},
	EVENT:         {Need: set(FEvent), May: set(FData), OneOf: set(FToID, FGroupID)},
	DEL_FRIEND:    {Need: set(FFriendID)},
	LEAVE_GROUP:   {Need: set(FGroupID)},
	KICK_MEMBER:   {Need: set(FGroupID, FUserID)},
	DISMISS_GROUP: {Need: set(FGroupID)},
	BLOCK:         {Need: set(FUserID, FOn)},
	FIND_USER:     {OneOf: set(FName, FUserID)},
	PASSWORD:      {Need: set(FPassword, FNewPassword)},
	GROUP_USERS:   {Need: set(FGroupID), May: set(FAfter)},
	CONVERSATIONS: {May: set(FBefore, FLimit)},
}

// responseSpec says what a server's message of one op holds, besides msgid
// and rid: Always stands in each, Success only where errno is 0, and May
// where it is not zero (a list: where it is not nil). Errmsg of an op that
// does not list it, and retry_after_ms, stand in refusals only.
type responseSpec struct{ Always, Success, May Fields }

var responseSpecs = [OpCount]*responseSpec{
	LOGIN_ACK: {Always: set(FErrno, FErrMsg), Success: set(FID, FName, FDevice, FToken, FNode, FWindow,
		FEpoch, FOffline, FMore), May: set(FFriends, FGroups)},
	REG_ACK:  {Always: set(FErrno, FErrMsg), Success: set(FID)},
	ONE_CHAT: {Always: set(FID, FName, FToID, FMsg, FTime, FSeq, FCID)},
	// To its friend and, as "friends now", to the user's other devices.
	ADD_FRIEND:       {Always: set(FID, FName)},
	ADD_GROUP:        {Always: set(FGroupID, FID, FName)},
	GROUP_CHAT:       {Always: set(FID, FName, FGroupID, FMsg, FTime, FSeq, FCID)},
	LOGOUT_ACK:       {Always: set(FErrno)},
	ONE_CHAT_ACK:     {Always: set(FErrno, FErrMsg, FCID, FToID), Success: set(FSeq, FTime)},
	ADD_FRIEND_ACK:   {Always: set(FErrno, FErrMsg, FFriendID), Success: set(FName, FState)},
	CREATE_GROUP_ACK: {Always: set(FErrno, FErrMsg), Success: set(FGroupID)},
	ADD_GROUP_ACK: {Always: set(FErrno, FErrMsg, FGroupID), Success: set(FGroupName, FGroupDesc, FSeq),
		May: set(FUsers, FCount)},
	GROUP_CHAT_ACK:    {Always: set(FErrno, FErrMsg, FCID, FGroupID), Success: set(FSeq, FTime)},
	ERROR:             {Always: set(FErrno, FErrMsg)},
	PING:              {},
	PONG:              {},
	RECEIPT:           {Always: set(FID, FSeq, FRead), May: set(FPeer, FGroupID)},
	SYNC_ACK:          {Always: set(FErrno, FErrMsg), Success: set(FMessages, FFirst, FLast, FMore), May: set(FPeer, FGroupID)},
	KICK:              {Always: set(FReason, FErrMsg), May: set(FRetryAfter)},
	PRESENCE:          {Always: set(FID, FState)},
	EVENT:             {Always: set(FID, FName, FEvent), May: set(FToID, FGroupID, FData)},
	DEL_FRIEND:        {Always: set(FID)},
	DEL_FRIEND_ACK:    {Always: set(FErrno, FFriendID)},
	LEAVE_GROUP:       {Always: set(FGroupID, FID)},
	LEAVE_GROUP_ACK:   {Always: set(FErrno, FGroupID)},
	KICK_MEMBER_ACK:   {Always: set(FErrno, FGroupID, FUserID)},
	DISMISS_GROUP:     {Always: set(FGroupID)},
	DISMISS_GROUP_ACK: {Always: set(FErrno, FGroupID)},
	// To the blocker's other devices.
	BLOCK:             {Always: set(FUserID, FOn)},
	BLOCK_ACK:         {Always: set(FErrno, FUserID, FOn)},
	FIND_USER_ACK:     {Always: set(FErrno), Success: set(FID, FName), May: set(FState)},
	PASSWORD_ACK:      {Always: set(FErrno), Success: set(FToken)},
	GROUP_USERS_ACK:   {Always: set(FErrno, FGroupID), Success: set(FUsers, FMore)},
	CONVERSATIONS_ACK: {Always: set(FErrno), Success: set(FConversations, FMore)},
}
