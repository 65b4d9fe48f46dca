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

func fieldSet(fs ...Field) (s Fields) {
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
var fieldIndex = buildFieldIndex()

type fieldTable [256]uint8 // a Field plus one; 0: none

func buildFieldIndex() (t fieldTable) {
	for f, name := range fieldNames {
		at := hashField([]byte(name))
		for t[at] != 0 {
			at++
		}
		t[at] = uint8(f + 1)
	}
	return t
}

// fieldHash is any cheap function that keeps the names mostly apart.
func hashField(key []byte) uint8 {
	n := len(key)
	return uint8(n*31) ^ key[0]*7 ^ key[n-1]*13 ^ key[n/2]*3
}

func lookupField(key []byte) (Field, bool) {
	if len(key) == 0 {
		return 0, false
	}
	for at := hashField(key); fieldIndex[at] != 0; at++ {
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
	LOGIN:         {May: fieldSet(FID, FName, FPassword, FToken, FDevice, FAck, FBrief)},
	LOGOUT:        {},
	REG:           {Need: fieldSet(FName, FPassword)},
	ONE_CHAT:      {Need: fieldSet(FToID, FMsg, FCID), May: fieldSet(FID, FRetry)},
	ADD_FRIEND:    {Need: fieldSet(FFriendID)},
	CREATE_GROUP:  {Need: fieldSet(FGroupName, FGroupDesc)},
	ADD_GROUP:     {Need: fieldSet(FGroupID)},
	GROUP_CHAT:    {Need: fieldSet(FGroupID, FMsg, FCID), May: fieldSet(FID, FRetry)},
	PING:          {},
	PONG:          {},
	RECEIPT:       {Need: fieldSet(FSeq), May: fieldSet(FRead), OneOf: fieldSet(FPeer, FGroupID)},
	SYNC:          {May: fieldSet(FAfter, FBefore, FLimit), OneOf: fieldSet(FPeer, FGroupID)},
	EVENT:         {Need: fieldSet(FEvent), May: fieldSet(FData), OneOf: fieldSet(FToID, FGroupID)},
	DEL_FRIEND:    {Need: fieldSet(FFriendID)},
	LEAVE_GROUP:   {Need: fieldSet(FGroupID)},
	KICK_MEMBER:   {Need: fieldSet(FGroupID, FUserID)},
	DISMISS_GROUP: {Need: fieldSet(FGroupID)},
	BLOCK:         {Need: fieldSet(FUserID, FOn)},
	FIND_USER:     {OneOf: fieldSet(FName, FUserID)},
	PASSWORD:      {Need: fieldSet(FPassword, FNewPassword)},
	GROUP_USERS:   {Need: fieldSet(FGroupID), May: fieldSet(FAfter)},
	CONVERSATIONS: {May: fieldSet(FBefore, FLimit)},
}

// responseSpec says what a server's message of one op holds, besides msgid
// and rid: Always stands in each, Success only where errno is 0, and May
// where it is not zero (a list: where it is not nil). Errmsg of an op that
// does not list it, and retry_after_ms, stand in refusals only.
type responseSpec struct{ Always, Success, May Fields }

var responseSpecs = [OpCount]*responseSpec{
	LOGIN_ACK: {Always: fieldSet(FErrno, FErrMsg), Success: fieldSet(FID, FName, FDevice, FToken, FNode, FWindow,
		FEpoch, FOffline, FMore), May: fieldSet(FFriends, FGroups)},
	REG_ACK:  {Always: fieldSet(FErrno, FErrMsg), Success: fieldSet(FID)},
	ONE_CHAT: {Always: fieldSet(FID, FName, FToID, FMsg, FTime, FSeq, FCID)},
	// To its friend and, as "friends now", to the user's other devices.
	ADD_FRIEND:       {Always: fieldSet(FID, FName)},
	ADD_GROUP:        {Always: fieldSet(FGroupID, FID, FName)},
	GROUP_CHAT:       {Always: fieldSet(FID, FName, FGroupID, FMsg, FTime, FSeq, FCID)},
	LOGOUT_ACK:       {Always: fieldSet(FErrno)},
	ONE_CHAT_ACK:     {Always: fieldSet(FErrno, FErrMsg, FCID, FToID), Success: fieldSet(FSeq, FTime)},
	ADD_FRIEND_ACK:   {Always: fieldSet(FErrno, FErrMsg, FFriendID), Success: fieldSet(FName, FState)},
	CREATE_GROUP_ACK: {Always: fieldSet(FErrno, FErrMsg), Success: fieldSet(FGroupID)},
	ADD_GROUP_ACK: {Always: fieldSet(FErrno, FErrMsg, FGroupID), Success: fieldSet(FGroupName, FGroupDesc, FSeq),
		May: fieldSet(FUsers, FCount)},
	GROUP_CHAT_ACK:    {Always: fieldSet(FErrno, FErrMsg, FCID, FGroupID), Success: fieldSet(FSeq, FTime)},
	ERROR:             {Always: fieldSet(FErrno, FErrMsg)},
	PING:              {},
	PONG:              {},
	RECEIPT:           {Always: fieldSet(FID, FSeq, FRead), May: fieldSet(FPeer, FGroupID)},
	SYNC_ACK:          {Always: fieldSet(FErrno, FErrMsg), Success: fieldSet(FMessages, FFirst, FLast, FMore), May: fieldSet(FPeer, FGroupID)},
	KICK:              {Always: fieldSet(FReason, FErrMsg), May: fieldSet(FRetryAfter)},
	PRESENCE:          {Always: fieldSet(FID, FState)},
	EVENT:             {Always: fieldSet(FID, FName, FEvent), May: fieldSet(FToID, FGroupID, FData)},
	DEL_FRIEND:        {Always: fieldSet(FID)},
	DEL_FRIEND_ACK:    {Always: fieldSet(FErrno, FFriendID)},
	LEAVE_GROUP:       {Always: fieldSet(FGroupID, FID)},
	LEAVE_GROUP_ACK:   {Always: fieldSet(FErrno, FGroupID)},
	KICK_MEMBER_ACK:   {Always: fieldSet(FErrno, FGroupID, FUserID)},
	DISMISS_GROUP:     {Always: fieldSet(FGroupID)},
	DISMISS_GROUP_ACK: {Always: fieldSet(FErrno, FGroupID)},
	// To the blocker's other devices.
	BLOCK:             {Always: fieldSet(FUserID, FOn)},
	BLOCK_ACK:         {Always: fieldSet(FErrno, FUserID, FOn)},
	FIND_USER_ACK:     {Always: fieldSet(FErrno), Success: fieldSet(FID, FName), May: fieldSet(FState)},
	PASSWORD_ACK:      {Always: fieldSet(FErrno), Success: fieldSet(FToken)},
	GROUP_USERS_ACK:   {Always: fieldSet(FErrno, FGroupID), Success: fieldSet(FUsers, FMore)},
	CONVERSATIONS_ACK: {Always: fieldSet(FErrno), Success: fieldSet(FConversations, FMore)},
}
